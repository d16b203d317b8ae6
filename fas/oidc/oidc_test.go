package oidc

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/cloisterdev/cloister/fas"
)

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

func bind(t testing.TB, k crypto.Signer) func(_, c fields) {
	thumb := thumbprint(t, k)
	return func(_, c fields) { c["cnf"] = fields{"jkt": b64(thumb[:])} }
}

func TestAccepted(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	other := newKey(t)
	_, ed, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name  string
		token string
		key   crypto.Signer
		url   string
	}{
		{"a token that names its key", p.acme.token(bind(t, other)), other, origin + "/Op?a=1&b=%2F"},
		{"Ed25519", p.acme.token(bind(t, ed)), ed, origin + "/Op?a=1&b=%2F"},
		{"a bearer token with a registered key", p.acme.token(nil), p.key, origin + "/a%20b"},
		{"one audience in a list", p.acme.token(func(_, c fields) { c["aud"] = []string{"urn:acme"} }), p.key, origin + "/"},
		{"the long form of the type", p.acme.token(func(h, _ fields) { h["typ"] = "application/at+jwt" }), p.key, origin + "/"},
	} {
		id, claim, err := p.through(t, request(t, c.url, c.token, c.key, time.Now()))
		path, query, _ := strings.Cut(strings.TrimPrefix(c.url, origin), "?")
		if err != nil || id.Tenant != p.acmeID || id.User != p.alice || claim.Path != path || claim.Query != query ||
			claim.Method != "POST" || string(claim.Body) != testBody || claim.Level != fas.LevelBody || claim.Header != nil {
			t.Errorf("%s: %v %+v %v", c.name, id, claim, err)
		}
		if claim.Ahead != 30*time.Second {
			t.Errorf("clocks may be %s ahead", claim.Ahead)
		}
		if end := time.Until(claim.Until); end < 50*time.Second || end > time.Minute {
			t.Errorf("%s: good for %s, the token for a minute", c.name, end)
		}
	}
	// The same subject of another tenant's issuer is that tenant's user.
	id, _, err := p.through(t, request(t, origin+"/Op", p.globex.token(func(_, c fields) {
		c["aud"] = "urn:globex"
		bind(t, other)(nil, c)
	}), other, time.Now()))
	if err != nil || id.Tenant != p.globID || id.User != p.bob {
		t.Errorf("%v %v", id, err)
	}
	if n := p.acme.asked.Load(); n != 2 {
		t.Errorf("the provider was asked %d times, want once for its document and once for its keys", n)
	}
}

func TestTokenRefusals(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	forged := func(header string, sign func(input string) []byte) string {
		good := strings.Split(p.acme.token(nil), ".")
		input := b64([]byte(header)) + "." + good[1]
		return input + "." + b64(sign(input))
	}
	p.acme.mu.Lock()
	public := p.acme.keys[0].Public()
	p.acme.mu.Unlock()
	publicJSON, err := public.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	set := func(k string, v any) func(_, c fields) { return func(_, c fields) { c[k] = v } }
	now := time.Now().Unix()
	for _, c := range []struct {
		name  string
		token string
		want  error
	}{
		{"no signature", forged(`{"alg":"none","typ":"at+jwt"}`, func(string) []byte { return nil }), ErrToken},
		{"HMAC with the public key", forged(`{"alg":"HS256","typ":"at+jwt","kid":"`+public.KeyID+`"}`, func(s string) []byte {
			m := hmac.New(sha256.New, publicJSON)
			m.Write([]byte(s))
			return m.Sum(nil)
		}), ErrToken},
		{"signed by a key of its own", signJWT(t, jose.SigningKey{Algorithm: jose.ES256, Key: p.key},
			(&jose.SignerOptions{EmbedJWK: true}).WithType("at+jwt"), fields{"iss": p.acme.srv.URL, "sub": "alice", "aud": "urn:acme", "iat": now, "exp": now + 60}), ErrToken},
		{"signed by another issuer", p.globex.token(set("iss", p.acme.srv.URL)), ErrToken},
		{"another audience", p.acme.token(set("aud", "urn:other")), ErrIssuer},
		{"the audience of another tenant", p.acme.token(set("aud", "urn:globex")), ErrIssuer},
		{"two audiences", p.acme.token(set("aud", []string{"urn:acme", "urn:other"})), ErrIssuer},
		{"no audience", p.acme.token(func(_, c fields) { delete(c, "aud") }), ErrIssuer},
		{"an empty list of audiences", p.acme.token(set("aud", []string{})), ErrIssuer},
		{"another issuer", p.acme.token(set("iss", "https://other.example")), ErrIssuer},
		{"a slash more", p.acme.token(set("iss", p.acme.srv.URL+"/")), ErrIssuer},
		{"no issuer", p.acme.token(func(_, c fields) { delete(c, "iss") }), ErrIssuer},
		{"expired", p.acme.token(set("exp", now-1)), ErrSkew},
		{"no end", p.acme.token(func(_, c fields) { delete(c, "exp") }), ErrSkew},
		{"not yet", p.acme.token(set("nbf", now+600)), ErrToken},
		{"issued in the future", p.acme.token(set("iat", now+600)), ErrSkew},
		{"no time of issue", p.acme.token(func(_, c fields) { delete(c, "iat") }), ErrSkew},
		{"no subject", p.acme.token(func(_, c fields) { delete(c, "sub") }), ErrToken},
		{"two spellings of the subject", p.acme.token(set("\u017fub", "bob")), ErrToken},
		{"a subject that is nobody", p.acme.token(set("sub", "mallory")), ErrUser},
		{"an ID token", p.acme.token(func(h, _ fields) { h["typ"] = "JWT" }), ErrToken},
		{"no type", p.acme.token(func(h, _ fields) { delete(h, "typ") }), ErrToken},
		{"an extension", p.acme.token(func(h, _ fields) { h["b64"] = true }), ErrToken},
		{"not a JWT", "abc", ErrToken},
		{"JSON serialization", `{"payload":"e30"}`, ErrToken},
		{"bound to another key", p.acme.token(bind(t, newKey(t))), ErrBinding},
		{"bound to a certificate", p.acme.token(set("cnf", fields{"x5t#S256": "x"})), ErrBinding},
		{"bound to nothing", p.acme.token(set("cnf", fields{})), ErrBinding},
		{"bound to null", p.acme.token(set("cnf", nil)), ErrBinding},
		{"the control", p.acme.token(nil), nil},
	} {
		id, _, err := p.through(t, request(t, origin+"/Op", c.token, p.key, time.Now()))
		if !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
		if err != nil && id != (fas.Identity{}) {
			t.Errorf("%s: an identity beside the refusal", c.name)
		}
	}
	// Who stole a bearer token has no key that is known.
	if _, _, err := p.through(t, request(t, origin+"/Op", p.acme.token(nil), newKey(t), time.Now())); !errors.Is(err, ErrBinding) {
		t.Errorf("a bearer token with another key: %v", err)
	}
	// Alice's registered key is no key of the other tenant's Alice.
	if _, _, err := p.through(t, request(t, origin+"/Op", p.globex.token(set("aud", "urn:globex")), p.key, time.Now())); !errors.Is(err, ErrBinding) {
		t.Errorf("a key of another tenant: %v", err)
	}
	large := p.acme.token(set("x", strings.Repeat("x", 20_000)))
	r := httptest.NewRequest(http.MethodPost, "/Op", nil)
	if err := SignRequest(r, nil, large, p.key, time.Now()); !errors.Is(err, ErrTooLarge) {
		t.Errorf("a large token: %v", err)
	}
}

// proofOf is a good proof of a call, changed.
func proofOf(t testing.TB, token string, key crypto.Signer, change func(c fields)) string {
	t.Helper()
	ath, htd := sha256.Sum256([]byte(token)), sha256.Sum256([]byte(testBody))
	c := fields{"jti": rand.Text(), "htm": "POST", "htu": origin + "/Op", "htq": "a=1", "htd": b64(htd[:]), "ath": b64(ath[:]), "iat": time.Now().Unix()}
	if change != nil {
		change(c)
	}
	text, err := sign(key, c)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// weakProof is signed by nobody, for a key of order one.
func weakProof(token string) string {
	weak := append([]byte{1}, make([]byte, 31)...)
	ath, htd := sha256.Sum256([]byte(token)), sha256.Sum256([]byte(testBody))
	head, _ := json.Marshal(fields{"alg": "EdDSA", "typ": "dpop+jwt", "jwk": fields{"kty": "OKP", "crv": "Ed25519", "x": b64(weak)}})
	claims, _ := json.Marshal(fields{"jti": "j", "htm": "POST", "htu": origin + "/Op", "htq": "a=1", "htd": b64(htd[:]), "ath": b64(ath[:]), "iat": time.Now().Unix()})
	return b64(head) + "." + b64(claims) + "." + b64(append(weak, make([]byte, 32)...))
}

// Of most of these the parser makes no header: the check stands behind it.
func TestKeyOfAProof(t *testing.T) {
	t.Parallel()
	weak := append(ed25519.PublicKey{1}, make([]byte, 31)...)
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		h    jose.Header
		want string
	}{
		{"no key", jose.Header{}, "one public key"},
		{"a short key", jose.Header{JSONWebKey: &jose.JSONWebKey{Key: public[:31]}}, "one public key"},
		{"a private key", jose.Header{JSONWebKey: &jose.JSONWebKey{Key: private}}, "one public key"},
		{"a secret", jose.Header{JSONWebKey: &jose.JSONWebKey{Key: []byte("secret")}}, "one public key"},
		{"a name beside it", jose.Header{JSONWebKey: &jose.JSONWebKey{Key: public}, KeyID: "k"}, "one public key"},
		{"a key for which anybody signs", jose.Header{JSONWebKey: &jose.JSONWebKey{Key: weak}}, "anybody signs"},
		{"the control", jose.Header{JSONWebKey: &jose.JSONWebKey{Key: public}}, ""},
	} {
		k, err := proofKey(c.h)
		if c.want == "" && err == nil && public.Equal(k.Key) {
			continue
		}
		if !errors.Is(err, ErrProof) || c.want == "" || !strings.Contains(err.Error(), c.want) || k.Key != nil {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
}

func TestProofRefusals(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	token := p.acme.token(bind(t, p.key))
	set := func(k string, v any) string { return proofOf(t, token, p.key, func(c fields) { c[k] = v }) }
	without := func(k string) string { return proofOf(t, token, p.key, func(c fields) { delete(c, k) }) }
	header := func(key crypto.Signer, o *jose.SignerOptions) string {
		ath, htd := sha256.Sum256([]byte(token)), sha256.Sum256([]byte(testBody))
		return signJWT(t, jose.SigningKey{Algorithm: jose.ES256, Key: key}, o, fields{"jti": "j", "htm": "POST", "htu": origin + "/Op", "htq": "a=1",
			"htd": b64(htd[:]), "ath": b64(ath[:]), "iat": time.Now().Unix()})
	}
	good := proofOf(t, token, p.key, nil)
	parts := strings.Split(good, ".")
	another := strings.Split(proofOf(t, token, newKey(t), nil), ".")
	now := time.Now().Unix()
	for _, c := range []struct {
		name, proof string
		want        error
	}{
		{"another method", set("htm", "GET"), ErrRequest},
		{"another path", set("htu", origin+"/Other"), ErrRequest},
		{"another query", set("htq", "a=2"), ErrRequest},
		{"no query", without("htq"), ErrMalformed},
		{"another host", set("htu", "https://other.example/Op"), ErrRequest},
		{"another scheme", set("htu", "http://api.example.com/Op"), ErrRequest},
		{"user in the URL", set("htu", "https://u@api.example.com/Op"), ErrMalformed},
		{"upper-case host", set("htu", "https://API.example.com/Op"), ErrMalformed},
		{"query in the URL", set("htu", origin+"/Op?a=1"), ErrMalformed},
		{"fragment in the URL", set("htu", origin+"/Op#f"), ErrMalformed},
		{"no path in the URL", set("htu", origin), ErrMalformed},
		{"ambiguous path", set("htu", origin+"/a/../Op"), ErrAmbiguousPath},
		{"another body", set("htd", b64(make([]byte, 32))), ErrPayload},
		{"no body", without("htd"), ErrMalformed},
		{"a short digest", set("htd", "AAAA"), ErrMalformed},
		{"another token", set("ath", b64(make([]byte, 32))), ErrProof},
		{"no token", without("ath"), ErrProof},
		{"no number", without("jti"), ErrMalformed},
		{"a long number", set("jti", strings.Repeat("j", 257)), ErrMalformed},
		{"no time", without("iat"), ErrMalformed},
		{"a time as text", set("iat", "now"), ErrMalformed},
		{"too old", set("iat", now-301), ErrSkew},
		{"from the future", set("iat", now+60), ErrSkew},
		{"two spellings", set("HTM", "POST"), nil}, // what is not known is not read
		{"signed by another key", parts[0] + "." + parts[1] + "." + another[2], ErrProof},
		{"the key exchanged", another[0] + "." + parts[1] + "." + parts[2], ErrProof},
		{"by another key", strings.Join(another, "."), ErrBinding},
		{"no signature", b64([]byte(`{"alg":"none","typ":"dpop+jwt"}`)) + "." + parts[1] + ".", ErrProof},
		{"a key for which anybody signs", weakProof(token), ErrProof},
		{"no key in it", header(p.key, (&jose.SignerOptions{}).WithType("dpop+jwt")), ErrProof},
		{"another type", header(p.key, (&jose.SignerOptions{EmbedJWK: true}).WithType("JWT")), ErrProof},
		{"the token as the proof", token, ErrProof},
		{"two proofs", good + ", " + good, ErrMalformed},
		{"too large", set("x", strings.Repeat("x", maxProof)), ErrTooLarge},
		{"the control", good, nil},
	} {
		r := httptest.NewRequest(http.MethodPost, "/Op?a=1", strings.NewReader(testBody))
		r.Host = "api.example.com"
		r.Header.Set("Authorization", "DPoP "+token)
		r.Header.Set("DPoP", c.proof)
		if _, _, err := p.through(t, r); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
		// A front end that lets everything through changes nothing.
		b, err := json.Marshal(wire{token, c.proof, []byte(testBody)})
		if err != nil {
			t.Fatal(err)
		}
		_, claim, err := p.v.Verify(t.Context(), b, time.Now())
		switch {
		case errors.Is(c.want, ErrRequest): // another call, or nowhere
			if err == nil && claim.Method == "POST" && claim.Path == "/Op" && claim.Query == "a=1" {
				t.Errorf("%s: inside the firewall it is this call", c.name)
			}
		case !errors.Is(err, c.want):
			t.Errorf("%s: %v inside the firewall, want %v", c.name, err, c.want)
		}
	}
}

func TestCaptureRefusals(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	token := p.acme.token(bind(t, p.key))
	for _, c := range []struct {
		name   string
		change func(*http.Request)
		want   error
	}{
		{"no token", func(r *http.Request) { r.Header.Del("Authorization") }, ErrNoToken},
		{"no proof", func(r *http.Request) { r.Header.Del("DPoP") }, ErrNoToken},
		{"a bearer token", func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+token) }, ErrNoToken},
		{"two tokens", func(r *http.Request) { r.Header.Add("Authorization", "DPoP x") }, ErrMalformed},
		{"two proofs", func(r *http.Request) { r.Header.Add("DPoP", "x") }, ErrMalformed},
		{"another method", func(r *http.Request) { r.Method = http.MethodPut }, ErrRequest},
		{"another path", func(r *http.Request) { r.RequestURI = "/Other?a=1" }, ErrRequest},
		{"another query", func(r *http.Request) { r.RequestURI = "/Op?a=2" }, ErrRequest},
		{"another host", func(r *http.Request) { r.Host = "other.example" }, ErrRequest},
		{"another body", func(r *http.Request) { r.Body = io.NopCloser(strings.NewReader("{}")) }, ErrPayload},
		{"a large body", func(r *http.Request) { r.Body = io.NopCloser(strings.NewReader(strings.Repeat(" ", 1<<16+1))) }, ErrTooLarge},
		{"another token", func(r *http.Request) { r.Header.Set("Authorization", "DPoP "+p.acme.token(nil)) }, ErrProof},
		{"the control", func(*http.Request) {}, nil},
	} {
		r := request(t, origin+"/Op?a=1", token, p.key, time.Now())
		r.RequestURI = "/Op?a=1"
		c.change(r)
		if _, _, err := p.through(t, r); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
}

// Inside the firewall evidence is read again: nothing in it can be exchanged.
func TestEvidenceRefusals(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	token := p.acme.token(bind(t, p.key))
	proof := proofOf(t, token, p.key, nil)
	for _, c := range []struct {
		name string
		raw  any
		want error
	}{
		{"another body", wire{token, proof, []byte("{}")}, ErrPayload},
		{"another token", wire{p.acme.token(nil), proof, nil}, ErrProof},
		{"nothing", wire{}, ErrMalformed},
		{"a list", []int{1}, ErrMalformed},
		{"the control", wire{token, proof, nil}, nil},
	} {
		b, err := json.Marshal(c.raw)
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := p.v.Verify(t.Context(), b, time.Now()); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
		if c.want == nil {
			if _, _, err := p.v.Verify(t.Context(), append(b, b...), time.Now()); !errors.Is(err, ErrMalformed) || !errors.Is(err, fas.ErrNoEvidence) {
				t.Errorf("twice: %v", err)
			}
		}
	}
}

// The body goes along where it is wanted, and is the signed one.
func TestWithBody(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	ev, body, err := Capture(bare(request(t, origin+"/Op", p.acme.token(nil), p.key, time.Now())), 1<<16)
	if err != nil {
		t.Fatal(err)
	}
	signed, err := ev.Signed()
	if err != nil || signed.Claim().Level != fas.LevelCanonical || signed.Claim().Body != nil {
		t.Errorf("a body goes along uninvited: %v", err)
	}
	if _, err := ev.WithBody([]byte("{}")); !errors.Is(err, ErrPayload) {
		t.Error(err)
	}
	if _, err := ev.WithBody(make([]byte, MaxBody+1)); !errors.Is(err, ErrTooLarge) {
		t.Error(err)
	}
	if ev, err = ev.WithBody(body); err != nil {
		t.Fatal(err)
	}
	if signed, err = ev.Signed(); err != nil || signed.Claim().Level != fas.LevelBody || string(signed.Claim().Body) != testBody {
		t.Error(err)
	}
	if _, err := (Evidence{}).Signed(); !errors.Is(err, ErrNoToken) {
		t.Error(err)
	}
	if _, err := (Evidence{}).WithBody(nil); !errors.Is(err, ErrNoToken) || !(Evidence{}).IsZero() {
		t.Error(err)
	}
}

// A proof is good once by its key and number, whatever else it says.
func TestOnce(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	token := p.acme.token(bind(t, p.key))
	once := func(key *ecdsa.PrivateKey, jti, query string) [32]byte {
		pr, err := parseProof(proofOf(t, token, key, func(c fields) { c["jti"], c["htq"] = jti, query }), token)
		if err != nil {
			t.Fatal(err)
		}
		return pr.once()
	}
	one := once(p.key, "1", "")
	if once(p.key, "1", "a=1") != one {
		t.Error("a number can be used for two calls")
	}
	if once(p.key, "2", "") == one || once(newKey(t), "1", "") == one {
		t.Error("another's call is used up")
	}
}

func TestConfig(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	for name, f := range map[string]func() error{
		"no issuers": func() error { _, err := NewVerifier(nil, p.users(t), Options{Origins: []string{origin}}); return err },
		"no users":   func() error { _, err := NewVerifier(p, nil, Options{Origins: []string{origin}}); return err },
		"no origin":  func() error { _, err := NewVerifier(p, p.users(t), Options{}); return err },
		"no key":     func() error { return SignRequest(httptest.NewRequest("GET", "/", nil), nil, "t", nil, time.Now()) },
		"no token":   func() error { return SignRequest(httptest.NewRequest("GET", "/", nil), nil, "", p.key, time.Now()) },
		"another size": func() error {
			k, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
			if err != nil {
				t.Fatal(err)
			}
			return SignRequest(httptest.NewRequest("GET", "/", nil), nil, "t", k, time.Now())
		},
	} {
		if err := f(); !errors.Is(err, ErrConfig) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, c := range map[string]struct {
		change func(*Issuer)
		want   error
	}{
		"HMAC":           {func(i *Issuer) { i.Algorithms = []string{"HS256"} }, ErrConfig},
		"no algorithm":   {func(i *Issuer) { i.Algorithms = []string{"none"} }, ErrConfig},
		"another one":    {func(i *Issuer) { i.Algorithms = []string{"RS256"} }, ErrToken},
		"another issuer": {func(i *Issuer) { i.URL = p.globex.srv.URL }, ErrIssuer},
		"no tenant":      {func(i *Issuer) { *i = Issuer{URL: i.URL, Audience: i.Audience} }, ErrIssuer},
		"another type":   {func(i *Issuer) { i.Type = "JWT" }, ErrToken},
		"the control":    {func(*Issuer) {}, nil},
	} {
		p.change = c.change
		if _, _, err := p.through(t, request(t, origin+"/Op", p.acme.token(nil), p.key, time.Now())); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
}

func TestTransport(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	var got error
	srv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		ev, body, err := Capture(r, 1<<16)
		if err == nil {
			_, _, err = p.v.Verify(context.Background(), raw(t, ev, body), time.Now())
		}
		got = err
	}))
	defer srv.Close()
	p.v.o.Origins = append(p.v.o.Origins, srv.URL)
	token := p.acme.token(nil)
	for _, c := range []struct {
		name string
		tr   *Transport
		sent bool
	}{
		{"no token", &Transport{Key: p.key}, false},
		{"no key", &Transport{Token: func(context.Context) (string, error) { return token, nil }}, false},
		{"a token that does not come", &Transport{Key: p.key, Token: func(context.Context) (string, error) { return "", errNobody }}, false},
		{"the control", &Transport{Key: p.key, Token: func(context.Context) (string, error) { return token, nil }}, true},
	} {
		res, err := (&http.Client{Transport: c.tr}).Post(srv.URL+"/Op?a=1", "", strings.NewReader(testBody))
		if err == nil {
			_ = res.Body.Close()
		}
		if (err == nil) != c.sent || c.sent && got != nil {
			t.Errorf("%s: %v, %v", c.name, err, got)
		}
	}
}
