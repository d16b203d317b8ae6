package firewalld_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/cloisterdev/cloister/fas/firewalld"
	"github.com/cloisterdev/cloister/tenant"
)

const (
	powerCutDir = "FIREWALLD_TEST_POWER_CUT"
	stepMark    = "/nonexistent/step-"
)

// A change that was acknowledged is on the disk: after each, every directory
// that got or lost a name was synced. The system calls are those of this test
// in a process of its own.
func TestChangesSurviveAPowerCut(t *testing.T) {
	if dir := os.Getenv(powerCutDir); dir != "" {
		makeEveryChange(t, dir)
		return
	}
	if err := exec.Command("strace", "-o", os.DevNull, os.Args[0], "-test.run", "^$").Run(); err != nil {
		t.Skip("system calls cannot be traced here: ", err)
	}
	tmp := t.TempDir()
	trace := filepath.Join(tmp, "trace")
	c := exec.Command("strace", "-f", "-y", "-s", "4096", "-o", trace, "-e", "trace=fsync,openat,rename,renameat,renameat2,link,linkat,unlink,unlinkat,mkdir,mkdirat",
		os.Args[0], "-test.run", "^TestChangesSurviveAPowerCut$")
	c.Env = append(os.Environ(), powerCutDir+"="+filepath.Join(tmp, "new", "firewall"))
	if b, err := c.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, b)
	}
	b, err := os.ReadFile(trace)
	if err != nil {
		t.Fatal(err)
	}
	steps := 0
	step, lost := "", map[string]string{}
	for line := range strings.Lines(string(b)) {
		if i := strings.Index(line, stepMark); i >= 0 {
			for dir, call := range lost {
				t.Errorf("%s: %s was not synced after %s", step, dir, call)
			}
			steps++
			step, lost = strings.SplitN(line[i+len(stepMark):], `"`, 2)[0], map[string]string{}
			continue
		}
		if m := syncCall.FindStringSubmatch(line); m != nil {
			delete(lost, m[1])
			continue
		}
		if strings.Contains(line, " = -1 ") || strings.Contains(line, "openat(") && !strings.Contains(line, "O_CREAT") {
			continue
		}
		for _, m := range quoted.FindAllStringSubmatch(line, -1) {
			if strings.HasPrefix(m[1], tmp) && !strings.HasSuffix(m[1], ".tmp") {
				lost[filepath.Dir(m[1])] = line
			}
		}
	}
	if steps != 11 {
		t.Errorf("%d steps were traced", steps)
	}
}

var (
	syncCall = regexp.MustCompile(` fsync\(\d+<([^>]+)>`)
	quoted   = regexp.MustCompile(`"([^"]+)"`)
)

func makeEveryChange(t *testing.T, dir string) {
	root := tenant.NewSecret(bytes.Repeat([]byte{8}, 32))
	name, err := tenant.NewText("acme", 10)
	public, private, err1 := ed25519.GenerateKey(nil)
	if err != nil || err1 != nil {
		t.Fatal(err, err1)
	}
	var (
		srv *firewalld.Server
		id  tenant.ID
		u   firewalld.AccessKey
		key string
	)
	issuer := func(i *firewalld.Issuer) error {
		return firewalld.ChangeTenant(dir, root, id, func(t *firewalld.Tenant) error { t.Issuer = i; return nil })
	}
	for _, step := range []struct {
		name string
		do   func() error
	}{
		{"open", func() (err error) {
			srv, err = firewalld.Open(dir, root, &recorder{}, &firewalld.Options{Operations: operations})
			return err
		}},
		{"tenant", func() (err error) { id, err = firewalld.AddTenant(dir, root, name); return err }},
		{"user", func() (err error) { u, err = firewalld.AddUser(dir, root, id, name, true); return err }},
		{"add-key", func() error {
			proof, err := firewalld.ProvePublicKey(private, id, u.User)
			if err == nil {
				key, err = firewalld.AddPublicKey(dir, root, id, u.User, public, proof)
			}
			return err
		}},
		{"set-issuer", func() error { return issuer(&firewalld.Issuer{URL: "https://login.acme.example", Audience: "acme"}) }},
		{"clear-issuer", func() error { return issuer(nil) }},
		{"disable", func() error {
			return firewalld.ChangeTenant(dir, root, id, func(t *firewalld.Tenant) error { t.KeyDisabled = true; return nil })
		}},
		{"remove-key", func() error { return firewalld.RemovePublicKey(dir, root, id, key) }},
		{"renew", func() error { return srv.RenewSessionKeys(context.Background()) }},
		{"new-registry", func() (err error) {
			if err := errors.Join(srv.Close(), os.Remove(filepath.Join(dir, "registry.db"))); err != nil {
				return err
			}
			srv, err = firewalld.Open(dir, root, &recorder{}, &firewalld.Options{Operations: operations})
			return err
		}},
		{"end", func() error { return nil }},
	} {
		_ = os.Mkdir(stepMark+step.name, 0) // fails, and is seen
		if err := step.do(); err != nil {
			t.Fatalf("%s: %v", step.name, err)
		}
	}
	if err := srv.Close(); err != nil {
		t.Fatal(err)
	}
}
