package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// said runs a command and demands one line of standard error with every text.
func said(t *testing.T, code int, in string, want []string, args ...string) {
	t.Helper()
	got, _, errOut := try([]byte(in), args...)
	if got != code || strings.Count(errOut, "\n") != 1 {
		t.Errorf("%q: code %d, not %d: %q", args, got, code, errOut)
	}
	for _, w := range want {
		if !strings.Contains(errOut, w) {
			t.Errorf("%q: %q does not say %q", args, errOut, w)
		}
	}
}

// Nobody asked for the temporary file that cannot be made.
func TestErrorsNameWhatWasAskedFor(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.seeds()
	no := d.path("missing")
	for _, args := range [][]string{
		{"kms", "init", "--root-key", filepath.Join(no, "root.key"), "--principals", filepath.Join(no, "who")},
		{"seal", "--kms", keyFile(t, "k", 1), "--context", "a=1", "-o", filepath.Join(no, "out")},
	} {
		code, _, errOut := try(nil, args...)
		if code != 1 || strings.Contains(errOut, ".tmp") || !strings.Contains(errOut, no+string(filepath.Separator)) || !strings.Contains(errOut, "no such file") {
			t.Errorf("%s: code %d, %q", args[0], code, errOut)
		}
	}
	for _, err := range []error{
		&os.PathError{Op: "write", Path: "/x/.out-123", Err: errFull},
		&os.LinkError{Op: "rename", Old: "/x/.out-123", New: "/x/out", Err: errFull},
		errors.Join(&os.PathError{Op: "open", Path: "out.tmp", Err: errFull}, errors.New("more")),
		errFull,
	} {
		if got := about("out", err); got.Error() != "out: no space left" || !errors.Is(got, errFull) {
			t.Errorf("%v: %v", err, got)
		}
	}
}

// The file is what the error is about, not the name that it has until it is
// whole; what else fails is said as it is.
func TestOutputWriteFails(t *testing.T) {
	t.Parallel()
	f, err := os.CreateTemp(t.TempDir(), ".out-*")
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
	if _, err := (target{f, "out"}).Write([]byte("x")); !errors.Is(err, os.ErrClosed) || strings.Contains(err.Error(), f.Name()) || !strings.HasPrefix(err.Error(), "out: ") {
		t.Error(err)
	}
	path := filepath.Join(t.TempDir(), "out")
	other := &os.PathError{Op: "read", Path: "input", Err: errFull}
	if err := writeTo(path, nil, func(io.Writer) error { return other }); !errors.Is(err, other) || !strings.Contains(err.Error(), "input") {
		t.Error(err)
	}
}

func TestHelpOfGroups(t *testing.T) {
	t.Parallel()
	for group, want := range map[string][]string{
		"audit":      {"audit verify DIR", "--key"},
		"policy":     {"policy check", "policy subset", "policy eval", "--action"},
		"profile":    {"profile new", "profile sign", "profile verify", "--replaces", "profile show", "profile diff"},
		"invariants": {"--json"},
	} {
		for _, h := range []string{"--help", "-h", "help"} {
			code, out, errOut := try(nil, group, h)
			if code != 0 || errOut != "" || !strings.HasPrefix(out, "Usage: cloister") || strings.Contains(out, "rewrap") {
				t.Errorf("%s %s: code %d, %q, %q", group, h, code, out, errOut)
			}
			for _, w := range want {
				if !strings.Contains(out, w) {
					t.Errorf("%s %s says nothing of %s", group, h, w)
				}
			}
		}
		var errOut strings.Builder
		if code := command(t.Context(), []string{group, "--help"}, strings.NewReader(""), &full{}, &errOut); code != 1 {
			t.Errorf("%s: help that cannot be printed: code %d", group, code)
		}
	}
}

// Of several words, a usage error says which one is too many.
func TestUsageNamesTheWord(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	a := d.path("allow.json")
	k := []string{"--kms", keyFile(t, "k", 1), "--context", "a=1"}
	for _, args := range [][]string{
		{"stray"}, {"audit", "stray"}, {"policy", "stray"}, {"policy", "stray", a}, {"profile", "stray"}, {"kms", "stray"},
		{"audit", "verify", d.dir, "stray"}, {"policy", "check", a, "stray"}, {"policy", "subset", a, a, "stray"},
		{"profile", "show", a, "stray"}, {"profile", "diff", a, a, "stray"}, {"profile", "new", "stray"}, {"profile", "sign", a, "stray", "--key", a},
		{"invariants", "stray"}, {"invariants", "--json", "stray"}, {"version", "stray"}, {"inspect", "stray"}, {"kms", "init", "--root-key", "r", "--principals", "p", "stray"},
		append([]string{"seal"}, append(k, "stray")...),
		{"profile", "show", a, "--stray"}, {"inspect", "--stray"}, append([]string{"open"}, append(k, "--stray")...), {"kms", "serve", "--stray"},
	} {
		said(t, 2, "", []string{"usage: ", "stray"}, args...)
	}
	said(t, 2, "", []string{"5s"}, "kms", "serve", "--dir", d.path("s"), "--root-key", "r", "--principals", "p", "--propagation", "5")
	said(t, 2, "", []string{"-propagation", "10s or 5m"}, "kms", "serve", "--dir", d.path("s"), "--root-key", "r", "--principals", "p", "--propagation", "soon")
}

func TestSecondServiceIsTold(t *testing.T) {
	t.Parallel()
	_, dir, _ := serveKMS(t)
	store := filepath.Join(dir, "store")
	said(t, 1, "", []string{filepath.Join(store, "audit"), "another process has it"}, "kms", "serve", "--dir", store, "--root-key", filepath.Join(dir, "root.key"), "--principals", filepath.Join(dir, "principals.json"), "--listen", "127.0.0.1:0")
}

// A directory without a store is not a store without a grant.
func TestStoreIsMissing(t *testing.T) {
	t.Parallel()
	store := localStore(t)
	args := []string{"--kms", "local:" + store, "--context", "a=1"}
	_, message, _ := try([]byte("x"), append([]string{"seal"}, args...)...)
	if err := os.Rename(filepath.Join(store, "kms"), filepath.Join(store, "kms.away")); err != nil {
		t.Fatal(err)
	}
	said(t, 1, message, []string{store, "no store", "kms is missing"}, append([]string{"open"}, args...)...)
	if _, err := os.Stat(filepath.Join(store, "kms")); err == nil {
		t.Error("a reader made a store")
	}
}

func TestProfileMessages(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.seeds()
	p := d.path("p.json")
	d.must("p.json", d.draft()...)
	draft := d.put("draft.json", `{"id":"x"}`)
	for _, args := range [][]string{{"sign", draft, "--key", d.path("service")}, {"sign", draft, "--ssh", d.put("sig", "x")}, {"show", draft}} {
		said(t, 1, "", []string{draft, "cloister profile new"}, append([]string{"profile"}, args...)...)
	}
	said(t, 1, "", []string{d.path("sig")}, "profile", "sign", p, "--ssh", d.path("sig"))
	// A signature of nobody in the keyring is no missing signature.
	d.put("stranger", strings.Repeat("s", 32))
	for _, r := range []string{"service", "stranger"} {
		d.must("", "sign", p, "--key", d.path(r), "--write")
	}
	verify := []string{"verify", p, "--keys", d.path("keyring")}
	_, out := d.run(verify...)
	if n := strings.Count(out, "no key of the keyring"); n != 1 || !strings.Contains(out, "service   signed") || !strings.Contains(out, "missing: security, identity") {
		t.Errorf("%s", out)
	}
	var v struct{ Unknown []string }
	_, out, _ = try(nil, append([]string{"profile"}, append(verify, "--json")...)...)
	if err := json.Unmarshal([]byte(out), &v); err != nil || len(v.Unknown) != 1 || v.Unknown[0] == "" {
		t.Errorf("%s: %+v, %v", out, v, err)
	}
	// The name of the key is whatever somebody wrote there.
	env := bytes.Replace(must(os.ReadFile(p)), []byte(v.Unknown[0]), []byte(`\u001b[2Jservice signed`), 1)
	d.put("p.json", string(env))
	if _, out := d.run(verify...); strings.Contains(out, "\x1b") || !strings.Contains(out, "no key of the keyring") {
		t.Errorf("%q", out)
	}
}

// Where pairs may have been withheld altogether, the refusal says so.
func TestWithheldPairsAreMentioned(t *testing.T) {
	t.Parallel()
	k := keyFile(t, "k", 1)
	_, message, _ := try([]byte("x"), "seal", "--kms", k, "--context", "a=1", "--context", "b=2", "--withhold", "b")
	for _, args := range [][]string{{"open"}, {"rewrap", "--to-context", "a=2"}, {"rewrap", "--to-context", "a=2", "--header-only"}} {
		said(t, 1, message, []string{"no encrypted data key opens", "--withhold"}, append(args, "--kms", k, "--context", "a=1")...)
	}
	code, _, errOut := try([]byte(message), "open", "--kms", keyFile(t, "k", 2), "--context", "a=1", "--context", "b=2", "--withhold", "b")
	if code != 1 || strings.Contains(errOut, "--withhold") {
		t.Errorf("where it was used: code %d, %s", code, errOut)
	}
}

func TestInterruptedSaysSo(t *testing.T) {
	t.Parallel()
	store := localStore(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var errOut strings.Builder
	if code := command(ctx, []string{"seal", "--kms", "local:" + store, "--context", "a=1"}, strings.NewReader("x"), &strings.Builder{}, &errOut); code != 130 || errOut.String() != "cloister: interrupted\n" {
		t.Errorf("code %d, %q", code, errOut.String())
	}
}
