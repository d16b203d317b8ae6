package profile_test

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/cloisterdev/cloister/fas/profile"
	"github.com/cloisterdev/cloister/tenant"
)

var (
	all = []profile.Role{profile.Service, profile.Security, profile.Identity}
	now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
)

// seed is the signing key of a role, or of any other name.
func seed(name string) []byte {
	b := bytes.Repeat([]byte{7}, ed25519.SeedSize)
	copy(b, name)
	return b
}

func public(name string) ed25519.PublicKey {
	return ed25519.NewKeyFromSeed(seed(name)).Public().(ed25519.PublicKey)
}

func key(name string) profile.Key {
	k, err := profile.Ed25519(public(name))
	if err != nil {
		panic(err)
	}
	return k
}

func keyring() profile.Keyring {
	k := profile.Keyring{}
	for _, r := range all {
		k[r] = []profile.Key{key(string(r))}
	}
	return k
}

func ordinary() profile.Profile {
	return profile.Profile{ID: "source", Version: 3, Operations: []string{"/Create"}, Callers: []string{profile.AnyCaller},
		Allow: json.RawMessage(`{"Version":"2012-10-17","Statement":[]}`), Bind: "/source/uri", TTL: 600,
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour)}
}

func unsigned(t testing.TB, p profile.Profile) []byte {
	t.Helper()
	env, err := profile.New(p)
	if err != nil {
		t.Fatal(err)
	}
	return env
}

func signed(t testing.TB, env []byte, names ...string) []byte {
	t.Helper()
	for _, n := range names {
		var err error
		if env, err = profile.Sign(env, tenant.NewSecret(seed(n))); err != nil {
			t.Fatal(err)
		}
	}
	return env
}

func approved(t testing.TB, p profile.Profile) []byte {
	t.Helper()
	return signed(t, unsigned(t, p), "service", "security", "identity")
}

// refused checks that there is the one error and no profile beside it.
func refused(t *testing.T, env []byte, keys profile.Keyring, at time.Time, want error) {
	t.Helper()
	v, err := profile.Load(env, keys, at)
	if !errors.Is(err, want) || v != nil {
		t.Errorf("got %v, %v; want %v and no profile", v, err, want)
	}
}

// envelope wraps any payload and signs it as DSSE says, without the package.
func envelope(t testing.TB, payload string) []byte {
	t.Helper()
	const kind = "application/vnd.cloister.profile.v1+json"
	type sig struct {
		KeyID string `json:"keyid"`
		Sig   []byte `json:"sig"`
	}
	var ids struct {
		Signatures []sig `json:"signatures"`
	}
	if err := json.Unmarshal(approved(t, ordinary()), &ids); err != nil {
		t.Fatal(err)
	}
	for i, r := range all {
		m := fmt.Sprintf("DSSEv1 %d %s %d %s", len(kind), kind, len(payload), payload)
		ids.Signatures[i].Sig = ed25519.Sign(ed25519.NewKeyFromSeed(seed(string(r))), []byte(m))
	}
	b, err := json.Marshal(map[string]any{"payload": []byte(payload), "signatures": ids.Signatures})
	if err != nil {
		t.Fatal(err)
	}
	return []byte(`{"payloadType":"` + kind + `",` + string(b[1:]))
}

func payload(t testing.TB, env []byte) string {
	t.Helper()
	var e struct{ Payload []byte }
	if err := json.Unmarshal(env, &e); err != nil {
		t.Fatal(err)
	}
	return string(e.Payload)
}

func TestEveryRoleMustSign(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		names []string
		want  error
	}{
		{"nobody", nil, profile.ErrUnapproved},
		{"service alone", []string{"service"}, profile.ErrUnapproved},
		{"without identity", []string{"service", "security"}, profile.ErrUnapproved},
		{"without security", []string{"service", "identity"}, profile.ErrUnapproved},
		{"without service", []string{"security", "identity"}, profile.ErrUnapproved},
		{"one team three times", []string{"service", "service", "service"}, profile.ErrUnapproved},
		{"a stranger for identity", []string{"service", "security", "stranger"}, profile.ErrUnapproved},
		{"all", []string{"service", "security", "identity"}, nil},
		{"all, in another order, and a stranger", []string{"stranger", "identity", "security", "service"}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			env := signed(t, unsigned(t, ordinary()), c.names...)
			if c.want != nil {
				refused(t, env, keyring(), now, c.want)
				return
			}
			v, err := profile.Load(env, keyring(), now)
			if err != nil || v.Profile().ID != "source" || len(v.Hash()) != 64 {
				t.Errorf("%v, %v", v, err)
			}
		})
	}
}

// A signature counts for the bytes that were signed, and for the key that made it.
func TestSignaturesDoNotMove(t *testing.T) {
	t.Parallel()
	good := string(approved(t, ordinary()))
	wider := ordinary()
	wider.TTL = 900
	id := func(name string) string { return key(name).ID() }
	for name, env := range map[string]string{
		"signatures of another profile": strings.Replace(good, base64.StdEncoding.EncodeToString([]byte(payload(t, []byte(good)))),
			base64.StdEncoding.EncodeToString([]byte(payload(t, approved(t, wider)))), 1),
		"a stranger under the name of identity": strings.ReplaceAll(string(signed(t, unsigned(t, ordinary()), "service", "security", "stranger")), id("stranger"), id("identity")),
		"service's signature under two names":   strings.ReplaceAll(string(signed(t, unsigned(t, ordinary()), "service", "security", "service")), id("identity"), id("service")),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			refused(t, []byte(env), keyring(), now, profile.ErrUnapproved)
		})
	}
	if _, err := profile.Load([]byte(good), keyring(), now); err != nil {
		t.Error(err)
	}
}

func TestKeyringRefuses(t *testing.T) {
	t.Parallel()
	env := approved(t, ordinary())
	for name, change := range map[string]func(profile.Keyring){
		"one key in two roles": func(k profile.Keyring) { k[profile.Security] = k[profile.Service] },
		"an old key elsewhere": func(k profile.Keyring) { k[profile.Security] = append(k[profile.Security], key("service")) },
		"a key twice":          func(k profile.Keyring) { k[profile.Security] = append(k[profile.Security], key("security")) },
		"no key for a role":    func(k profile.Keyring) { delete(k, profile.Identity) },
		"no keys for a role":   func(k profile.Keyring) { k[profile.Identity] = nil },
		"the zero key":         func(k profile.Keyring) { k[profile.Identity] = []profile.Key{{}} },
		"a fourth role":        func(k profile.Keyring) { k["friend"] = []profile.Key{key("friend")} },
		"a misspelt role":      func(k profile.Keyring) { k["Identity"] = k[profile.Identity]; delete(k, profile.Identity) },
		"no keys":              func(k profile.Keyring) { clear(k) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			k := keyring()
			change(k)
			refused(t, env, k, now, profile.ErrKeyring)
		})
	}
	t.Run("nil", func(t *testing.T) { t.Parallel(); refused(t, env, nil, now, profile.ErrKeyring) })
	if _, err := profile.Load(env, keyring(), now); err != nil {
		t.Error(err)
	}
}

// One altered byte is refused wherever it is.
func TestEveryByteCounts(t *testing.T) {
	t.Parallel()
	good := approved(t, ordinary())
	for i := range good {
		if strings.Contains(string(good[max(0, i-60):i]), `"keyid":"`) && !strings.Contains(string(good[max(0, i-60):i]), `,"sig"`) && good[i] != '"' {
			continue // a hint that nobody signs
		}
		for _, mask := range []byte{1, 0x20} {
			bad := bytes.Clone(good)
			bad[i] ^= mask
			v, err := profile.Load(bad, keyring(), now)
			if v != nil || !errors.Is(err, profile.ErrMalformed) && !errors.Is(err, profile.ErrUnapproved) {
				t.Fatalf("byte %d (%q) changed by %#x: %v, %v", i, good[i], mask, v, err)
			}
		}
	}
	// So is one of the payload, in an envelope that is well formed.
	p := []byte(payload(t, good))
	from := base64.StdEncoding.EncodeToString(p)
	for i := range p {
		bad := bytes.Clone(p)
		bad[i] ^= 1
		env := bytes.Replace(good, []byte(from), []byte(base64.StdEncoding.EncodeToString(bad)), 1)
		refused(t, env, keyring(), now, profile.ErrUnapproved)
	}
	for n := range good {
		refused(t, good[:n], keyring(), now, profile.ErrMalformed)
	}
	if _, err := profile.Load(good, keyring(), now); err != nil {
		t.Error(err)
	}
}

func TestValidity(t *testing.T) {
	t.Parallel()
	env, p := approved(t, ordinary()), ordinary()
	refused(t, env, keyring(), p.NotBefore.Add(-time.Nanosecond), profile.ErrExpired)
	refused(t, env, keyring(), p.NotAfter.Add(time.Nanosecond), profile.ErrExpired)
	refused(t, env, keyring(), time.Time{}, profile.ErrExpired)
	for _, at := range []time.Time{p.NotBefore, now, p.NotAfter} {
		v, err := profile.Load(env, keyring(), at)
		if err != nil {
			t.Fatal(err)
		}
		if err := v.Err(p.NotAfter.Add(time.Second)); !errors.Is(err, profile.ErrExpired) {
			t.Errorf("later: %v", err)
		}
		if err := v.Err(at); err != nil {
			t.Error(err)
		}
	}
	for name, v := range map[string]*profile.Verified{"nil": nil, "zero": {}} {
		if err := v.Err(now); !errors.Is(err, profile.ErrExpired) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestReplaces(t *testing.T) {
	t.Parallel()
	load := func(change func(*profile.Profile)) *profile.Verified {
		p := ordinary()
		change(&p)
		v, err := profile.Load(approved(t, p), keyring(), now)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	current := load(func(*profile.Profile) {})
	for name, next := range map[string]*profile.Verified{
		"an older version":             load(func(p *profile.Profile) { p.Version = 2 }),
		"the same version, other text": load(func(p *profile.Profile) { p.TTL = 900 }),
		"another profile":              load(func(p *profile.Profile) { p.ID, p.Version = "other", 9 }),
		"nothing":                      nil,
		"the zero value":               {},
	} {
		if err := next.Replaces(current); !errors.Is(err, profile.ErrRollback) {
			t.Errorf("%s: %v", name, err)
		}
	}
	newer := load(func(p *profile.Profile) { p.Version = 4 })
	for name, old := range map[string]*profile.Verified{"nothing": nil, "the zero value": {}} {
		if err := newer.Replaces(old); !errors.Is(err, profile.ErrRollback) {
			t.Errorf("in the place of %s: %v", name, err)
		}
	}
	if err := newer.Replaces(current); err != nil {
		t.Error(err)
	}
	if err := load(func(*profile.Profile) {}).Replaces(current); err != nil {
		t.Errorf("the same again: %v", err)
	}
}

func TestVerifiedDoesNotChange(t *testing.T) {
	t.Parallel()
	v, err := profile.Load(approved(t, ordinary()), keyring(), now)
	if err != nil {
		t.Fatal(err)
	}
	p := v.Profile()
	p.Operations[0], p.Callers[0], p.Allow[0], p.TTL = "/Other", "other", 'x', 900
	got := v.Profile()
	if got.Operations[0] != "/Create" || got.Callers[0] != "*" || got.Allow[0] != '{' || got.TTL != 600 {
		t.Errorf("a caller changed an approved profile: %+v", got)
	}
}
