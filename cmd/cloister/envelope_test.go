package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cloisterdev/cloister/kmsctx"
)

// binary builds the command once for the tests that need a process.
func binary(t *testing.T) string {
	t.Helper()
	bin := filepath.Join(t.TempDir(), "cloister")
	if out, err := exec.Command("go", "build", "-o", bin, ".").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	return bin
}

func keyFile(t *testing.T, name string, fill byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	b, err := json.Marshal(map[string]string{"namespace": "cloister", "name": name,
		"key": base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{fill}, 32))})
	if err == nil {
		err = os.WriteFile(path, b, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	return "raw:" + path
}

// rawFile is the --kms of a file with that text.
func rawFile(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "key.json")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return "raw:" + path
}

// try runs one command in this process.
func try(in []byte, args ...string) (code int, out, errOut string) {
	var o, e bytes.Buffer
	code = command(context.Background(), args, bytes.NewReader(in), &o, &e)
	return code, o.String(), e.String()
}

func TestEnvelope(t *testing.T) {
	t.Parallel()
	k, other := keyFile(t, "k", 1), keyFile(t, "other", 2)
	plain := bytes.Repeat([]byte("source text "), 30_000)
	c := []string{"--context", "tenant=tn-1", "--context", "customization=cust-1"}
	seal := func(more ...string) []byte {
		t.Helper()
		code, out, errOut := try(plain, append(append([]string{"seal", "--kms", k}, c...), more...)...)
		if code != 0 {
			t.Fatalf("seal %q: code %d, %s", more, code, errOut)
		}
		return []byte(out)
	}
	message := seal()
	changed := bytes.Clone(message)
	changed[len(changed)/2] ^= 1
	withheld := seal("--withhold", "customization")
	for _, r := range []struct {
		name string
		in   []byte
		args []string
		code int
		want string
	}{
		{"the control", message, append([]string{"open", "--kms", k}, c...), 0, string(plain)},
		{"another key", message, append([]string{"open", "--kms", other}, c...), 1, "no encrypted data key opens"},
		{"another tenant", message, []string{"open", "--kms", k, "--context", "tenant=tn-2", "--context", "customization=cust-1"}, 1, "context does not match"},
		{"a part of the context", message, []string{"open", "--kms", k, "--context", "tenant=tn-1"}, 1, "context does not match"},
		{"no context", message, []string{"open", "--kms", k}, 2, "at least one --context"},
		{"no key", message, append([]string{"open"}, c...), 2, "needs --kms"},
		{"a bit changed", changed, append([]string{"open", "--kms", k}, c...), 1, "frame"},
		{"cut off", message[:len(message)-100], append([]string{"open", "--kms", k}, c...), 1, "cut off"},
		{"a byte more", append(bytes.Clone(message), 0), append([]string{"open", "--kms", k}, c...), 1, "bytes after"},
		{"base64", []byte(base64.StdEncoding.EncodeToString(message)), append([]string{"open", "--kms", k}, c...), 1, "base64"},
		{"no message", []byte("hello"), append([]string{"open", "--kms", k}, c...), 1, "cloister: "},
		{"no such file", message, append([]string{"open", "--kms", "raw:/none"}, c...), 1, "no such file"},
		{"no such kind", message, append([]string{"open", "--kms", "vault:x"}, c...), 2, "raw:FILE"},
		{"the same key twice", message, []string{"open", "--kms", k, "--context", "a=1", "--context", "a=2"}, 2, "each key once"},
		{"no pair", message, []string{"open", "--kms", k, "--context", "tenant"}, 2, "k=v"},
		{"a word too many", message, append([]string{"open", "--kms", k, "--context", "a=1"}, "x"), 2, "left over"},
		{"a reserved key", plain, []string{"seal", "--kms", k, "--context", "aws-crypto-x=1"}, 1, "context not accepted"},
		{"a suite of version 1", plain, []string{"seal", "--kms", k, "--context", "a=1", "--suite", "0178"}, 2, "0478 or 0578"},
		{"a frame too long", plain, []string{"seal", "--kms", k, "--context", "a=1", "--frame", "20000000"}, 2, "--frame is 1 to 16777216 bytes"},
		{"version 104", []byte("hi"), append([]string{"open", "--kms", k}, c...), 1, "the input is no message"},
		{"version 104, only the header", []byte("hi"), append([]string{"rewrap", "--kms", k, "--to-kms", other, "--header-only"}, c...), 1, "the input is no message"},
		{"version 104, looked at", []byte("hi"), []string{"inspect"}, 1, "the input is no message"},
		{"a short key", plain, []string{"seal", "--kms", rawFile(t, `{"namespace":"n","name":"k","key":"AAAA"}`), "--context", "a=1"}, 1, "has 3 bytes and needs 32"},
		{"a key file with two keys", plain, []string{"seal", "--kms", rawFile(t, `{"namespace":"n","name":"k","key":"`+key32(1)+`","key":"`+key32(2)+`"}`), "--context", "a=1"}, 1, `"key" is there twice`},
		{"a key file in another case", plain, []string{"seal", "--kms", rawFile(t, `{"namespace":"n","name":"k","key":"`+key32(1)+`","Key":"`+key32(2)+`"}`), "--context", "a=1"}, 1, `"Key" is there twice, or in two cases`},
		{"a key file of another case", plain, []string{"seal", "--kms", rawFile(t, `{"namespace":"n","name":"k","Key":"`+key32(1)+`"}`), "--context", "a=1"}, 1, `"Key" is not supported`},
		{"a key file that is not what it says", plain, []string{"seal", "--kms", rawFile(t, `{"namespace":"n\ud800","name":"k","key":"`+key32(1)+`"}`), "--context", "a=1"}, 1, "UTF-8"},
		{"two key files in one", plain, []string{"seal", "--kms", rawFile(t, `{"namespace":"n","name":"k","key":"`+key32(1)+`"}{}`), "--context", "a=1"}, 1, "after the object"},
		{"half a key file", plain, []string{"seal", "--kms", rawFile(t, `{"namespace":"n","name":"k","key":"`+key32(1)+`"`), "--context", "a=1"}, 1, "not one JSON object"},
		{"a key file that is a list", plain, []string{"seal", "--kms", rawFile(t, `["n"]`), "--context", "a=1"}, 1, "no object begins it"},
		{"a key that is no base64", plain, []string{"seal", "--kms", rawFile(t, `{"namespace":"n","name":"k","key":"%"}`), "--context", "a=1"}, 1, `member "key": a value is not of its member's kind`},
		{"an output without a name", plain, []string{"seal", "--kms", k, "--context", "a=1", "-o", ""}, 2, "-o names no file"},
		{"no suite", plain, []string{"seal", "--kms", k, "--context", "a=1", "--suite", ""}, 2, "0478 or 0578"},
		{"another suite for an old body", message, append([]string{"rewrap", "--kms", k, "--to-kms", other, "--header-only", "--suite", "0478"}, c...), 2, "--header-only keeps the body"},
		{"another frame for an old body", message, append([]string{"rewrap", "--kms", k, "--to-kms", other, "--header-only", "--frame", "9"}, c...), 2, "--header-only keeps the body"},
		{"a reserved namespace", plain, []string{"seal", "--kms", rawFile(t, `{"namespace":"aws-kms","name":"k","key":"`+strings.Repeat("AAAA", 10)+`AAA="}`), "--context", "a=1"}, 1, `"namespace" and "name"`},
		{"no directory for the output", plain, []string{"seal", "--kms", k, "--context", "a=1", "-o", "/none/x"}, 1, "-o /none/x: no such file"},
		{"a command that is none", plain, []string{"sael", "--kms", k}, 2, "cloister help names them"},
		{"half a command", plain, []string{"audit"}, 2, "usage: cloister audit verify"},
		{"an audit flag that is none", plain, []string{"audit", "verify", "--nonsense", "x"}, 2, "-nonsense"},
		{"no frame", plain, []string{"seal", "--kms", k, "--context", "a=1", "--frame", "0"}, 2, "--frame is 1 to 16777216 bytes"},
		{"an alias", plain, []string{"seal", "--kms", "aws:foo", "--context", "a=1"}, 1, "arn:aws:kms:REGION:ACCOUNT:key/ID; an alias or ID is not accepted; aws kms describe-key --key-id foo"},
		{"a token without a service", plain, []string{"seal", "--kms", k, "--context", "a=1", "--grant-token", "t"}, 2, "--grant-token belongs to --kms aws:ARN"},
		{"a store's flags without one", plain, []string{"seal", "--kms", k, "--context", "a=1", "--key", "x"}, 2, "--key belong to --kms local:DIR"},
		{"a new store's flags without one", message, append([]string{"rewrap", "--kms", k, "--to-context", "a=1", "--to-key", "x"}, c...), 2, "belong to --to-kms"},
		{"a new kind that is none", message, append([]string{"rewrap", "--kms", k, "--to-kms", "vault:x"}, c...), 2, "--to-kms is raw:FILE"},
		{"withheld without a value", plain, []string{"seal", "--kms", k, "--context", "a=1", "--withhold", "b"}, 2, "needs the value of that key"},
		{"withheld without a new value", message, append([]string{"rewrap", "--kms", k, "--to-context", "a=1", "--withhold", "tenant"}, c...), 2, "with --to-context"},
		{"signed", seal("--suite", "0578"), append([]string{"open", "--kms", k}, c...), 0, string(plain)},
		{"withheld", withheld, append([]string{"open", "--kms", k, "--withhold", "customization"}, c...), 0, string(plain)},
		{"withheld, and not said so", withheld, append([]string{"open", "--kms", k}, c...), 1, "open it with --withhold customization"},
		{"rewrapped, and not said so", withheld, append([]string{"rewrap", "--kms", k, "--to-kms", other}, c...), 1, "open it with --withhold customization"},
		{"rewrapped, header only, and not said so", withheld, append([]string{"rewrap", "--kms", k, "--to-kms", other, "--header-only"}, c...), 1, "open it with --withhold customization"},
		{"a part of the context, and where to look", message, []string{"open", "--kms", k, "--context", "tenant=tn-1"}, 1, "cloister inspect shows them"},
		{"withheld, another value", withheld, []string{"open", "--kms", k, "--withhold", "customization", "--context", "tenant=tn-1", "--context", "customization=x"}, 1, ""},
		{"rewrap to nothing", message, append([]string{"rewrap", "--kms", k}, c...), 2, "--to-kms"},
		{"rewrap of what is not ours", message, []string{"rewrap", "--kms", other, "--context", "tenant=tn-1", "--context", "customization=cust-1", "--to-context", "tenant=x"}, 1, "no encrypted data key"},
		{"only the header of a signed message", seal("--suite", "0578"), append([]string{"rewrap", "--kms", k, "--to-kms", other, "--header-only"}, c...), 1, "not supported"},
		{"help", nil, []string{"seal", "--help"}, 0, "Usage: cloister seal"},
	} {
		code, out, errOut := try(r.in, r.args...)
		if code != r.code || !strings.Contains(out+errOut, r.want) {
			t.Errorf("%s: code %d, %d bytes out, %q; want %d and %.40q", r.name, code, len(out), errOut, r.code, r.want)
		}
		if r.name == "another tenant" && (strings.Contains(errOut, "tn-") || strings.Contains(errOut, "the header")) {
			t.Errorf("what is another tenant's is told: %q", errOut)
		}
		if code != 0 && strings.Count(errOut, "\n") != 1 {
			t.Errorf("%s: not one line: %q", r.name, errOut)
		}
	}
}

func key32(b byte) string {
	return base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{b}, 32))
}

// A body that is not whole is not moved: whoever destroys the old message would be
// left with half of one.
func TestRewrapOfABrokenBody(t *testing.T) {
	t.Parallel()
	k, other := keyFile(t, "k", 1), keyFile(t, "other", 2)
	_, message, _ := try(bytes.Repeat([]byte("x"), 200_000), "seal", "--kms", k, "--context", "tenant=a")
	changed := []byte(message)
	changed[len(changed)-1000] ^= 1
	for name, in := range map[string]string{"cut off": message[:150_000], "without its last frame": message[:len(message)-20], "two of them": message + message, "changed": string(changed)} {
		out := filepath.Join(t.TempDir(), "moved")
		code, _, errOut := try([]byte(in), "rewrap", "--kms", k, "--context", "tenant=a", "--to-kms", other, "--header-only", "-o", out)
		if _, err := os.Stat(out); code != 1 || !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: code %d, %s, %v", name, code, errOut, err)
		}
	}
	out := filepath.Join(t.TempDir(), "moved")
	if code, _, errOut := try([]byte(message), "rewrap", "--kms", k, "--context", "tenant=a", "--to-kms", other, "--header-only", "-o", out); code != 0 {
		t.Fatal(errOut)
	}
	moved, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.HasSuffix(moved, []byte(message[len(message)-200_000:])) {
		t.Error("control: the body is another one")
	}
}

// What was signed stays so, and what was not is signed where that is asked for.
func TestRewrapKeepsTheSuite(t *testing.T) {
	t.Parallel()
	k, other := keyFile(t, "k", 1), keyFile(t, "other", 2)
	for _, c := range []struct{ sealed, flag, want string }{
		{"0478", "", "0x0478"}, {"0578", "", "0x0578"}, {"0578", "0478", "0x0478"}, {"0478", "0578", "0x0578"}, {"0578", "0578", "0x0578"},
	} {
		_, message, _ := try([]byte("source"), "seal", "--kms", k, "--context", "tenant=a", "--suite", c.sealed)
		args := []string{"rewrap", "--kms", k, "--context", "tenant=a", "--to-kms", other}
		if c.flag != "" {
			args = append(args, "--suite", c.flag)
		}
		code, moved, errOut := try([]byte(message), args...)
		if code != 0 {
			t.Fatal(errOut)
		}
		if u, err := kmsctx.InspectUnverified([]byte(moved)); err != nil || u.Suite.String() != c.want {
			t.Errorf("%+v: %v, %v", c, u.Suite, err)
		}
		if code, out, errOut := try([]byte(moved), "open", "--kms", other, "--context", "tenant=a"); code != 0 || out != "source" {
			t.Errorf("%+v: code %d, %q, %s", c, code, out, errOut)
		}
	}
}

func TestRewrap(t *testing.T) {
	t.Parallel()
	k, other := keyFile(t, "k", 1), keyFile(t, "other", 2)
	plain := bytes.Repeat([]byte("x"), 200_000)
	_, message, _ := try(plain, "seal", "--kms", k, "--context", "tenant=a")
	for _, flags := range [][]string{nil, {"--header-only"}} {
		code, moved, errOut := try([]byte(message), append([]string{"rewrap", "--kms", k, "--context", "tenant=a", "--to-kms", other, "--to-context", "tenant=b"}, flags...)...)
		if code != 0 {
			t.Fatalf("%q: %s", flags, errOut)
		}
		if code, _, errOut := try([]byte(moved), "open", "--kms", k, "--context", "tenant=a"); code != 1 {
			t.Errorf("%q: still opens as it was: %s", flags, errOut)
		}
		code, out, errOut := try([]byte(moved), "open", "--kms", other, "--context", "tenant=b")
		if code != 0 || out != string(plain) {
			t.Errorf("%q: code %d, %s", flags, code, errOut)
		}
		u, err := kmsctx.InspectUnverified([]byte(message))
		v, err2 := kmsctx.InspectUnverified([]byte(moved))
		if err != nil || err2 != nil {
			t.Fatal(err, err2)
		}
		same := message[u.HeaderLength:] == moved[v.HeaderLength:]
		if same != (flags != nil) {
			t.Errorf("%q: the body is the same: %t", flags, same)
		}
	}
}

func TestInspect(t *testing.T) {
	t.Parallel()
	k := keyFile(t, "k", 1)
	_, message, _ := try([]byte("x"), "seal", "--kms", k, "--context", "tenant=tn-1")
	code, out, errOut := try([]byte(message), "inspect", "--json")
	var got inspected
	if err := json.Unmarshal([]byte(out), &got); err != nil || code != 0 || !got.Unverified || got.Suite != "0x0478" || got.Context["tenant"] != "tn-1" || len(got.Keys) != 1 {
		t.Errorf("code %d, %v, %s %s", code, err, out, errOut)
	}
	if code, out, errOut := try([]byte(message), "inspect"); code != 0 || !strings.Contains(out, `"tenant" = "tn-1"`) || !strings.Contains(errOut, "nothing of this is verified") {
		t.Errorf("code %d: %s %s", code, out, errOut)
	}
	for _, bad := range []string{"", "hello", message[:20]} {
		if code, _, _ := try([]byte(bad), "inspect"); code != 1 {
			t.Errorf("%q: code %d", bad, code)
		}
	}
}

// A file that -o names appears whole or not at all.
func TestOutputFile(t *testing.T) {
	t.Parallel()
	k := keyFile(t, "k", 1)
	_, message, _ := try(bytes.Repeat([]byte("x"), 100_000), "seal", "--kms", k, "--context", "tenant=a")
	path := filepath.Join(t.TempDir(), "plain")
	if code, _, _ := try([]byte(message[:len(message)-1]), "open", "--kms", k, "--context", "tenant=a", "-o", path); code != 1 {
		t.Errorf("code %d", code)
	}
	if left, err := filepath.Glob(filepath.Join(filepath.Dir(path), "*")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %q %v", left, err)
	}
	if code, _, errOut := try([]byte(message), "open", "--kms", k, "--context", "tenant=a", "-o", path); code != 0 {
		t.Error(errOut)
	}
	if b, err := os.ReadFile(path); err != nil || len(b) != 100_000 {
		t.Errorf("%d bytes, %v", len(b), err)
	}
}

// A writer that is killed leaves a message that says so.
func TestKilledWriter(t *testing.T) {
	t.Parallel()
	bin, k := binary(t), keyFile(t, "k", 1)
	path := filepath.Join(t.TempDir(), "message")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	c := exec.Command(bin, "seal", "--kms", k, "--context", "tenant=a")
	c.Stdout = f
	in, err := c.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := in.Write(make([]byte, 1<<20)); err != nil {
		t.Fatal(err)
	}
	for start := time.Now(); ; time.Sleep(5 * time.Millisecond) {
		if i, err := f.Stat(); err == nil && i.Size() > 256<<10 {
			break
		}
		if time.Since(start) > 20*time.Second {
			t.Fatal("nothing was written")
		}
	}
	if err := c.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = c.Wait()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if code, _, errOut := try(b, "open", "--kms", k, "--context", "tenant=a"); code != 1 || !strings.Contains(errOut, "cut off") {
		t.Errorf("code %d, %s", code, errOut)
	}
}
