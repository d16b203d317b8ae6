package firewalld_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/cloisterdev/cloister/audit"
	"github.com/cloisterdev/cloister/fas"
	"github.com/cloisterdev/cloister/fas/firewalld"
	"github.com/cloisterdev/cloister/fas/profile"
	"github.com/cloisterdev/cloister/tenant"
)

// teams are those whose keys are outside of the firewall.
type teams struct {
	t              *testing.T
	root           tenant.Secret
	dir, env, ring string
	seeds          [][]byte

	mu      sync.Mutex
	reasons []string
}

func newTeams(t *testing.T) *teams {
	t.Helper()
	tmp := t.TempDir()
	k := &teams{t: t, root: tenant.NewSecret(bytes.Repeat([]byte{5}, 32)), dir: filepath.Join(tmp, "firewall"), env: filepath.Join(tmp, "profiles"), ring: filepath.Join(tmp, "keyring")}
	keys := profile.Keyring{}
	for _, r := range []profile.Role{profile.Service, profile.Security, profile.Identity} {
		public, private, err := ed25519.GenerateKey(nil)
		k.ok(err)
		key, err := profile.Ed25519(public)
		k.ok(err)
		keys[r] = []profile.Key{key}
		k.seeds = append(k.seeds, private.Seed())
	}
	k.ok(os.WriteFile(k.ring, []byte(keys.String()), 0o600))
	k.ok(os.Mkdir(k.env, 0o700))
	return k
}

func (k *teams) ok(err error) {
	k.t.Helper()
	if err != nil {
		k.t.Fatal(err)
	}
}

func (k *teams) Append(ctx context.Context, e audit.Event) error { return k.Record(ctx, e) }
func (k *teams) Record(_ context.Context, e audit.Event) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if e.Kind == "firewall.profile" {
		k.reasons = append(k.reasons, e.Detail["file"]+" "+e.Reason)
	}
	return nil
}

func (k *teams) heard() []string {
	k.mu.Lock()
	defer k.mu.Unlock()
	out := k.reasons
	k.reasons = nil
	return out
}

// put writes a version that the first n teams signed.
func (k *teams) put(version, n int) {
	k.t.Helper()
	k.putAllow(version, n, `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:GetObject","Resource":"arn:aws:s3:::*"}]}`)
}

func (k *teams) putAllow(version, n int, allow string) {
	k.t.Helper()
	now := time.Now().UTC().Truncate(time.Second)
	env, err := profile.New(profile.Profile{ID: firewalld.SourceProfile, Version: version, Operations: []string{"/CreateCustomization"}, Callers: []string{profile.AnyCaller},
		Allow: json.RawMessage(allow),
		Bind:  "/dataReference/s3Reference/uri", TTL: 600, NotBefore: now.Add(-time.Minute), NotAfter: now.Add(time.Hour)})
	k.ok(err)
	for _, seed := range k.seeds[:n] {
		env, err = profile.Sign(env, tenant.NewSecret(bytes.Clone(seed)))
		k.ok(err)
	}
	k.ok(os.WriteFile(filepath.Join(k.env, "source.json"), env, 0o600))
}

func (k *teams) open() (*profile.Store, error) {
	return firewalld.OpenProfiles(k.dir, k.root, k.env, k.ring, k)
}

func TestOpenProfilesRefuses(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(*teams)
		want   error
	}{
		"no directory":                    {func(k *teams) { k.env = "" }, fas.ErrConfig},
		"no keyring":                      {func(k *teams) { k.ring = "" }, fas.ErrConfig},
		"a keyring that is missing":       {func(k *teams) { k.ring += "-not" }, os.ErrNotExist},
		"a keyring without keys":          {func(k *teams) { k.ok(os.WriteFile(k.ring, nil, 0o600)) }, profile.ErrKeyring},
		"profiles of the firewall's own":  {func(k *teams) { k.env = filepath.Join(k.dir, "profiles"); k.ok(os.MkdirAll(k.env, 0o700)) }, fas.ErrConfig},
		"the firewall's directory":        {func(k *teams) { k.env = k.dir; k.ok(os.MkdirAll(k.env, 0o700)) }, fas.ErrConfig},
		"a keyring of the firewall's own": {func(k *teams) { k.own() }, fas.ErrConfig},
		"its own keyring, by a link": {func(k *teams) {
			elsewhere := k.ring + "-link"
			k.own()
			k.ok(os.Symlink(k.ring, elsewhere))
			k.ring = elsewhere
		}, fas.ErrConfig},
		"a directory beside it with a longer name": {func(k *teams) { k.ok(os.Rename(k.env, k.dir+"-profiles")); k.env = k.dir + "-profiles" }, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			k := newTeams(t)
			c.change(k)
			s, err := k.open()
			if s != nil {
				_ = s.Close()
			}
			if !errors.Is(err, c.want) || (s == nil) != (c.want != nil) {
				t.Errorf("%v, %v", s, err)
			}
		})
	}
	k := newTeams(t)
	s, err := k.open()
	k.ok(err)
	k.ok(s.Close())
	right := k.root
	k.root = tenant.NewSecret(bytes.Repeat([]byte{6}, 32))
	if s, err := k.open(); s != nil || err == nil {
		t.Errorf("with another root key: %v", s)
	}
	k.root = right
	if s, err := firewalld.OpenProfiles(k.dir, k.root, k.env, k.ring, nil); s != nil || !errors.Is(err, fas.ErrConfig) {
		t.Errorf("without a record: %v", err)
	}
}

// own moves the keyring into the firewall's directory.
func (k *teams) own() {
	k.ok(os.MkdirAll(k.dir, 0o700))
	k.ok(os.Rename(k.ring, filepath.Join(k.dir, "keyring")))
	k.ring = filepath.Join(k.dir, "keyring")
}

// The firewall serves what the teams approved, hears of the next version while
// it runs, records what it did not take, and never goes back.
func TestProfilesOfTheTeams(t *testing.T) {
	t.Parallel()
	k := newTeams(t)
	k.put(2, 3)
	s, err := k.open()
	k.ok(err)
	wall, err := firewalld.Open(k.dir, k.root, k, &firewalld.Options{Profiles: s, Operations: []fas.Operation{
		{Path: "/CreateCustomization", Action: "CreateCustomization", Mutating: true, Verbs: []fas.Verb{fas.VerbCatalogCreate}}}})
	k.ok(err)
	version := func(want int) {
		t.Helper()
		v, err := s.Get(firewalld.SourceProfile)
		if err != nil || v.Profile().Version != want {
			t.Errorf("%v, %v; want version %d", v, err, want)
		}
	}
	version(2)
	for _, step := range []struct {
		version, signers, want int
	}{{3, 2, 2}, {1, 3, 2}, {3, 3, 3}, {2, 3, 3}} {
		k.put(step.version, step.signers)
		k.ok(s.Reload())
		version(step.want)
	}
	if got, want := k.heard(), []string{"source.json in-force", "source.json unapproved", "source.json older", "source.json in-force", "source.json older"}; !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	k.ok(errors.Join(wall.Close(), s.Close()))
	if _, err := os.Stat(filepath.Join(k.dir, "profile.json")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the firewall approved a profile of its own: %v", err)
	}
	// A restart takes the older file no more than the running process did.
	s, err = k.open()
	k.ok(err)
	if v, err := s.Get(firewalld.SourceProfile); v != nil || !errors.Is(err, profile.ErrUnknown) {
		t.Errorf("%v, %v", v, err)
	}
	k.ok(s.Close())
	k.put(3, 3)
	// Nor does one that lost its memory.
	k.ok(os.Remove(filepath.Join(k.dir, "profiles.state")))
	if s, err := k.open(); s != nil || !errors.Is(err, profile.ErrStore) {
		t.Errorf("%v, %v", s, err)
	}
}

// What the teams approved and no session could be decided by does not come into
// force, and the record names it; what was in force stays.
func TestProfilesThatNobodyCanDecide(t *testing.T) {
	t.Parallel()
	k := newTeams(t)
	k.put(1, 3)
	s, err := k.open()
	k.ok(err)
	defer func() { k.ok(s.Close()) }()
	k.heard()
	k.putAllow(2, 3, `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:GetObject","Resource":"arn:aws:s3:::*"},`+
		`{"Effect":"Deny","Action":"s3:*","Resource":"*","Condition":{"Bool":{"aws:SecureTransport":"false"}}}]}`)
	k.ok(s.Reload())
	if got := k.heard(); len(got) != 1 || got[0] != "source.json condition" {
		t.Errorf("recorded: %q", got)
	}
	v, err := s.Get(firewalld.SourceProfile)
	if err != nil || v.Profile().Version != 1 {
		t.Errorf("in force: %+v, %v", v, err)
	}
	k.putAllow(3, 3, `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:GetObject","Resource":"arn:aws:s3:::*","Condition":{"DateLessThan":{"aws:CurrentTime":"2100-01-01T00:00:00Z"}}}]}`)
	k.ok(s.Reload())
	if v, err := s.Get(firewalld.SourceProfile); err != nil || v.Profile().Version != 3 {
		t.Errorf("control: %+v, %v", v, err)
	}
}
