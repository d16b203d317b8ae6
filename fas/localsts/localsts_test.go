package localsts_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/cloisterdev/cloister/fas"
	"github.com/cloisterdev/cloister/fas/localsts"
	"github.com/cloisterdev/cloister/tenant"
)

var (
	now  = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	text = base64.RawURLEncoding
)

const (
	bucketProfile = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["s3:GetObject","s3:ListBucket"],"Resource":"arn:aws:s3:::*"}]}`
	prefixScope   = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:GetObject","Resource":"arn:aws:s3:::acme/src/*"}]}`
	anything      = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}`
)

// claims are those of an ordinary session, and its access key.
func claims() (map[string]any, string) {
	id := tenant.NewSessionID()
	return map[string]any{"sid": id, "tn": tenant.NewID(), "usr": tenant.NewUserID(), "aud": "s3", "b": "acme", "p": json.RawMessage(bucketProfile),
		"s": json.RawMessage(prefixScope), "exp": now.Add(10 * time.Minute).Unix()}, accessKey(id)
}

func accessKey(id tenant.SessionID) string {
	return "ASIA" + strings.ToUpper(id.String()[len("ses-"):])
}

// kid is the name of a seed's key in tokens.
func kid(seed []byte) string {
	sum := sha256.Sum256(ed25519.NewKeyFromSeed(seed).Public().(ed25519.PublicKey))
	return hex.EncodeToString(sum[:8])
}

// seal signs a payload as the authority with this seed does.
func seal(seed, payload []byte) string { return sealAs(kid(seed), seed, payload) }

// sealAs signs it under the name of a key.
func sealAs(id string, seed, payload []byte) string {
	sig := ed25519.Sign(ed25519.NewKeyFromSeed(seed), append([]byte("2."+id+"."), payload...))
	return "2." + id + "." + text.EncodeToString(payload) + "." + text.EncodeToString(sig)
}

func token(t testing.TB, k localsts.Keys, c map[string]any) string {
	t.Helper()
	b, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	return seal(k.Set[len(k.Set)-1].Seed, b)
}

func parts(t testing.TB) (localsts.Keys, *localsts.Authority, *localsts.Verifier) {
	t.Helper()
	k := localsts.NewKeys()
	a, err := localsts.NewAuthority(k)
	if err != nil {
		t.Fatal(err)
	}
	v, err := localsts.NewVerifier(a.Material())
	if err != nil {
		t.Fatal(err)
	}
	return k, a, v
}

// refused checks that there is the one error, and nothing beside it.
func refused(t *testing.T, v *localsts.Verifier, name, key, token string) {
	t.Helper()
	c, s, err := v.Lookup(key, token, now)
	if !errors.Is(err, localsts.ErrToken) || c != nil {
		t.Errorf("%s: %v, %v", name, c, err)
	}
	if err := s.Use(func([]byte) error { return nil }); !errors.Is(err, tenant.ErrDestroyed) {
		t.Errorf("%s: there is a secret", name)
	}
}

func accepted(t *testing.T, v *localsts.Verifier, key, token string) (*localsts.Claims, tenant.Secret) {
	t.Helper()
	c, s, err := v.Lookup(key, token, now)
	if err != nil {
		t.Fatal(err)
	}
	return c, s
}

func TestLookupRefuses(t *testing.T) {
	t.Parallel()
	k, _, v := parts(t)
	for name, change := range map[string]func(map[string]any){
		"expired":                  func(c map[string]any) { c["exp"] = now.Add(-time.Second).Unix() },
		"just expired":             func(c map[string]any) { c["exp"] = now.Unix() },
		"from a far future":        func(c map[string]any) { c["exp"] = now.Add(17 * time.Minute).Unix() },
		"without end":              func(c map[string]any) { c["exp"] = int64(1)<<62 + 1 },
		"end forgotten":            func(c map[string]any) { delete(c, "exp") },
		"another session's key":    func(c map[string]any) { c["sid"] = tenant.NewSessionID() },
		"no session":               func(c map[string]any) { delete(c, "sid") },
		"no tenant":                func(c map[string]any) { delete(c, "tn") },
		"no user":                  func(c map[string]any) { delete(c, "usr") },
		"a user for the tenant":    func(c map[string]any) { c["tn"] = tenant.NewUserID() },
		"no profile":               func(c map[string]any) { delete(c, "p") },
		"another audience":         func(c map[string]any) { c["aud"] = "archive" },
		"no audience":              func(c map[string]any) { delete(c, "aud") },
		"no scope":                 func(c map[string]any) { delete(c, "s") },
		"an empty scope":           func(c map[string]any) { c["s"] = json.RawMessage(`""`) },
		"a scope of nothing":       func(c map[string]any) { c["s"] = json.RawMessage(`null`) },
		"a malformed scope":        func(c map[string]any) { c["s"] = json.RawMessage(`{"Version":"2012-10-17"}`) },
		"a malformed profile":      func(c map[string]any) { c["p"] = json.RawMessage(`{"Version":"2012-10-17"}`) },
		"a claim nobody knows":     func(c map[string]any) { c["admin"] = true },
		"a token that is too long": func(c map[string]any) { c["b"] = strings.Repeat("x", 8<<10) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, key := claims()
			accepted(t, v, key, token(t, k, c))
			change(c)
			refused(t, v, name, key, token(t, k, c))
		})
	}
	nobody, _ := claims()
	delete(nobody, "sid")
	refused(t, v, "no session, by its own name", "ASIAZERO", token(t, k, nobody))
	c, key := claims()
	c["exp"] = now.Add(15 * time.Minute).Unix()
	accepted(t, v, key, token(t, k, c))
}

func TestKeysAreNotGuessedFromTheToken(t *testing.T) {
	t.Parallel()
	k, _, v := parts(t)
	c, key := claims()
	good := token(t, k, c)
	for name, bad := range map[string]string{
		"no key": "", "lower case": strings.ToLower(key), "the session's ID": "ses-" + strings.ToLower(key[4:]), "one short": key[:len(key)-1],
		"a user's key": "AKIA" + key[4:], "with a space": key + " ",
	} {
		refused(t, v, name, bad, good)
	}
	accepted(t, v, key, good)
}

// Every character of a token counts: changed, left out, or put in.
func TestEveryCharacterCounts(t *testing.T) {
	t.Parallel()
	k, _, v := parts(t)
	c, key := claims()
	good := token(t, k, c)
	for i := range good {
		for _, b := range []byte{1, 0x20, 0x80, good[i] ^ '\n'} {
			refused(t, v, "changed", key, good[:i]+string(good[i]^b)+good[i+1:])
		}
		refused(t, v, "left out", key, good[:i]+good[i+1:])
		refused(t, v, "cut off", key, good[:i])
		for _, extra := range []string{"\n", "\r", "A", "=", ".", " ", "\x00"} {
			refused(t, v, "put in", key, good[:i]+extra+good[i:])
		}
		if t.Failed() {
			t.Fatalf("at %d (%q)", i, good[i])
		}
	}
	for _, extra := range []string{"\n", "\r\n", "A", "=", ".", "." + good, good} {
		refused(t, v, "added", key, good+extra)
	}
	accepted(t, v, key, good)
}

func TestForgeriesAreRefused(t *testing.T) {
	t.Parallel()
	k, a, v := parts(t)
	other, _, others := parts(t)
	c, key := claims()
	payload, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	seed, strange := k.Set[0].Seed, other.Set[0].Seed
	id, m := kid(seed), a.Material().Keys[0]
	body := "2." + id + "." + text.EncodeToString(payload) + "."
	mac := hmac.New(sha256.New, m.Service)
	mac.Write([]byte("2." + id + "." + string(payload)))
	sig := ed25519.Sign(ed25519.NewKeyFromSeed(seed), append([]byte("2."+id+"."), payload...))
	end := "." + text.EncodeToString(payload) + "." + text.EncodeToString(sig)
	for name, bad := range map[string]string{
		"no token":                             "",
		"no signature":                         body,
		"a signature of zeros":                 body + text.EncodeToString(make([]byte, ed25519.SignatureSize)),
		"the derivation key as a seed":         sealAs(id, m.Service, payload),
		"the public key as a seed":             sealAs(id, m.PublicKey, payload),
		"the authority's own derivation key":   sealAs(id, k.Set[0].Service, payload),
		"an HMAC with the derivation key":      body + text.EncodeToString(mac.Sum(nil)),
		"an HMAC, twice":                       body + text.EncodeToString(append(mac.Sum(nil), mac.Sum(nil)...)),
		"the public key for a signature":       body + text.EncodeToString(append(bytes.Clone(m.PublicKey), m.PublicKey...)),
		"another authority":                    seal(strange, payload),
		"another authority by this one's name": sealAs(id, strange, payload),
		"this authority by another's name":     sealAs(kid(strange), seed, payload),
		"a name put in afterwards":             "2." + kid(strange) + end,
		"no name":                              "2." + end,
		"a name in another case":               "2." + strings.ToUpper(id) + end,
		"a longer name":                        "2." + id + "00" + end,
		"without a place for a name":           "2" + end,
		"a signature without the version":      body + text.EncodeToString(ed25519.Sign(ed25519.NewKeyFromSeed(seed), payload)),
		"a signature without the name":         body + text.EncodeToString(ed25519.Sign(ed25519.NewKeyFromSeed(seed), append([]byte("2."), payload...))),
		"another version":                      "3." + id + end,
		"an earlier version":                   "1." + text.EncodeToString(payload) + "." + text.EncodeToString(ed25519.Sign(ed25519.NewKeyFromSeed(seed), append([]byte("1."), payload...))),
		"a JSON web token without a signature": text.EncodeToString([]byte(`{"alg":"none"}`)) + "." + text.EncodeToString(payload) + ".",
		"padded base64":                        "2." + id + "." + base64.URLEncoding.EncodeToString(append(payload, ' ')) + "." + text.EncodeToString(sig),
		"the payload in the clear":             "2." + id + "." + string(payload) + "." + text.EncodeToString(sig),
		"signed data after the claims":         seal(seed, append(bytes.Clone(payload), "{}"...)),
		"signed claims in pieces":              seal(seed, payload[:len(payload)-1]),
		"signed nothing":                       seal(seed, nil),
		"signed null":                          seal(seed, []byte("null")),
	} {
		refused(t, v, name, key, bad)
	}
	accepted(t, v, key, seal(seed, payload))
	accepted(t, others, key, seal(strange, payload))
}

// holds reports whether a value holds some bytes, however deep, in fields that
// are exported or not. A time's location is passed over: the one of this machine
// is package time's own variable, filled in when another test first prints a
// time.
func holds(v reflect.Value, secret []byte) bool {
	if v.Type() == reflect.TypeFor[*time.Location]() {
		return false
	}
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		return !v.IsNil() && holds(v.Elem(), secret)
	case reflect.Struct:
		for i := range v.NumField() {
			if holds(v.Field(i), secret) {
				return true
			}
		}
	case reflect.Map:
		for it := v.MapRange(); it.Next(); {
			if holds(it.Key(), secret) || holds(it.Value(), secret) {
				return true
			}
		}
	case reflect.String:
		return strings.Contains(v.String(), string(secret))
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			return bytes.Contains(v.Bytes(), secret)
		}
		for i := range v.Len() {
			if holds(v.Index(i), secret) {
				return true
			}
		}
	}
	return false
}

// What the verifier holds cannot sign: no part of it is the seed, or the private
// key, or a half of either; nor can it derive the secrets of another audience.
func TestVerifierCannotMint(t *testing.T) {
	t.Parallel()
	k := earlier()
	k.Set[0].Until = time.Now().Add(time.Hour)
	k.Set = append(k.Set, localsts.NewKeys().Set...)
	a, err := localsts.NewAuthority(k)
	if err != nil {
		t.Fatal(err)
	}
	v, err := localsts.NewVerifier(a.Material())
	if err != nil {
		t.Fatal(err)
	}
	for i, p := range k.Set {
		for name, secret := range map[string][]byte{"seed": p.Seed, "half a seed": p.Seed[:16], "the other half": p.Seed[16:], "derivation key": p.Service, "half of it": p.Service[:16]} {
			for _, x := range []any{v, a.Material(), a.MaterialFor("archive")} {
				if holds(reflect.ValueOf(x), secret) {
					t.Errorf("%T holds the %s of pair %d", x, name, i)
				}
			}
			if !holds(reflect.ValueOf(a), secret) {
				t.Errorf("the search does not find the %s in the authority, where it is", name)
			}
		}
	}
	if !holds(reflect.ValueOf(v), a.Material().Keys[0].Service) || holds(reflect.ValueOf(v), a.MaterialFor("archive").Keys[0].Service) {
		t.Error("the verifier holds another audience's key, or not its own")
	}
	// What it hands out is a copy.
	m := a.Material()
	clear(m.Keys[0].PublicKey)
	clear(m.Keys[0].Service)
	c, key := claims()
	again, err := localsts.NewVerifier(a.Material())
	if err != nil {
		t.Fatal(err)
	}
	_, want := accepted(t, v, key, token(t, k, c))
	_, got := accepted(t, again, key, token(t, k, c))
	if !sameSecret(t, want, got) {
		t.Error("whoever holds the material changed the authority")
	}
}

func sameSecret(t testing.TB, a, b tenant.Secret) (eq bool) {
	t.Helper()
	if err := a.Use(func(p []byte) error { eq = b.Equal(p); return nil }); err != nil {
		t.Fatal(err)
	}
	return eq
}

func TestSecretsDiffer(t *testing.T) {
	t.Parallel()
	k, a, v := parts(t)
	c, key := claims()
	_, secret := accepted(t, v, key, token(t, k, c))
	same := func(s tenant.Secret) (eq bool) {
		if err := s.Use(func(b []byte) error { eq = secret.Equal(b); return nil }); err != nil {
			t.Fatal(err)
		}
		return eq
	}
	c2, key2 := claims()
	_, ofAnother := accepted(t, v, key2, token(t, k, c2))
	m := a.Material()
	m.Keys[0].Service = bytes.Repeat([]byte{1}, 32)
	elsewhere, err := localsts.NewVerifier(m)
	if err != nil {
		t.Fatal(err)
	}
	_, ofAnotherService := accepted(t, elsewhere, key, token(t, k, c))
	if same(ofAnother) || same(ofAnotherService) {
		t.Error("two sessions, or two services, share a secret")
	}
	if _, s := accepted(t, v, key, token(t, k, c)); !same(s) {
		t.Error("one session has two secrets")
	}
}

func TestConfigIsComplete(t *testing.T) {
	t.Parallel()
	good := localsts.NewKeys()
	pair, second := earlier().Set[0], localsts.NewKeys().Set[0]
	second.From = now
	ends := func(p localsts.KeyPair, at time.Time) localsts.KeyPair { p.Until = at; return p }
	with := func(set ...localsts.KeyPair) localsts.Keys { return localsts.Keys{Version: 2, Set: set} }
	for name, k := range map[string]localsts.Keys{
		"no keys": {}, "no set": {Version: 1}, "no version": {Set: good.Set}, "no seed": with(localsts.KeyPair{Service: pair.Service}),
		"no derivation key": with(localsts.KeyPair{Seed: pair.Seed}), "a short seed": with(localsts.KeyPair{Seed: pair.Seed[:31], Service: pair.Service}),
		"a long derivation key":        with(localsts.KeyPair{Seed: pair.Seed, Service: make([]byte, 33)}),
		"one pair twice":               with(ends(pair, now.Add(time.Hour)), localsts.KeyPair{Seed: pair.Seed, Service: pair.Service, From: now}),
		"pairs in another order":       with(ends(second, now.Add(time.Hour)), pair),
		"two pairs that never end":     with(pair, second),
		"a last pair that ends":        with(ends(pair, now)),
		"a pair that ends too early":   with(ends(pair, now.Add(16*time.Minute-time.Second)), second),
		"more pairs than anybody uses": with(make([]localsts.KeyPair, 17)...),
	} {
		if a, err := localsts.NewAuthority(k); !errors.Is(err, localsts.ErrConfig) || a != nil {
			t.Errorf("%s: %v, %v", name, a, err)
		}
	}
	if _, err := localsts.NewAuthority(with(ends(pair, now.Add(16*time.Minute)), second)); err != nil {
		t.Error(err)
	}
	a, err := localsts.NewAuthority(good)
	if err != nil {
		t.Fatal(err)
	}
	m := a.Material()
	vk := m.Keys[0]
	only := func(k ...localsts.VerifierKey) localsts.Material {
		return localsts.Material{Version: 1, Audience: "s3", Keys: k}
	}
	for name, m := range map[string]localsts.Material{
		"no material": {}, "no version": {Audience: "s3", Keys: m.Keys}, "no audience": {Version: 1, Keys: m.Keys}, "no keys": only(),
		"no public key": only(localsts.VerifierKey{Service: vk.Service}), "no derivation key": only(localsts.VerifierKey{PublicKey: vk.PublicKey}),
		"a short public key":     only(localsts.VerifierKey{PublicKey: vk.PublicKey[:31], Service: vk.Service}),
		"a short derivation key": only(localsts.VerifierKey{PublicKey: vk.PublicKey, Service: vk.Service[:31]}),
		"one key twice":          only(localsts.VerifierKey{PublicKey: vk.PublicKey, Service: vk.Service, Until: now}, vk),
		"a last key that ends":   only(localsts.VerifierKey{PublicKey: vk.PublicKey, Service: vk.Service, Until: now}),
		"more than anybody uses": only(make([]localsts.VerifierKey, 17)...),
	} {
		if v, err := localsts.NewVerifier(m); !errors.Is(err, localsts.ErrConfig) || v != nil {
			t.Errorf("%s: %v, %v", name, v, err)
		}
	}
	if creds, err := a.Issue(context.Background(), fas.Grant{}); !errors.Is(err, localsts.ErrConfig) || creds.Token != "" {
		t.Errorf("the zero grant: %+v, %v", creds, err)
	}
	if other := localsts.NewKeys(); bytes.Equal(pair.Seed, other.Set[0].Seed) || bytes.Equal(pair.Service, other.Set[0].Service) || bytes.Equal(pair.Seed, pair.Service) {
		t.Error("keys repeat")
	}
}
