//go:build !esdk

package main

import (
	"strings"
	"testing"
)

// With a stand-in for the official SDK, whose build takes minutes: its frames
// are met by ours on one core too, by CPU time, and every name fits the plots.
func TestKmsctxRows(t *testing.T) {
	t.Parallel()
	ours, err := ourParties(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	raw, err := rawParty()
	if err != nil {
		t.Fatal(err)
	}
	sdk := raw
	sdk.name = "esdk-go"
	rows, err := kmsctxRows(ours, []party{raw}, &official{sdk}, false)
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]measured{}
	for _, m := range rows {
		if len(m.name) > 20 || len(m.cs) < 2 {
			t.Errorf("%s: %d letters, %d contenders", m.name, len(m.name), len(m.cs))
		}
		found[m.name] = m
	}
	for _, op := range []string{"seal", "open"} {
		free, alone := found[op+"/16MiB-4KiB"], found[op+"/16MiB-4KiB-cpu"]
		if got := strings.Join(names(free.cs), "; "); got != "kmsctx, 4KiB frames; esdk-go" || !free.waited {
			t.Errorf("%s, unasked: %s, by time %v", op, got, free.waited)
		}
		if got := strings.Join(names(alone.cs), "; "); got != "kmsctx; esdk-go" || alone.waited {
			t.Errorf("%s, one core: %s, by time %v", op, got, alone.waited)
		}
	}
}
