package fas_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cloisterdev/cloister/fas"
	"github.com/cloisterdev/cloister/fas/firewalld"
	"github.com/cloisterdev/cloister/fas/httpsig"
	"github.com/cloisterdev/cloister/tenant"
)

// publicKeys has one key, of the administrator of a world that is made later,
// in front of a firewall that may be asked by then.
type publicKeys struct {
	id  atomic.Pointer[fas.Identity]
	key ed25519.PublicKey
}

func (p *publicKeys) LookupPublic(keyID string) (fas.Identity, ed25519.PublicKey, bool) {
	id := p.id.Load()
	if id == nil || keyID != "k1" {
		return fas.Identity{}, nil, false
	}
	return *id, p.key, true
}

var httpsigOptions = httpsig.Options{Authorities: []string{"service.local"}}

func newHTTPSignatureWorld(t *testing.T) (*world, httpsig.Key) {
	t.Helper()
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	keys := &publicKeys{key: public}
	v, err := fas.HTTPSignatureVerifier(keys, httpsigOptions)
	if err != nil {
		t.Fatal(err)
	}
	w := newWorldWith(t, func(o *firewalld.Options) {
		o.Verifiers = map[tenant.Method]fas.Verifier{tenant.MethodHTTPSignature: v}
	})
	keys.id.Store(&fas.Identity{Tenant: w.tenant, User: w.key.User})
	return w, httpsig.Key{ID: "k1", Private: private}
}

func httpSigned(t *testing.T, k httpsig.Key, url string, body []byte, at time.Time) httpsig.Evidence {
	t.Helper()
	r, err := http.NewRequest(http.MethodPost, url, bytes.NewReader(body))
	if err == nil {
		err = httpsig.SignRequest(r, body, k, at)
	}
	if err != nil {
		t.Fatal(err)
	}
	r.RequestURI = r.URL.RequestURI()
	ev, b, err := httpsig.Capture(r, 1<<20)
	if err == nil {
		ev, err = ev.WithBody(b)
	}
	if err != nil {
		t.Fatal(err)
	}
	return ev
}

// A signature of RFC 9421 opens what one of SigV4 opens, through the same
// socket, once.
func TestHTTPSignatureThroughTheFirewall(t *testing.T) {
	t.Parallel()
	w, key := newHTTPSignatureWorld(t)
	own := func(ev httpsig.Evidence) error {
		e, err := fas.HTTPSignatureEvidence(ev)
		w.ok(err)
		s, err := w.c.AssumeOwn(context.Background(), e, fas.Request{RequestID: tenant.NewRequestID()})
		if err == nil {
			w.ok(s.Close())
		}
		return err
	}
	now := time.Now()
	const url = "http://service.local/CreateCustomization"
	good := httpSigned(t, key, url, []byte(`{}`), now.Add(time.Second))
	w.ok(own(good))
	w.refused("the same again", own(good), fas.ErrReplayed)
	w.ok(own(httpSigned(t, key, url, []byte(`{}`), now.Add(time.Second))))

	_, stranger, err := ed25519.GenerateKey(nil)
	w.ok(err)
	for _, c := range []struct {
		name   string
		ev     httpsig.Evidence
		want   error
		reason string
	}{
		{"another key under this id", httpSigned(t, httpsig.Key{ID: "k1", Private: stranger}, url, nil, now.Add(time.Second)), fas.ErrDenied, "bad-signature"},
		{"an unknown key", httpSigned(t, httpsig.Key{ID: "k2", Private: key.Private}, url, nil, now.Add(time.Second)), fas.ErrDenied, "bad-signature"},
		{"another host", httpSigned(t, key, "http://other.local/CreateCustomization", nil, now.Add(time.Second)), fas.ErrDenied, "wrong-scope"},
		{"too old", httpSigned(t, key, url, nil, now.Add(-6*time.Minute)), fas.ErrDenied, "wrong-time"},
		{"another operation", httpSigned(t, key, "http://service.local/Other", nil, now.Add(time.Second)), fas.ErrOperation, "unknown-operation"},
	} {
		w.refused(c.name, own(c.ev), c.want)
		if !slices.Contains(w.rec.reasons(), c.reason) {
			t.Errorf("%s: recorded %q, want %q", c.name, w.rec.reasons(), c.reason)
		}
	}
	// What is not evidence of this scheme is refused before anybody is asked.
	raw, err := fas.NewEvidence(tenant.MethodHTTPSignature, []byte(`{"s":"x","g":""}`), fas.Claim{Digest: [32]byte{1}, Once: [32]byte{1}, Time: now, Level: fas.LevelDigest})
	w.ok(err)
	_, err = w.c.AssumeOwn(context.Background(), raw, fas.Request{RequestID: tenant.NewRequestID()})
	w.refused("not evidence", err, fas.ErrDenied)
	// Nor does a firewall without the verifier take the scheme.
	plain := newWorld(t)
	e, err := fas.HTTPSignatureEvidence(httpSigned(t, key, url, nil, time.Now()))
	w.ok(err)
	_, err = plain.c.AssumeOwn(context.Background(), e, fas.Request{RequestID: tenant.NewRequestID()})
	w.refused("a scheme without a verifier", err, fas.ErrDenied)
}

// What a verifier says of a call is what was signed, and no longer good than
// it verifies.
func TestHTTPSignatureClaim(t *testing.T) {
	t.Parallel()
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	keys := &publicKeys{key: public}
	keys.id.Store(&fas.Identity{Tenant: tenant.NewID(), User: tenant.NewUserID()})
	v, err := fas.HTTPSignatureVerifier(keys, httpsigOptions)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now().Truncate(time.Second)
	for body, level := range map[string]fas.Level{"{}": fas.LevelBody, "": fas.LevelBody} {
		ev := httpSigned(t, httpsig.Key{ID: "k1", Private: private}, "http://service.local/Op?a=1", []byte(body), now)
		raw, err := ev.MarshalBinary()
		if err != nil {
			t.Fatal(err)
		}
		id, c, err := v.Verify(t.Context(), raw, now)
		if err != nil || id != *keys.id.Load() || c.Path != "/Op" || c.Query != "a=1" || c.Method != "POST" || string(c.Body) != body || c.Level != level ||
			!c.Time.Equal(now) || !c.Until.Equal(now.Add(5*time.Minute)) || c.Ahead != 30*time.Second || c.Once != ev.Once() {
			t.Errorf("%q: %+v, %v", body, c, err)
		}
		if id, _, err := v.Verify(t.Context(), raw, now.Add(time.Hour)); !errors.Is(err, fas.ErrTime) || id != (fas.Identity{}) {
			t.Errorf("an identity beside a refusal: %v", err)
		}
	}
	// What the signer says of its end counts where it is the earlier one.
	for _, c := range []struct {
		expires int64
		want    time.Duration
	}{{60, time.Minute}, {3600, 5 * time.Minute}} {
		base := fmt.Sprintf("\"@method\": POST\n\"@authority\": service.local\n\"@path\": /Op\n\"@query\": ?\n"+
			"\"content-digest\": sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:\n"+
			"\"@signature-params\": (\"@method\" \"@authority\" \"@path\" \"@query\" \"content-digest\");created=%d;expires=%d;nonce=\"n\";keyid=\"k1\";alg=\"ed25519\"",
			now.Unix(), now.Unix()+c.expires)
		raw, err := json.Marshal(map[string]any{"s": base, "g": ed25519.Sign(private, []byte(base))})
		if err != nil {
			t.Fatal(err)
		}
		if _, claim, err := v.Verify(t.Context(), raw, now); err != nil || !claim.Until.Equal(now.Add(c.want)) {
			t.Errorf("until %s, want %s, %v", claim.Until.Sub(now), c.want, err)
		}
	}
	if _, _, err := v.Verify(t.Context(), []byte("x"), now); !errors.Is(err, fas.ErrNoEvidence) {
		t.Error(err)
	}
	for _, bad := range []func() error{
		func() error { _, err := fas.HTTPSignatureVerifier(nil, httpsigOptions); return err },
		func() error { _, err := fas.HTTPSignatureVerifier(keys, httpsig.Options{}); return err },
	} {
		if err := bad(); !errors.Is(err, fas.ErrConfig) {
			t.Error(err)
		}
	}
	if _, err := fas.HTTPSignatureEvidence(httpsig.Evidence{}); !errors.Is(err, fas.ErrNoEvidence) {
		t.Error(err)
	}
}
