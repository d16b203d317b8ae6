package profile_test

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cloisterdev/cloister/fas/profile"
)

// openssh is a directory in which real ssh-keygen works.
type openssh struct{ dir, path string }

func newOpenSSH(t testing.TB) openssh {
	t.Helper()
	path, err := exec.LookPath("ssh-keygen")
	if err != nil {
		t.Skip("there is no ssh-keygen here: install OpenSSH to test its signatures")
	}
	return openssh{t.TempDir(), path}
}

func (o openssh) run(t testing.TB, stdin []byte, args ...string) (string, error) {
	t.Helper()
	cmd := exec.Command(o.path, args...)
	cmd.Dir, cmd.Stdin = o.dir, bytes.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func (o openssh) file(t testing.TB, name string, b []byte) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(o.dir, name), b, 0o600); err != nil {
		t.Fatal(err)
	}
}

func (o openssh) read(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(o.dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func (o openssh) generate(t testing.TB, name string, kind ...string) {
	t.Helper()
	if out, err := o.run(t, nil, append([]string{"-q", "-N", "", "-C", name + "@example.org", "-f", name, "-t"}, kind...)...); err != nil {
		t.Fatal(out)
	}
}

func (o openssh) sign(t testing.TB, name, namespace string, payload []byte) []byte {
	t.Helper()
	o.file(t, name+".payload", payload)
	if out, err := o.run(t, nil, "-Y", "sign", "-q", "-f", name, "-n", namespace, name+".payload"); err != nil {
		t.Fatal(out)
	}
	defer os.Remove(filepath.Join(o.dir, name+".payload.sig"))
	return o.read(t, name+".payload.sig")
}

// Three teams approve with nothing but OpenSSH, and the keyring is the file
// that OpenSSH itself reads.
func TestOpenSSHSigns(t *testing.T) {
	t.Parallel()
	o := newOpenSSH(t)
	o.generate(t, "service", "ed25519")
	o.generate(t, "security", "ecdsa", "-b", "256")
	o.generate(t, "identity", "ed25519")
	o.generate(t, "stranger", "ed25519")
	o.generate(t, "rsa", "rsa", "-b", "2048")
	o.generate(t, "p384", "ecdsa", "-b", "384")
	var text strings.Builder
	for _, r := range all {
		text.WriteString(string(r) + " " + string(o.read(t, string(r)+".pub")))
	}
	ring, err := profile.ParseKeyring([]byte(text.String()))
	if err != nil {
		t.Fatal(err)
	}
	old := unsigned(t, func() profile.Profile { p := ordinary(); p.Version = 2; return p }())
	env := unsigned(t, ordinary())
	p, err := profile.Payload(env)
	if err != nil {
		t.Fatal(err)
	}
	attach := func(env []byte, names ...string) []byte {
		t.Helper()
		p, err := profile.Payload(env)
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range names {
			if env, err = profile.AttachSSH(env, o.sign(t, n, profile.SSHNamespace, p)); err != nil {
				t.Fatal(err)
			}
		}
		return env
	}
	for missing, names := range map[string][]string{
		"service, security, identity": {},
		"identity":                    {"service", "security"},
		"security":                    {"service", "identity", "stranger"},
		"security, identity":          {"service", "service", "service"},
	} {
		v, err := profile.Load(attach(env, names...), ring, now)
		if v != nil || !errors.Is(err, profile.ErrUnapproved) || !strings.HasSuffix(err.Error(), "missing: "+missing) {
			t.Errorf("%q: %v", names, err)
		}
	}
	for name, sig := range map[string][]byte{
		"a file, not a profile": o.sign(t, "service", "file", p),
		"a changed payload":     o.sign(t, "service", profile.SSHNamespace, bytes.Replace(p, []byte(`"ttl":600`), []byte(`"ttl":900`), 1)),
	} {
		if got, err := profile.AttachSSH(env, sig); got != nil || !errors.Is(err, profile.ErrUnapproved) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, kind := range []string{"rsa", "p384"} {
		if got, err := profile.AttachSSH(env, o.sign(t, kind, profile.SSHNamespace, p)); got != nil || !errors.Is(err, profile.ErrMalformed) {
			t.Errorf("%s: %v", kind, err)
		}
	}

	v, err := profile.Load(attach(env, "service", "security", "identity"), ring, now)
	if err != nil {
		t.Fatal(err)
	}
	before, err := profile.Load(attach(old, "service", "security", "identity"), ring, now)
	if err != nil {
		t.Fatal(err)
	}
	if err := before.Replaces(v); !errors.Is(err, profile.ErrRollback) || !strings.Contains(err.Error(), "version 2, where 3 was approved") {
		t.Errorf("an older version: %v", err)
	}
	if err := v.Replaces(before); err != nil {
		t.Error(err)
	}
	ids, err := profile.Approvals(attach(env, "security"), ring)
	if out, serr := o.run(t, nil, "-l", "-f", "security.pub"); err != nil || serr != nil || len(ids) != 1 || !strings.Contains(out, " "+ids[profile.Security]+" ") {
		t.Errorf("%v, %v; OpenSSH says %s", ids, err, out)
	}
}

// OpenSSH verifies what the signer of these tests makes, authenticators' keys
// among it, with this package's keyring; so a refusal of theirs is a refusal of
// the real form.
func TestOpenSSHAgrees(t *testing.T) {
	t.Parallel()
	o := newOpenSSH(t)
	p := []byte(payload(t, unsigned(t, ordinary())))
	for _, kind := range kinds {
		s := newSigner(t, kind, "identity")
		o.file(t, "keyring", []byte(keyringWith(t, s).String()))
		o.file(t, "sig", s.sign(p))
		verify := func(p []byte) error {
			_, err := o.run(t, p, "-Y", "verify", "-f", "keyring", "-I", "identity", "-n", profile.SSHNamespace, "-s", "sig")
			return err
		}
		if err := verify(append(bytes.Clone(p), '\n')); err == nil {
			t.Errorf("%s: OpenSSH verifies everything", kind)
		}
		if err := verify(p); err != nil {
			t.Errorf("%s: %v", kind, err)
		}
		if env, ring, err := attached(t, s); err != nil {
			t.Errorf("%s: %v", kind, err)
		} else if _, err := profile.Load(env, ring, now); err != nil {
			t.Errorf("%s: %v", kind, err)
		}
	}
}
