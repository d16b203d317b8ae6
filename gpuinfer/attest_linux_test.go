package gpuinfer

import (
	"errors"
	"os"
	"testing"
)

func TestWithin(t *testing.T) {
	t.Parallel()
	want := map[int]bool{0: true, 1: true, 2: true, 7: true}
	for list, ok := range map[string]bool{
		"0": true, "0-2": true, "1,7": true, "0-2,7": true, "2-2": true,
		"": false, "3": false, "0-3": false, "0-2,8": false, "7-8": false, "0-7": false, "2-0": false, "x": false, "0-x": false,
		"0-": false, "-1": false, ",": false, "0,": false, " 0": false, "0-18446744073709551616": false, "0-9223372036854775807": false,
	} {
		if within(list, want) != ok {
			t.Errorf("%q: %v", list, !ok)
		}
	}
}

func TestAttestRefuses(t *testing.T) {
	t.Parallel()
	for name, err := range map[string]error{
		"no process":   attest(1<<30, []int{0}),
		"no cores":     attest(os.Getpid(), nil),
		"another core": attest(os.Getpid(), []int{1023}),
	} {
		if !errors.Is(err, ErrAttest) {
			t.Errorf("%s: %v", name, err)
		}
	}
	have, err := Inventory()
	if err != nil {
		t.Fatal(err)
	}
	var all []int
	for _, p := range have {
		all = append(all, p.CPUs...)
	}
	if err := attest(os.Getpid(), all); err != nil {
		t.Errorf("this process on its cores: %v", err)
	}
}
