package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A flag that a command would pass over is one that it does not have.
func TestFlagsOfOthers(t *testing.T) {
	t.Parallel()
	dir, k := t.TempDir(), keyFile(t, "k", 1)
	init := []string{"kms", "init", "--root-key", filepath.Join(dir, "root.key"), "--principals", filepath.Join(dir, "who")}
	for _, c := range []struct {
		args  []string
		flags []string
	}{
		{[]string{"seal", "--kms", k, "--context", "a=1"}, []string{"--unframed", "--header-only", "--to-kms=" + k, "--to-context=a=1"}},
		{[]string{"open", "--kms", k, "--context", "a=1"}, []string{"--suite=0578", "--frame=9", "--header-only", "--to-kms=" + k}},
		{init, []string{"--dir=" + dir, "--listen=127.0.0.1:0", "--audit=" + dir, "--region=eu-west-1", "--propagation=1s", "--rate=1", "--max-keys=1", "--max-grants=1", "--tls-cert=c", "--tls-key=k"}},
	} {
		for _, f := range c.flags {
			name, _, _ := strings.Cut(f, "=")
			code, out, errOut := try([]byte("x"), append(c.args[:len(c.args):len(c.args)], f)...)
			if code != 2 || out != "" || !strings.Contains(errOut, strings.TrimPrefix(name, "-")) || strings.Count(errOut, "\n") != 1 {
				t.Errorf("%s %s: code %d, %q", c.args[0], f, code, errOut)
			}
		}
	}
	if all, err := os.ReadDir(dir); err != nil || len(all) > 0 {
		t.Errorf("refused, and made %v, %v", all, err)
	}
	if code, _, errOut := try([]byte("x"), init...); code != 0 {
		t.Errorf("the control: %s", errOut)
	}
}

// Files of two accounts go together for nobody: init says so, and makes nothing.
func TestInitOfAnotherAccount(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	root, who := filepath.Join(dir, "root.key"), filepath.Join(dir, "who")
	if err := os.WriteFile(who, []byte(kmsPrincipals), 0o600); err != nil {
		t.Fatal(err)
	}
	args := []string{"kms", "init", "--root-key", root, "--principals", who, "--account"}
	code, out, errOut := try(nil, append(args, "111111111111")...)
	if _, err := os.Stat(root); code != 1 || out != "" || err == nil || !strings.Contains(errOut, who+": its principals are of account 000000000000") || strings.Count(errOut, "\n") != 1 {
		t.Errorf("code %d, %q, %q, %v", code, out, errOut, err)
	}
	if code, _, errOut := try(nil, append(args, "000000000000")...); code != 0 {
		t.Errorf("the control: %s", errOut)
	}
}
