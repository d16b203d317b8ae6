package main

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/cloisterdev/cloister/fas/profile"
)

// desk is a directory in which somebody works with the command.
type desk struct {
	t   *testing.T
	dir string
}

func newDesk(t *testing.T) *desk {
	t.Helper()
	d := &desk{t, t.TempDir()}
	d.put("allow.json", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["s3:GetObject","s3:ListBucket"],"Resource":"arn:aws:s3:::*"}]}`)
	return d
}

func (d *desk) path(name string) string { return filepath.Join(d.dir, name) }

func (d *desk) put(name, text string) string {
	d.t.Helper()
	if err := os.WriteFile(d.path(name), []byte(text), 0o600); err != nil {
		d.t.Fatal(err)
	}
	return d.path(name)
}

// run returns the exit code and everything that was printed.
func (d *desk) run(args ...string) (int, string) {
	var out, errOut bytes.Buffer
	code := run(append([]string{"profile"}, args...), &out, &errOut)
	return code, out.String() + errOut.String()
}

// must runs a command that succeeds, and keeps what it printed in a file.
func (d *desk) must(file string, args ...string) string {
	d.t.Helper()
	code, out := d.run(args...)
	if code != 0 {
		d.t.Fatalf("%q: %d, %s", args, code, out)
	}
	if file != "" {
		d.put(file, out)
	}
	return out
}

// expect runs a command and looks at how it ends.
func (d *desk) expect(code int, want string, args ...string) {
	d.t.Helper()
	if got, out := d.run(args...); got != code || !strings.Contains(out, want) {
		d.t.Errorf("%q: code %d, %s; want %d with %q", args, got, out, code, want)
	}
}

func (d *desk) draft(more ...string) []string {
	if !slices.Contains(more, "--operation") {
		more = append([]string{"--operation", "/Create"}, more...)
	}
	if !slices.Contains(more, "--caller") {
		more = append([]string{"--caller", "front-end"}, more...)
	}
	return append([]string{"new", "--id", "source", "--allow", d.path("allow.json"), "--bind", "/source/uri", "--ttl", "600", "--days", "30"}, more...)
}

// seeds makes a key for each role and the keyring of them.
func (d *desk) seeds() {
	var ring strings.Builder
	for i, r := range []string{"service", "security", "identity"} {
		seed := bytes.Repeat([]byte{byte(i + 1)}, ed25519.SeedSize)
		d.put(r, base64.StdEncoding.EncodeToString(seed)+"\n")
		ring.WriteString(r + " ed25519 " + base64.StdEncoding.EncodeToString(ed25519.NewKeyFromSeed(seed).Public().(ed25519.PublicKey)) + "\n")
	}
	d.put("keyring", ring.String())
}

func TestProfileUsage(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	p := d.path("p.json")
	d.must("p.json", d.draft()...)
	for _, args := range [][]string{
		{}, {"nonsense"}, {"sign"}, {"sign", p}, {"sign", p, "--ssh", "a", "--key", "b"}, {"sign", p, p, "--key", "b"}, {"verify", p}, {"verify", "--keys", "k"},
		{"show"}, {"show", p, p}, {"diff", p}, {"diff", p, p, p}, {"new", "file"}, {"new", "--nonsense"}, d.draft("--not-before", "today"),
	} {
		d.expect(2, "usage: cloister profile", args...)
	}
	d.expect(2, "lacks --operation, --caller, --allow, --bind, --ttl, --days;", "new", "--id", "x")
	d.expect(2, "lacks --caller;", "new", "--id", "x", "--operation", "/A", "--allow", d.path("allow.json"), "--bind", "/a", "--ttl", "1", "--days", "1")
	d.expect(0, "-payload", "show", "--help")
}

func TestProfileNewRefuses(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	for want, args := range map[string][]string{
		"ttl must be":               d.draft("--ttl", "901"),
		"at most 400 days":          d.draft("--days", "401"),
		"bind":                      d.draft("--bind", "cookie:a"),
		"min_level":                 d.draft("--min-level", "digest"),
		"version counts up":         d.draft("--version", "-1"),
		"allow: policy: empty":      d.draft("--allow", d.put("empty.json", "")),
		"allow: policy: malformed":  d.draft("--allow", d.put("bad.json", `{"Version":"2012-10-17"}`)),
		"no such file":              d.draft("--from", d.path("nothing")),
		`"caller" is not supported`: {"new", "--from", d.put("typo.json", `{"id":"x","caller":["a"]}`)},
		"something stands after":    {"new", "--from", d.put("two.json", `{"id":"x"}{}`)},
		`"callers" is there twice`:  {"new", "--from", d.put("twice.json", `{"callers":["a"],"callers":["b"]}`)},
		`"b" is there twice`:        {"new", "--from", d.put("deep.json", `{"allow":{"a":{"b":1,"b":2}}}`)},
		`"TTL" is not supported`:    {"new", "--from", d.put("case.json", `{"TTL":900}`)},
		`member "ttl": a value`:     {"new", "--from", d.put("kind.json", `{"ttl":"900"}`)},
		`member "not_after": a `:    {"new", "--from", d.put("time.json", `{"not_after":"soon"}`)},
	} {
		d.expect(1, want, args...)
	}
	d.must("", d.draft()...)
	d.must("", d.draft("--operation", "/b/{bucket}", "--bind", "path:bucket", "--min-level", "canonical", "--caller", "second")...)
}

func TestProfileApproval(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.seeds()
	p, keys := d.path("p.json"), d.path("keyring")
	d.must("p.json", d.draft()...)
	d.expect(1, "missing: service, security, identity", "verify", p, "--keys", keys)
	d.must("", "sign", p, "--key", d.path("service"), "--write")
	d.must("", "sign", p, "--key", d.path("service"), "--write")
	d.expect(1, "missing: security, identity", "verify", p, "--keys", keys)
	d.must("p.json", "sign", p, "--key", d.path("identity"))
	d.expect(1, "security  missing", "verify", p, "--keys", keys)
	var v verdict
	if code, out := d.run("verify", p, "--keys", keys, "--json"); code != 1 || json.Unmarshal([]byte(strings.SplitN(out, "\n", 2)[0]), &v) != nil ||
		v.Valid || len(v.Missing) != 1 || v.Missing[0] != profile.Security || len(v.Signed) != 2 || !strings.HasSuffix(v.Error, "missing: security") {
		t.Errorf("%d, %s", code, out)
	}
	d.must("", "sign", "--key", d.path("security"), "--write", p)
	d.expect(0, "security  signed, with SHA256:", "verify", p, "--keys", keys)
	d.expect(0, `"valid":true`, "verify", p, "--keys", keys, "--json")

	b, err := os.ReadFile(p)
	if err != nil {
		t.Fatal(err)
	}
	d.expect(1, "malformed", "verify", d.put("cut.json", string(b[:len(b)-9])), "--keys", keys)
	d.expect(1, "same key", "verify", p, "--keys", d.put("twice", strings.Replace(string(must(os.ReadFile(keys))), "identity", "service", 1)+"identity ed25519 "+strings.Fields(string(must(os.ReadFile(keys))))[2]))
	d.expect(1, "others can read it", "sign", p, "--key", d.public("service"))
	d.expect(1, "is no seed", "sign", p, "--key", d.put("short", "c2hvcnQ="))
	d.expect(1, "malformed", "sign", p, "--ssh", d.path("allow.json"))

	// The next version replaces this one, and this one does not replace it.
	d.must("q.json", "new", "--from", p, "--days", "10")
	for _, r := range []string{"service", "security", "identity"} {
		d.must("", "sign", d.path("q.json"), "--key", d.path(r), "--write")
	}
	d.expect(1, "version 1, where 2 was approved", "verify", p, "--keys", keys, "--replaces", d.path("q.json"))
	d.expect(0, "version 2", "verify", d.path("q.json"), "--keys", keys, "--replaces", p)
	d.must("later.json", d.draft("--not-before", "2999-01-01T00:00:00Z")...)
	for _, r := range []string{"service", "security", "identity"} {
		d.must("", "sign", d.path("later.json"), "--key", d.path(r), "--write")
	}
	d.expect(1, "not before 2999", "verify", d.path("later.json"), "--keys", keys)
}

func must(b []byte, err error) []byte {
	if err != nil {
		panic(err)
	}
	return b
}

// public makes a copy of a file that everybody may read.
func (d *desk) public(name string) string {
	d.t.Helper()
	if err := os.WriteFile(d.path(name+"-public"), must(os.ReadFile(d.path(name))), 0o600); err != nil {
		d.t.Fatal(err)
	}
	if err := os.Chmod(d.path(name+"-public"), 0o644); err != nil {
		d.t.Fatal(err)
	}
	return d.path(name + "-public")
}

// What the documentation tells a team to do, with the real ssh-keygen.
func TestProfileWithSSHKeygen(t *testing.T) {
	t.Parallel()
	keygen, err := exec.LookPath("ssh-keygen")
	if err != nil {
		t.Skip("there is no ssh-keygen here: install OpenSSH to test its signatures")
	}
	d := newDesk(t)
	ssh := func(args ...string) {
		t.Helper()
		cmd := exec.Command(keygen, args...)
		cmd.Dir = d.dir
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s", out)
		}
	}
	d.must("p.json", d.draft("--payload", d.path("p.payload"))...)
	if d.must("", "show", d.path("p.json"), "--payload") != string(must(os.ReadFile(d.path("p.payload")))) {
		t.Error("two payloads")
	}
	ring := ""
	for _, r := range []string{"service", "security", "identity"} {
		ssh("-q", "-t", "ed25519", "-N", "", "-f", r)
		ring += r + " " + string(must(os.ReadFile(d.path(r+".pub"))))
	}
	d.put("keyring", ring)
	for _, r := range []string{"service", "security", "identity"} {
		d.expect(1, r, "verify", d.path("p.json"), "--keys", d.path("keyring"))
		_ = os.Remove(d.path("p.payload.sig"))
		ssh("-Y", "sign", "-q", "-f", r, "-n", "git", "p.payload")
		d.expect(1, "use ssh-keygen -n cloister-profile", "sign", d.path("p.json"), "--ssh", d.path("p.payload.sig"), "--write")
		_ = os.Remove(d.path("p.payload.sig"))
		ssh("-Y", "sign", "-q", "-f", r, "-n", "cloister-profile", "p.payload")
		d.must("", "sign", d.path("p.json"), "--ssh", d.path("p.payload.sig"), "--write")
	}
	d.expect(0, "identity  signed", "verify", d.path("p.json"), "--keys", d.path("keyring"))
}

func TestProfileShow(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.must("p.json", d.draft("--not-before", "2026-01-01T01:00:00+01:00")...)
	out := d.must("", "show", d.path("p.json"))
	for _, want := range []string{"source, version 1", "front-end", "body at least", "/source/uri", "1 for a signed call, of 10m0s at most", "2026-01-01T00:00:00Z to 2026-01-31T00:00:00Z, 30 days", `"s3:ListBucket"`, "Who signed is not checked here"} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is not in\n%s", want, out)
		}
	}
	var got struct {
		Profile profile.Profile
		Hash    string
	}
	if err := json.Unmarshal([]byte(d.must("", "show", "--json", d.path("p.json"))), &got); err != nil || got.Profile.ID != "source" || !strings.Contains(out, got.Hash) {
		t.Errorf("%+v, %v", got, err)
	}
	d.must("all.json", d.draft("--caller", "*")...)
	d.expect(0, "every workload", "show", d.path("all.json"))
	d.must("wide.json", d.draft("--allow", d.put("wide", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}`))...)
	d.expect(0, "note        statement 0: everything", "show", d.path("wide.json"))
	d.expect(1, "malformed", "show", d.path("allow.json"))
}

func TestProfileDiff(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	begin := []string{"--not-before", "2026-01-01T00:00:00Z"}
	d.must("p.json", d.draft(begin...)...)
	policy := func(name, action, resource string) string {
		return d.put(name, `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":`+action+`,"Resource":"`+resource+`"}]}`)
	}
	for _, c := range []struct {
		args  []string
		want  string
		wider bool
	}{
		{[]string{"--operation", "/Create", "--operation", "/Update"}, "widens   operations: additionally serves /Update", true},
		{[]string{"--operation", "/Update"}, "narrows  operations: no longer serves /Create", true},
		{[]string{"--caller", "front-end", "--caller", "batch"}, "widens   callers: additionally serves batch", true},
		{[]string{"--caller", "batch"}, "narrows  callers: no longer serves front-end", true},
		{[]string{"--caller", "*"}, "widens   callers: additionally serves every workload", true},
		{[]string{"--ttl", "900"}, "widens   ttl: sessions of 900 seconds, were of 600", true},
		{[]string{"--ttl", "60"}, "narrows  ttl: sessions of 60 seconds, were of 600", false},
		{[]string{"--max-exchanges", "2"}, "widens   max_exchanges: 2 sessions for a signed call, was 1", true},
		{[]string{"--bind", "header:x-source", "--min-level", "canonical"}, "widens   min_level: asks for canonical, asked for body", true},
		{[]string{"--bind", "/other"}, "changes  bind: the resource is named by /other, was by /source/uri", true},
		{[]string{"--audience", "archive"}, "changes  audience: sessions are for archive, were for s3", true},
		{[]string{"--id", "other"}, "changes  id: other, was source", true},
		{[]string{"--version", "1"}, "changes  version: 1, where 1 is", true},
		{[]string{"--days", "60"}, "widens   not_after: valid to 2026-03-02T00:00:00Z, was to 2026-01-31T00:00:00Z", true},
		{[]string{"--days", "7"}, "narrows  not_after: valid to 2026-01-08T00:00:00Z", false},
		{[]string{"--allow", policy("more", `["s3:GetObject","s3:ListBucket","s3:PutObject"]`, "arn:aws:s3:::*")}, "widens   allow: additionally allows s3:PutObject on arn:aws:s3:::", true},
		{[]string{"--allow", policy("less", `"s3:GetObject"`, "arn:aws:s3:::*")}, "narrows  allow: no longer allows s3:ListBucket on arn:aws:s3:::", false},
		{nil, "nothing changes", false},
	} {
		args := append(append([]string{"new", "--from", d.path("p.json"), "--days", "30"}, begin...), c.args...)
		d.must("q.json", args...)
		out := d.must("", "diff", d.path("p.json"), d.path("q.json"))
		if !strings.Contains(out, c.want) {
			t.Errorf("%q: %s", c.args, out)
		}
		var got struct {
			Wider       bool `json:"may_be_wider"`
			Differences []difference
		}
		if err := json.Unmarshal([]byte(d.must("", "diff", "--json", d.path("p.json"), d.path("q.json"))), &got); err != nil || got.Wider != c.wider || (len(got.Differences) == 0) != (c.args == nil) {
			t.Errorf("%q: %+v, %v", c.args, got, err)
		}
		// The other way about, what widens narrows.
		back := d.must("", "diff", d.path("q.json"), d.path("p.json"))
		if strings.HasPrefix(c.want, "widens") && !strings.Contains(back, "narrows  "+strings.Fields(c.want)[1]) {
			t.Errorf("%q, back: %s", c.args, back)
		}
	}
	// A caller that everybody was stays one.
	d.must("all.json", d.draft(append([]string{"--caller", "*"}, begin...)...)...)
	d.must("one.json", "new", "--from", d.path("all.json"), "--caller", "batch", "--not-before", "2026-01-01T00:00:00Z", "--days", "30")
	if out := d.must("", "diff", d.path("all.json"), d.path("one.json")); !strings.Contains(out, "no longer serves every workload") || strings.Contains(out, "widens") || !strings.Contains(out, "nothing is wider") {
		t.Error(out)
	}
	d.expect(1, "malformed", "diff", d.path("p.json"), d.path("allow.json"))
}
