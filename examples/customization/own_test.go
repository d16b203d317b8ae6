package main

import (
	"os"
	"path/filepath"
	"testing"
)

func TestCursor(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "a.go")
	if err := os.WriteFile(file, []byte("one\ntwo\nthree"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{"", file, file + ":", file + ":0", file + ":-1", file + ":4", file + ":x", file + ":2:0", file + ":2:5", file + ":1:2:3", file + ".gone:1"} {
		if pos, err := cursor(bad); err == nil {
			t.Errorf("%q was taken as %+v", bad, pos)
		}
	}
	for in, want := range map[string][2]string{
		file + ":1":   {"one", "\ntwo\nthree"},
		file + ":2:1": {"one\n", "two\nthree"},
		file + ":2:3": {"one\ntw", "o\nthree"},
		file + ":2:4": {"one\ntwo", "\nthree"},
		file + ":3":   {"one\ntwo\nthree", ""},
	} {
		pos, err := cursor(in)
		if err != nil || pos.Prefix != want[0] || pos.Suffix != want[1] {
			t.Errorf("%q: %q | %q, %v", in, pos.Prefix, pos.Suffix, err)
		}
	}
}

func TestReadUserRefuses(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"", "{}", "[]", `{"tenant":"tn-x"}`, `{"access_key_id":"A","secret_access_key":"S"}`} {
		file := filepath.Join(t.TempDir(), "u.json")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := readUser(file); err == nil {
			t.Errorf("%q was taken as a user", text)
		}
	}
}
