package main

import (
	"bytes"
	"context"
	"encoding/json"
	"testing"
)

// A customization that were worth nothing would not be worth its risk.
func TestEvaluate(t *testing.T) {
	if _, err := goroot(); err != nil {
		t.Skip(err)
	}
	var out bytes.Buffer
	if err := runEvaluate(context.Background(), []string{"--json"}, &out); err != nil {
		t.Fatal(err)
	}
	var e evaluation
	if err := json.Unmarshal(out.Bytes(), &e); err != nil {
		t.Fatal(err)
	}
	if e.Positions < 500 || e.Ratio < 5 || e.WithOpenFile.Customized <= e.WithOpenFile.Generic {
		t.Errorf("%s", out.Bytes())
	}
}

func TestEvaluateRefuses(t *testing.T) {
	for _, args := range [][]string{{"--nonsense"}, {"--source", t.TempDir()}, {"--source", t.TempDir(), "--source", t.TempDir()}} {
		var out bytes.Buffer
		if err := runEvaluate(context.Background(), args, &out); err == nil || out.Len() > 0 {
			t.Errorf("%q: no error, %q", args, out.String())
		}
	}
}
