package main

import (
	"errors"
	"os"
	"strings"
	"testing"
)

func TestPythonIsNamedOrLeftOut(t *testing.T) {
	t.Parallel()
	p, why, err := newPython("")
	if p != nil || err != nil || !strings.Contains(why, pythonVariable) || !strings.Contains(why, "seal/10MiB-64KiB") {
		t.Errorf("without a program: %v, %q, %v", p, why, err)
	}
	if p, why, err = newPython("program"); p == nil || why != "" || err != nil {
		t.Errorf("the control: %v, %q, %v", p, why, err)
	}
	if intro := kmsctxIntro(false, "the rows x are left out"); !strings.Contains(intro, "Here the rows x are left out. ") || strings.Contains(intro, "esdk-python") {
		t.Errorf("the page hides that rows are left out: %s", intro)
	}
	if intro := kmsctxIntro(false, ""); !strings.Contains(intro, "`esdk-python`") {
		t.Errorf("the page does not say what esdk-python is: %s", intro)
	}
	if !strings.Contains(usage, pythonVariable) {
		t.Errorf("the help does not name %s", pythonVariable)
	}
}

// What seals nothing, or opens everything, is not measured.
func TestPythonIsChecked(t *testing.T) {
	t.Parallel()
	for _, program := range []string{"true", "false", "echo", "no-such-program-here"} {
		p, _, err := newPython(program)
		if err != nil {
			t.Fatal(err)
		}
		if err := p.check(t.Context()); err == nil {
			t.Errorf("%s is taken for an Encryption SDK", program)
		}
	}
}

func TestPythonSeconds(t *testing.T) {
	t.Parallel()
	const (
		seal = `{"op": "encrypt", "size": 10485760, "frame": 65536, "suite": "0478", "wall_ms": 9, "cpu_ms": 20.5}` + "\n"
		open = `{"op": "decrypt", "size": 10485760, "frame": 65536, "suite": "0478", "wall_ms": 9, "cpu_ms": 10}` + "\n"
	)
	for name, out := range map[string]string{
		"nothing":       "",
		"one":           seal,
		"one twice":     seal + seal + open,
		"another size":  seal + strings.Replace(open, "10485760", "1", 1),
		"another frame": seal + strings.Replace(open, "65536", "4096", 1),
		"another suite": seal + strings.Replace(open, "0478", "0578", 1),
		"no time":       seal + strings.Replace(open, `"cpu_ms": 10`, `"cpu_ms": 0`, 1),
		"by the wall":   seal + strings.Replace(open, "cpu_ms", "ms", 1),
		"another verb":  seal + strings.Replace(open, "decrypt", "check", 1),
		"no JSON":       seal + "10 ms\n",
	} {
		if _, _, err := pythonSeconds([]byte(out)); !errors.Is(err, errMeasurement) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if s, o, err := pythonSeconds([]byte(seal + open)); s != 0.0205 || o != 0.01 || err != nil {
		t.Errorf("the control: %v %v %v", s, o, err)
	}
}

func TestPythonRows(t *testing.T) {
	t.Parallel()
	p, why, err := newPython(os.Getenv(pythonVariable))
	if err != nil {
		t.Fatal(err)
	}
	if p == nil {
		t.Skip(why)
	}
	ours, err := ourParties(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	rows, err := p.rows(t.Context(), ours["one core"], true)
	if err != nil || len(rows) != 2 || rows[0].Name != "seal/10MiB-64KiB" || rows[1].Name != "open/10MiB-64KiB" ||
		rows[0].Ours != "kmsctx" || rows[0].Peer != "esdk-python" {
		t.Errorf("%+v, %v", rows, err)
	}
}
