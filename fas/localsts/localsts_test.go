package localsts_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
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
	return map[string]any{"sid": id, "tn": tenant.NewID(), "usr": tenant.NewUserID(), "b": "acme", "p": json.RawMessage(bucketProfile),
		"s": json.RawMessage(prefixScope), "exp": now.Add(10 * time.Minute).Unix()}, accessKey(id)
}

func accessKey(id tenant.SessionID) string {
	return "ASIA" + strings.ToUpper(id.String()[len("ses-"):])
}

// seal signs a payload as the authority with this seed does.
func seal(seed, payload []byte) string {
	sig := ed25519.Sign(ed25519.NewKeyFromSeed(seed), append([]byte("1."), payload...))
	return "1." + text.EncodeToString(payload) + "." + text.EncodeToString(sig)
}

func token(t testing.TB, k localsts.Keys, c map[string]any) string {
	t.Helper()
	b, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	return seal(k.Seed, b)
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
	m, body := a.Material(), "1."+text.EncodeToString(payload)+"."
	mac := hmac.New(sha256.New, m.Service)
	mac.Write([]byte("1." + string(payload)))
	sig := ed25519.Sign(ed25519.NewKeyFromSeed(k.Seed), append([]byte("1."), payload...))
	for name, bad := range map[string]string{
		"no token":                             "",
		"no signature":                         body,
		"a signature of zeros":                 body + text.EncodeToString(make([]byte, ed25519.SignatureSize)),
		"the derivation key as a seed":         seal(m.Service, payload),
		"the public key as a seed":             seal(m.PublicKey, payload),
		"an HMAC with the derivation key":      body + text.EncodeToString(mac.Sum(nil)),
		"an HMAC, twice":                       body + text.EncodeToString(append(mac.Sum(nil), mac.Sum(nil)...)),
		"the public key for a signature":       body + text.EncodeToString(append(bytes.Clone(m.PublicKey), m.PublicKey...)),
		"another authority":                    seal(other.Seed, payload),
		"a signature without the version":      body + text.EncodeToString(ed25519.Sign(ed25519.NewKeyFromSeed(k.Seed), payload)),
		"another version":                      "2." + text.EncodeToString(payload) + "." + text.EncodeToString(sig),
		"a JSON web token without a signature": text.EncodeToString([]byte(`{"alg":"none"}`)) + "." + text.EncodeToString(payload) + ".",
		"padded base64":                        "1." + base64.URLEncoding.EncodeToString(append(payload, ' ')) + "." + text.EncodeToString(sig),
		"the payload in the clear":             "1." + string(payload) + "." + text.EncodeToString(sig),
		"signed data after the claims":         seal(k.Seed, append(bytes.Clone(payload), "{}"...)),
		"signed claims in pieces":              seal(k.Seed, payload[:len(payload)-1]),
		"signed nothing":                       seal(k.Seed, nil),
		"signed null":                          seal(k.Seed, []byte("null")),
	} {
		refused(t, v, name, key, bad)
	}
	accepted(t, v, key, seal(k.Seed, payload))
	accepted(t, others, key, seal(other.Seed, payload))
}

// What the verifier holds cannot sign: no field of it is the seed, or the
// private key, or a part of either.
func TestVerifierCannotMint(t *testing.T) {
	t.Parallel()
	k, a, v := parts(t)
	find := func(what any) (fields int, found bool) {
		s := reflect.Indirect(reflect.ValueOf(what))
		for i := range s.NumField() {
			if f := s.Field(i); f.Kind() != reflect.Slice {
				t.Fatalf("%T has a field of kind %s: say here whether it can sign", what, f.Kind())
			} else if bytes.Contains(f.Bytes(), k.Seed) || bytes.Contains(f.Bytes(), k.Seed[:16]) || bytes.Contains(f.Bytes(), k.Seed[16:]) {
				found = true
			}
			fields++
		}
		return fields, found
	}
	for _, x := range []any{v, a.Material()} {
		if n, found := find(x); found || n != 2 {
			t.Errorf("%T: %d fields; holds the seed: %v", x, n, found)
		}
	}
	if _, found := find(a); !found {
		t.Error("the search does not find the seed in the authority, where it is")
	}
	// What it hands out is a copy.
	m := a.Material()
	clear(m.PublicKey)
	clear(m.Service)
	c, key := claims()
	again, err := localsts.NewVerifier(a.Material())
	if err != nil {
		t.Fatal(err)
	}
	_, want := accepted(t, v, key, token(t, k, c))
	_, got := accepted(t, again, key, token(t, k, c))
	if err := got.Use(func(b []byte) error {
		if !want.Equal(b) {
			t.Error("whoever holds the material changed the authority")
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
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
	m.Service = bytes.Repeat([]byte{1}, 32)
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
	for name, k := range map[string]localsts.Keys{
		"no keys": {}, "no seed": {Service: good.Service}, "no derivation key": {Seed: good.Seed},
		"a short seed": {Seed: good.Seed[:31], Service: good.Service}, "a long derivation key": {Seed: good.Seed, Service: make([]byte, 33)},
	} {
		if a, err := localsts.NewAuthority(k); !errors.Is(err, localsts.ErrConfig) || a != nil {
			t.Errorf("%s: %v, %v", name, a, err)
		}
	}
	a, err := localsts.NewAuthority(good)
	if err != nil {
		t.Fatal(err)
	}
	m := a.Material()
	for name, m := range map[string]localsts.Material{
		"no material": {}, "no public key": {Service: m.Service}, "no derivation key": {PublicKey: m.PublicKey},
		"a short public key": {PublicKey: m.PublicKey[:31], Service: m.Service}, "a short derivation key": {PublicKey: m.PublicKey, Service: m.Service[:31]},
	} {
		if v, err := localsts.NewVerifier(m); !errors.Is(err, localsts.ErrConfig) || v != nil {
			t.Errorf("%s: %v, %v", name, v, err)
		}
	}
	if creds, err := a.Issue(context.Background(), fas.Grant{}); !errors.Is(err, localsts.ErrConfig) || creds.Token != "" {
		t.Errorf("the zero grant: %+v, %v", creds, err)
	}
	if other := localsts.NewKeys(); bytes.Equal(good.Seed, other.Seed) || bytes.Equal(good.Service, other.Service) || bytes.Equal(good.Seed, good.Service) {
		t.Error("keys repeat")
	}
}
