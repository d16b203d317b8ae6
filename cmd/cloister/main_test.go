package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cloisterdev/cloister/audit"
)

// TestMain takes away the AWS configuration of whoever runs the tests, all but
// the credentials, which TestAWSKeyElsewhere may need and the others set.
func TestMain(m *testing.M) {
	for _, v := range os.Environ() {
		switch name, _, _ := strings.Cut(v, "="); name {
		case "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN":
		default:
			if strings.HasPrefix(name, "AWS_") {
				os.Unsetenv(name)
			}
		}
	}
	for _, file := range []string{"AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"} {
		os.Setenv(file, os.DevNull)
	}
	os.Exit(m.Run())
}

func TestAuditVerify(t *testing.T) {
	dir := t.TempDir()
	l, err := audit.Open(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if err := l.Record(context.Background(), audit.Event{Kind: "test", Decision: audit.Deny, Reason: "because"}); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	try := func(args ...string) (int, string) {
		var out, errOut bytes.Buffer
		code := run(args, &out, &errOut)
		return code, out.String() + errOut.String()
	}
	for _, c := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"audit", "verify", dir}, 0, "3 records"},
		{[]string{"audit", "verify", "--json", dir}, 0, `"Records":3`},
		{[]string{"audit", "verify", filepath.Join(dir, "nothing")}, 1, "no such file"},
		{[]string{"audit", "verify", t.TempDir()}, 1, "no checkpoint"},
		{[]string{"audit", "verify", dir, "--key", filepath.Join(dir, "records.jsonl")}, 1, "public key is none"},
		{[]string{"audit", "verify"}, 2, "usage"},
		{[]string{"audit", "verify", dir, dir}, 2, "usage"},
		{[]string{"audit", "verify", "--nonsense", dir}, 2, "usage"},
		{[]string{"nonsense"}, 2, "no such command"},
		{[]string{"audit", "verify", "--help"}, 0, "Usage: cloister audit verify DIR"},
		{[]string{"policy", "check", "--help"}, 0, "Usage: cloister policy check FILE"},
		{[]string{"profile", "sign", "--help"}, 0, "Usage: cloister profile sign FILE"},
		{[]string{"kms", "serve", "--help"}, 0, "Usage: cloister kms init"},
		{[]string{"kms", "servee"}, 2, "kms init | serve"},
		{[]string{"policy"}, 2, "usage: cloister policy check"},
		{[]string{"version"}, 0, "cloister"},
		{[]string{"invariants"}, 0, "**FAS-01** "},
		{[]string{"invariants", "--json"}, 0, `"id":"FAS-01"`},
		{[]string{"invariants", "FAS-01"}, 2, "usage: cloister invariants"},
		{[]string{"invariants", "--json", "x"}, 2, "usage: cloister invariants"},
		{nil, 0, "Usage"},
	} {
		if code, out := try(c.args...); code != c.code || !strings.Contains(out, c.want) {
			t.Errorf("%q: code %d, output %q", c.args, code, out)
		}
	}
	path := filepath.Join(dir, "records.jsonl")
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, bytes.Replace(b, []byte("deny"), []byte("allo"), 1), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, out := try("audit", "verify", dir); code != 1 || !strings.Contains(out, "altered") || strings.Count(out, "\n") != 1 {
		t.Errorf("an edited log: code %d, output %q", code, out)
	}
}
