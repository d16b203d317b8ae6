package main

import (
	"os"
	"strings"
	"testing"
)

// What no firewall would accept is refused before any process starts.
func TestWorkloadFlag(t *testing.T) {
	t.Parallel()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	var w workloads
	if err := w.Set("editor=" + exe); err != nil {
		t.Fatalf("control: %v", err)
	}
	for arg, why := range map[string]string{
		"editor":                            "NAME=EXECUTABLE",
		"=" + exe:                           "NAME=EXECUTABLE",
		"other=relative":                    "absolute",
		"other=/no/such/file":               "no such file",
		"editor=" + exe:                     "two workloads",
		"embedded=" + exe:                   "stands for",
		"Editor=" + exe:                     "a-z",
		"an editor=" + exe:                  "a-z",
		strings.Repeat("x", 65) + "=" + exe: "64",
	} {
		if err := w.Set(arg); err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("%s: %v, which does not say %q", arg, err, why)
		}
	}
	if len(w) != 1 || len(w.args()) != 2 || w.args()[1] != "editor="+w[0].Executable {
		t.Errorf("%v", w)
	}
}
