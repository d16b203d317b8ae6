package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cloisterdev/cloister/audit"
	"github.com/cloisterdev/cloister/kmsctx/localkms"
	"github.com/cloisterdev/cloister/tenant"
)

// localStore is the place of a store whose root key lies beside it.
func localStore(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "root.key"), bytes.Repeat([]byte{9}, 32), 0o600); err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, "kms")
}

func records(t *testing.T, store string) (out []audit.Event) {
	t.Helper()
	for e, err := range audit.Read(filepath.Join(store, "audit")) {
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, e)
	}
	return out
}

// Every use of a key is on record, as the service's are: with its context, and
// also where it was refused.
func TestLocalKeyIsRecorded(t *testing.T) {
	t.Parallel()
	store := localStore(t)
	a, b := []string{"--kms", "local:" + store, "--context", "tenant=tn-1"}, []string{"--kms", "local:" + store, "--context", "tenant=tn-2"}
	code, message, errOut := try([]byte("x"), append([]string{"seal"}, a...)...)
	if code != 0 {
		t.Fatal(errOut)
	}
	for _, args := range [][]string{append([]string{"open"}, a...), append([]string{"rewrap", "--to-context", "tenant=tn-2", "--header-only"}, a...)} {
		if code, _, errOut := try([]byte(message), args...); code != 0 {
			t.Fatalf("%s: %s", args[0], errOut)
		}
	}
	// Refused by the store itself: a key of the right name that wrapped another.
	forged := []byte(message)
	i := bytes.Index(forged, []byte("default"))
	forged[i+len("default")+40] ^= 1
	if code, _, errOut := try(forged, append([]string{"open"}, a...)...); code != 1 {
		t.Fatalf("a forged data key: code %d, %s", code, errOut)
	}
	var got []string
	for _, e := range records(t, store) {
		detail := func(name string) string { s, _ := strconv.Unquote(e.Detail[name]); return s }
		if detail("key") != "default" || !strings.HasPrefix(detail("principal"), "local:uid/") {
			t.Errorf("a record without who or what: %v", e.Detail)
		}
		got = append(got, strings.Join([]string{e.Kind, string(e.Decision), detail("context")}, " "))
	}
	want := []string{
		`kms.creategrant allow {"tenant":"tn-1"}`, `kms.generatedatakey allow {"tenant":"tn-1"}`, `kms.decrypt allow {"tenant":"tn-1"}`,
		`kms.decrypt allow {"tenant":"tn-1"}`, `kms.decrypt allow {"tenant":"tn-1"}`, `kms.creategrant allow {"tenant":"tn-2"}`, `kms.encrypt allow {"tenant":"tn-2"}`,
		`kms.decrypt deny {"tenant":"tn-1"}`,
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("on record:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if rep, err := audit.Verify(filepath.Join(store, "audit"), nil); err != nil || rep.Signed != rep.Records {
		t.Errorf("%+v, %v", rep, err)
	}
	if code, out, errOut := try([]byte("x"), append([]string{"seal"}, b...)...); code != 0 || out == "" {
		t.Errorf("the control: code %d, %s", code, errOut)
	}
}

// What cannot be recorded is not done, and the refusal says what helps.
func TestLocalKeyRefusesWithoutRecord(t *testing.T) {
	t.Parallel()
	store := localStore(t)
	call := func(in, command, tn string) (int, string, string) {
		return try([]byte(in), command, "--kms", "local:"+store, "--context", "tenant="+tn)
	}
	code, message, errOut := call("x", "seal", "a")
	if code != 0 {
		t.Fatal(errOut)
	}
	grants := func() int {
		k, err := localkms.Open(store, tenant.NewSecret(bytes.Repeat([]byte{9}, 32)))
		if err != nil {
			t.Fatal(err)
		}
		return len(k.Grants())
	}
	dir := filepath.Join(store, "audit")
	for name, c := range map[string]struct {
		spoil func() (mend func())
		want  string
	}{
		"altered": {func() func() {
			path := filepath.Join(dir, "records.jsonl")
			old, err := os.ReadFile(path)
			if err == nil {
				err = os.WriteFile(path, bytes.Replace(old, []byte("allow"), []byte("allaw"), 1), 0o600)
			}
			if err != nil {
				t.Fatal(err)
			}
			return func() { _ = os.WriteFile(path, old, 0o600) }
		}, "log was altered"},
		"no directory": {func() func() {
			if err := os.Rename(dir, dir+".away"); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(dir, nil, 0o600); err != nil {
				t.Fatal(err)
			}
			return func() { _, _ = os.Remove(dir), os.Rename(dir+".away", dir) }
		}, "cannot be recorded"},
	} {
		mend := c.spoil()
		before := grants()
		for _, do := range [][]string{{"x", "seal", "a"}, {message, "open", "a"}, {"x", "seal", "new"}} {
			if code, out, errOut := call(do[0], do[1], do[2]); code != 1 || out != "" || !strings.Contains(errOut, c.want) || strings.Count(errOut, "\n") != 1 {
				t.Errorf("%s, %s for %s: code %d, %d bytes, %q", name, do[1], do[2], code, len(out), errOut)
			}
		}
		if n := grants(); n != before {
			t.Errorf("%s: a grant was made without a record", name)
		}
		mend()
		if code, _, errOut := call(message, "open", "a"); code != 0 {
			t.Errorf("%s, the control: %s", name, errOut)
		}
	}
}

// Where another has the log, a command waits, and is told who that may be. Only
// what is sealed anew can be sealed elsewhere: what the store sealed, no other
// key opens.
func TestLocalKeyWaits(t *testing.T) {
	t.Parallel()
	store := localStore(t)
	args := []string{"--kms", "local:" + store, "--context", "tenant=a"}
	_, message, _ := try([]byte("x"), append([]string{"seal"}, args...)...)
	hold := func() (release func()) {
		l, err := audit.Open(filepath.Join(store, "audit"), nil)
		if err != nil {
			t.Fatal(err)
		}
		return func() { _ = l.Close() }
	}
	release := hold()
	for _, c := range []struct {
		args     []string
		suggests bool
	}{{[]string{"seal"}, true}, {[]string{"open"}, false}, {[]string{"rewrap", "--to-context", "tenant=b"}, false}} {
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		var out, errOut strings.Builder
		code := command(ctx, append(c.args, args...), strings.NewReader(message), &out, &errOut)
		cancel()
		if code != 1 || out.Len() > 0 || !strings.Contains(errOut.String(), "another cloister command or cloister kms serve") || strings.Contains(errOut.String(), "AWS_ENDPOINT_URL_KMS") != c.suggests || strings.Count(errOut.String(), "\n") != 1 {
			t.Errorf("%s: code %d, %d bytes, %q", c.args[0], code, out.Len(), errOut.String())
		}
	}
	time.AfterFunc(3*time.Second, release)
	if code, out, errOut := try([]byte(message), append([]string{"open"}, args...)...); code != 0 || out != "x" {
		t.Errorf("code %d, %s", code, errOut)
	}
	defer hold()()
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(100*time.Millisecond, cancel)
	start := time.Now()
	if code := command(ctx, append([]string{"open"}, args...), strings.NewReader(message), io.Discard, io.Discard); code == 0 || time.Since(start) > 2*time.Second {
		t.Errorf("interrupted: code %d after %s", code, time.Since(start))
	}
}

// Commands that use one store at once, as both ends of a pipe do, wait for each
// other's records.
func TestLocalKeyTogether(t *testing.T) {
	t.Parallel()
	store := localStore(t)
	args := []string{"--kms", "local:" + store, "--context", "tenant=a"}
	_, message, _ := try([]byte("x"), append([]string{"seal"}, args...)...)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if code, out, errOut := try([]byte(message), append([]string{"open"}, args...)...); code != 0 || out != "x" {
				t.Errorf("code %d, %s", code, errOut)
			}
		})
	}
	wg.Wait()
	kinds := map[string]int{}
	for _, e := range records(t, store) {
		kinds[e.Kind]++
	}
	if want := (map[string]int{"kms.creategrant": 1, "kms.generatedatakey": 1, "kms.decrypt": 8}); !maps.Equal(kinds, want) {
		t.Errorf("on record: %v", kinds)
	}
}

// What a store does not take is refused before there is a store.
func TestLocalKeyChecksFirst(t *testing.T) {
	t.Parallel()
	store := localStore(t)
	for _, c := range []struct {
		want string
		args []string
	}{
		{"values printable ASCII", []string{"--context", "tenant=\u00fc"}},
		{"keys of the context", []string{"--context", "Tenant=a"}},
		{"without spaces", []string{"--context", "tenant=a", "--key", "a b"}},
	} {
		want, args := c.want, c.args
		code, _, errOut := try([]byte("x"), append([]string{"seal", "--kms", "local:" + store}, args...)...)
		if code == 0 || !strings.Contains(errOut, want) || strings.Count(errOut, "\n") != 1 {
			t.Errorf("%q: code %d, %q", args, code, errOut)
		}
		if want != "without spaces" {
			if _, err := os.Stat(store); err == nil {
				t.Errorf("%q: a store was made", args)
			}
		}
	}
	if code, _, errOut := try([]byte("x"), "seal", "--kms", "local:"+store, "--context", "tenant=a", "--key", "a-b"); code != 0 {
		t.Errorf("the control: %s", errOut)
	}
}

// A value that is kept out of the message does not stand in the log instead.
func TestWithheldIsNotOnRecord(t *testing.T) {
	t.Parallel()
	store := localStore(t)
	const secret, next = "merger-with-acme", "merger-with-bolt"
	args := []string{"--kms", "local:" + store, "--withhold", "project", "--context", "tenant=tn-1", "--context", "project=" + secret}
	code, message, errOut := try([]byte("x"), append([]string{"seal"}, args...)...)
	if code != 0 {
		t.Fatal(errOut)
	}
	to := []string{"--to-context", "tenant=tn-2", "--to-context", "project=" + next}
	for _, more := range [][]string{{"open"}, append([]string{"rewrap"}, to...), append([]string{"rewrap", "--to-kms", "local:" + store}, to...), append([]string{"rewrap", "--header-only"}, to...)} {
		if code, _, errOut := try([]byte(message), append(more, args...)...); code != 0 {
			t.Fatalf("%q: %s", more, errOut)
		}
	}
	b, err := os.ReadFile(filepath.Join(store, "audit", "records.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(b, []byte(secret)) || bytes.Contains(b, []byte(next)) {
		t.Error("the log has the value of a withheld pair")
	}
	for _, e := range records(t, store) {
		if c, err := strconv.Unquote(e.Detail["context"]); err != nil || !strings.Contains(c, `"project":"withheld","tenant":"tn-`) {
			t.Errorf("%s: context %s", e.Kind, c)
		}
	}
}

// A store whose file is gone is not begun anew beside the log that tells of its
// keys; with the file it goes on, and a log of refusals alone is no such log.
func TestLostStore(t *testing.T) {
	t.Parallel()
	store := localStore(t)
	spec := []string{"--kms", "local:" + store, "--context", "tenant=tn-1"}
	code, message, errOut := try([]byte("x"), append([]string{"seal"}, spec...)...)
	if code != 0 {
		t.Fatal(errOut)
	}
	file := filepath.Join(store, "kms")
	if err := os.Rename(file, file+"-away"); err != nil {
		t.Fatal(err)
	}
	serve := []string{"kms", "serve", "--dir", store, "--root-key", filepath.Join(filepath.Dir(store), "root.key"), "--principals", filepath.Join(t.TempDir(), "who.json"), "--listen", "127.0.0.1:0"}
	if code, _, errOut := try(nil, "kms", "init", "--root-key", serve[5], "--principals", serve[7]); code != 0 {
		t.Fatal(errOut)
	}
	for _, args := range [][]string{append([]string{"seal"}, spec...), serve} {
		if code, _, errOut := try([]byte("x"), args...); code != 1 || !strings.Contains(errOut, "its file kms is missing") || !strings.Contains(errOut, "put it back") {
			t.Errorf("%s: code %d, %s", args[0], code, errOut)
		}
		if _, err := os.Stat(file); !errors.Is(err, os.ErrNotExist) {
			t.Fatalf("%s began another store", args[0])
		}
	}
	if err := os.Rename(file+"-away", file); err != nil {
		t.Fatal(err)
	}
	if code, out, errOut := try([]byte(message), append([]string{"open"}, spec...)...); code != 0 || out != "x" {
		t.Errorf("with the file: code %d, %s", code, errOut)
	}
	other := filepath.Join(t.TempDir(), "kms")
	log, err := audit.Open(filepath.Join(other, "audit"), nil)
	if err != nil {
		t.Fatal(err)
	}
	refused := audit.Event{Kind: "kms.request", Decision: audit.Deny, Reason: "not-accepted"}
	if err := errors.Join(log.Record(t.Context(), refused), log.Close()); err != nil {
		t.Fatal(err)
	}
	if err := storeLost(other, filepath.Join(other, "audit")); err != nil {
		t.Errorf("a log of refusals: %v", err)
	}
}
