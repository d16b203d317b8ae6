package firewalld_test

import (
	"bytes"
	"crypto/ed25519"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cloisterdev/cloister/fas"
	"github.com/cloisterdev/cloister/fas/firewalld"
	"github.com/cloisterdev/cloister/tenant"
)

var _ fas.PublicKeys = (*firewalld.Directory)(nil)

// registered is a directory of two tenants with one user each.
type registered struct {
	t          *testing.T
	dir        string
	root       tenant.Secret
	acme, glob tenant.ID
	ann, gus   tenant.UserID
	d          *firewalld.Directory
}

func newRegistered(t *testing.T) *registered {
	t.Helper()
	w := &registered{t: t, dir: t.TempDir(), root: tenant.NewSecret(bytes.Repeat([]byte{3}, 32))}
	name, err := tenant.NewText("n", 10)
	w.ok(err)
	w.acme, err = firewalld.AddTenant(w.dir, w.root, name)
	w.ok(err)
	w.glob, err = firewalld.AddTenant(w.dir, w.root, name)
	w.ok(err)
	k, err := firewalld.AddUser(w.dir, w.root, w.acme, name, true)
	w.ok(err)
	w.ann = k.User
	k, err = firewalld.AddUser(w.dir, w.root, w.glob, name, true)
	w.ok(err)
	w.gus = k.User
	w.d, err = firewalld.OpenDirectory(w.dir, w.root)
	w.ok(err)
	return w
}

func (w *registered) ok(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// Who misspells a directory must hear it: in an empty one nobody is found, which
// looks like a refusal of every call.
func TestOpenDirectoryRefuses(t *testing.T) {
	t.Parallel()
	root, dir := tenant.NewSecret(bytes.Repeat([]byte{3}, 32)), t.TempDir()
	missing, file := filepath.Join(dir, "missing"), filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if d, err := firewalld.OpenDirectory(missing, root); !errors.Is(err, fs.ErrNotExist) || d != nil {
		t.Errorf("missing: %v", err)
	}
	if d, err := firewalld.OpenDirectory(file, root); err == nil || d != nil {
		t.Errorf("a file: %v", err)
	}
	if d, err := firewalld.OpenDirectory(dir, tenant.NewSecret(make([]byte, 31))); err == nil || d != nil {
		t.Errorf("a short key: %v", err)
	}
	// The control: the firewall's, before it has its first tenant.
	d, err := firewalld.OpenDirectory(dir, root)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, ok := d.LookupPublic("pk-0"); ok {
		t.Error("a key in an empty directory")
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 1 {
		t.Errorf("it made %v (%v)", left, err)
	}
}

func TestPublicKeys(t *testing.T) {
	t.Parallel()
	w := newRegistered(t)
	key, private, err := ed25519.GenerateKey(nil)
	w.ok(err)
	other, others, err := ed25519.GenerateKey(nil)
	w.ok(err)
	add := func(id tenant.ID, u tenant.UserID, key ed25519.PublicKey, by ed25519.PrivateKey) error {
		proof, err := firewalld.ProvePublicKey(by, id, u)
		w.ok(err)
		_, err = firewalld.AddPublicKey(w.dir, w.root, id, u, key, proof)
		return err
	}
	for _, c := range []struct {
		name string
		err  error
		want error
	}{
		{"another tenant's user", add(w.acme, w.gus, key, private), firewalld.ErrNoUser},
		{"no user", add(w.acme, tenant.UserID{}, key, private), firewalld.ErrNoUser},
		{"a short key", add(w.acme, w.ann, key[:31], private), firewalld.ErrBadKey},
		{"no key", add(w.acme, w.ann, nil, private), firewalld.ErrBadKey},
		{"the user's", add(w.acme, w.ann, key, private), nil},
		{"twice", add(w.acme, w.ann, key, private), nil},
		{"of somebody else too", add(w.glob, w.gus, key, private), firewalld.ErrTaken},
	} {
		if !errors.Is(c.err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, c.err, c.want)
		}
	}
	id := firewalld.PublicKeyID(key)
	who, got, ok := w.d.LookupPublic(id)
	if !ok || who.Tenant != w.acme || who.User != w.ann || !got.Equal(key) {
		t.Errorf("found %v %v %v", who, got, ok)
	}
	w.ok(add(w.glob, w.gus, other, others))
	// A sealed file under another name opens as nothing.
	b, err := os.ReadFile(filepath.Join(w.dir, "identities", id))
	w.ok(err)
	moved := firewalld.PublicKeyID(other)
	w.ok(os.WriteFile(filepath.Join(w.dir, "identities", moved), b, 0o600))
	for _, id := range []string{"", "ed-", moved, strings.ToUpper(id), id + "a", "../identities/" + id, w.ann.String(), firewalld.PublicKeyID(key[:31])} {
		if _, _, ok := w.d.LookupPublic(id); ok {
			t.Errorf("%q is a key", id)
		}
	}
	// Only its tenant can end a key, and its end counts at once.
	if err := firewalld.RemovePublicKey(w.dir, w.root, w.glob, id); !errors.Is(err, firewalld.ErrNoUser) {
		t.Error(err)
	}
	if _, _, ok := w.d.LookupPublic(id); !ok {
		t.Error("another tenant ended the key")
	}
	w.ok(firewalld.RemovePublicKey(w.dir, w.root, w.acme, id))
	if _, _, ok := w.d.LookupPublic(id); ok {
		t.Error("a key that was removed is found")
	}
}

// Keys under which anybody can sign are nobody's.
func TestSmallOrderKeys(t *testing.T) {
	t.Parallel()
	w := newRegistered(t)
	forged := 0
	for _, text := range []string{
		"0000000000000000000000000000000000000000000000000000000000000000",
		"0100000000000000000000000000000000000000000000000000000000000000",
		"0100000000000000000000000000000000000000000000000000000000000080",
		"26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
		"26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
		"c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
		"c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
		"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
		"edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
		"eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	} {
		key, err := hex.DecodeString(text)
		w.ok(err)
		// With S = 0 and R the neutral point nothing was signed.
		sig := make([]byte, 64)
		sig[0] = 1
		for i := range 64 {
			if ed25519.Verify(key, []byte{byte(i)}, sig) {
				forged++
				break
			}
		}
		if _, err := firewalld.AddPublicKey(w.dir, w.root, w.acme, w.ann, key, sig); !errors.Is(err, firewalld.ErrBadKey) {
			t.Errorf("%s: %v", text, err)
		}
	}
	if forged < 5 {
		t.Errorf("%d of the keys verify what nobody signed: the test does not test", forged)
	}
}

func TestIssuers(t *testing.T) {
	t.Parallel()
	w := newRegistered(t)
	ctx := t.Context()
	set := func(id tenant.ID, i *firewalld.Issuer) error {
		return firewalld.ChangeTenant(w.dir, w.root, id, func(t *firewalld.Tenant) error { t.Issuer = i; return nil })
	}
	thumb := [32]byte{7}
	good := func() *firewalld.Issuer {
		return &firewalld.Issuer{URL: "https://login.acme.example", Audience: "urn:acme", Subjects: map[string]tenant.UserID{"ann": w.ann},
			Keys: map[string]tenant.UserID{hex.EncodeToString(thumb[:]): w.ann}}
	}
	for _, c := range []struct {
		name   string
		change func(*firewalld.Issuer)
	}{
		{"no URL", func(i *firewalld.Issuer) { i.URL = "" }},
		{"no audience", func(i *firewalld.Issuer) { i.Audience = "" }},
		{"another tenant's user", func(i *firewalld.Issuer) { i.Subjects["gus"] = w.gus }},
		{"an empty subject", func(i *firewalld.Issuer) { i.Subjects[""] = w.ann }},
		{"a key of another tenant's user", func(i *firewalld.Issuer) { i.Keys[hex.EncodeToString(thumb[:])] = w.gus }},
		{"a short thumbprint", func(i *firewalld.Issuer) { i.Keys["07"] = w.ann }},
		{"upper case", func(i *firewalld.Issuer) { i.Keys[strings.Repeat("AB", 32)] = w.ann }},
	} {
		i := good()
		c.change(i)
		if err := set(w.acme, i); err == nil {
			t.Errorf("%s was taken", c.name)
		}
	}
	if _, _, ok := w.d.Issuer("https://login.acme.example", "urn:acme"); ok {
		t.Error("a refused issuer is found")
	}
	w.ok(set(w.acme, good()))
	w.ok(set(w.acme, good())) // the same again
	id, i, ok := w.d.Issuer("https://login.acme.example", "urn:acme")
	if !ok || id != w.acme || i.Audience != "urn:acme" {
		t.Errorf("found %v %v %v", id, i, ok)
	}
	for _, c := range [][2]string{{"https://login.acme.example", "urn:glob"}, {"https://login.acme.example/", "urn:acme"}, {"", ""}, {"https://login.acme.example\x00urn:acme", ""}} {
		if _, _, ok := w.d.Issuer(c[0], c[1]); ok {
			t.Errorf("%q is an issuer", c)
		}
	}
	if err := set(w.glob, good()); err == nil {
		t.Error("another tenant takes the issuer")
	}
	theirs := &firewalld.Issuer{URL: "https://login.acme.example", Audience: "urn:acme", Subjects: map[string]tenant.UserID{"ann": w.gus}}
	if err := set(w.glob, theirs); !errors.Is(err, firewalld.ErrTaken) {
		t.Errorf("another tenant takes the issuer: %v", err)
	}
	// The same provider gives another tenant tokens for another audience.
	theirs.Audience = "urn:glob"
	w.ok(set(w.glob, theirs))
	for _, c := range []struct {
		name    string
		tenant  tenant.ID
		url     string
		subject string
		want    tenant.UserID
	}{
		{"acme's ann", w.acme, "https://login.acme.example", "ann", w.ann},
		{"globex's ann", w.glob, "https://login.acme.example", "ann", w.gus},
		{"nobody", w.acme, "https://login.acme.example", "bob", tenant.UserID{}},
		{"of another issuer", w.acme, "https://other.example", "ann", tenant.UserID{}},
		{"of no tenant", tenant.NewID(), "https://login.acme.example", "ann", tenant.UserID{}},
	} {
		got, err := w.d.Subject(ctx, c.tenant, c.url, c.subject)
		if got != c.want || (err == nil) != !c.want.IsZero() {
			t.Errorf("%s: %v %v", c.name, got, err)
		}
	}
	for _, c := range []struct {
		name   string
		tenant tenant.ID
		user   tenant.UserID
		thumb  [32]byte
		want   bool
	}{
		{"ann's key", w.acme, w.ann, thumb, true},
		{"another key", w.acme, w.ann, [32]byte{8}, false},
		{"another user", w.acme, w.gus, thumb, false},
		{"another tenant", w.glob, w.ann, thumb, false},
		{"no user", w.acme, tenant.UserID{}, [32]byte{8}, false},
	} {
		if got, err := w.d.Registered(ctx, c.tenant, c.user, c.thumb); got != c.want || err != nil {
			t.Errorf("%s: %v %v", c.name, got, err)
		}
	}
	// What a tenant lets go of is free, and counts no more.
	w.ok(set(w.acme, nil))
	if _, _, ok := w.d.Issuer("https://login.acme.example", "urn:acme"); ok {
		t.Error("an issuer that was taken away is found")
	}
	if ok, _ := w.d.Registered(ctx, w.acme, w.ann, thumb); ok {
		t.Error("a key of an issuer that was taken away is found")
	}
	theirs.Audience = "urn:acme"
	w.ok(set(w.glob, theirs))
	// A change that was cut short left a file that names a tenant which does not
	// say so: it gives nobody an identity, and hinders nobody.
	entries, err := os.ReadDir(filepath.Join(w.dir, "issuers"))
	w.ok(err)
	if len(entries) != 1 {
		t.Fatalf("%d files of issuers", len(entries))
	}
	name := filepath.Join(w.dir, "issuers", entries[0].Name())
	left, err := os.ReadFile(name)
	w.ok(err)
	w.ok(set(w.glob, nil))
	w.ok(os.WriteFile(name, left, 0o600))
	if _, _, ok := w.d.Issuer("https://login.acme.example", "urn:acme"); ok {
		t.Error("a file alone makes an issuer")
	}
	w.ok(set(w.acme, good()))
	if id, _, ok := w.d.Issuer("https://login.acme.example", "urn:acme"); !ok || id != w.acme {
		t.Errorf("found %v %v", id, ok)
	}
}
