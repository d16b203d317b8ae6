package fas_test

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cloisterdev/cloister/audit"
	"github.com/cloisterdev/cloister/fas"
	"github.com/cloisterdev/cloister/fas/firewalld"
	"github.com/cloisterdev/cloister/fas/sigv4"
	"github.com/cloisterdev/cloister/tenant"
)

func someClaim() fas.Claim {
	return fas.Claim{Digest: [32]byte{1}, Once: [32]byte{2}, Time: time.Now(), Method: "POST", Path: "/ListCustomizations", Level: fas.LevelCanonical}
}

func TestNewEvidenceRefuses(t *testing.T) {
	t.Parallel()
	raw := []byte("token")
	for name, change := range map[string]func(*fas.Claim){
		"no digest":            func(c *fas.Claim) { c.Digest = [32]byte{} },
		"no name":              func(c *fas.Claim) { c.Once = [32]byte{} },
		"no time":              func(c *fas.Claim) { c.Time = time.Time{} },
		"no method":            func(c *fas.Claim) { c.Method = "" },
		"no path":              func(c *fas.Claim) { c.Path = "" },
		"no level":             func(c *fas.Claim) { c.Level = 0 },
		"a level of its own":   func(c *fas.Claim) { c.Level = fas.LevelBody + 1 },
		"a body that is not":   func(c *fas.Claim) { c.Body = []byte("x") },
		"an end before":        func(c *fas.Claim) { c.Until = c.Time.Add(-time.Second) },
		"an end too far":       func(c *fas.Claim) { c.Until = c.Time.Add(fas.MaxEvidenceLife + 1) },
		"nothing but a digest": func(c *fas.Claim) { *c = fas.Claim{Digest: c.Digest} },
	} {
		c := someClaim()
		change(&c)
		if ev, err := fas.NewEvidence("x", raw, c); !errors.Is(err, fas.ErrNoEvidence) || !ev.IsZero() {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, scheme := range []tenant.Method{"", "X", "a b", "a\n", tenant.Method(strings.Repeat("a", 33)), "é"} {
		if ev, err := fas.NewEvidence(scheme, raw, someClaim()); !errors.Is(err, fas.ErrNoEvidence) || !ev.IsZero() {
			t.Errorf("scheme %q: %v", scheme, err)
		}
	}
	for _, raw := range [][]byte{nil, {}, make([]byte, fas.MaxEvidence+1)} {
		if ev, err := fas.NewEvidence("x", raw, someClaim()); !errors.Is(err, fas.ErrNoEvidence) || !ev.IsZero() {
			t.Errorf("%d bytes: %v", len(raw), err)
		}
	}
	if _, err := fas.SigV4Evidence(sigv4.Evidence{}); !errors.Is(err, fas.ErrNoEvidence) {
		t.Errorf("no signature: %v", err)
	}
	if _, err := (fas.Evidence{}).MarshalBinary(); !errors.Is(err, fas.ErrNoEvidence) {
		t.Errorf("no evidence: %v", err)
	}
	ev, err := fas.NewEvidence("x", make([]byte, fas.MaxEvidence), someClaim())
	if err != nil || ev.IsZero() || ev.Scheme() != "x" {
		t.Errorf("control: %v", err)
	}
}

func FuzzParseEvidence(f *testing.F) {
	for _, s := range []string{"", "sigv4\n{}", "sigv4\n", "\nx", "a\nb\nc", "SIGV4\nx", "x"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		ev, err := fas.ParseEvidence(b)
		if err != nil {
			if !errors.Is(err, fas.ErrNoEvidence) || !ev.IsZero() {
				t.Fatalf("%q: %v", b, err)
			}
			return
		}
		again, err := ev.MarshalBinary()
		if err != nil || !bytes.Equal(again, b) {
			t.Fatalf("%q became %q, %v", b, again, err)
		}
		if c := ev.Claim(); c.Digest != [32]byte{} || c.Path != "" || ev.Scheme() == "" {
			t.Fatalf("%q claims something unread", b)
		}
	})
}

// stub is a scheme of this test: raw is a secret word, and everything else is
// what the verifier says.
type stub struct {
	mu    sync.Mutex
	id    fas.Identity
	claim fas.Claim
}

func (s *stub) Verify(_ context.Context, raw []byte, _ time.Time) (fas.Identity, fas.Claim, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch string(raw) {
	case "good":
		return s.id, s.claim, nil
	case "late":
		return s.id, s.claim, fas.ErrTime
	case "away":
		return s.id, s.claim, fas.ErrUnavailable
	}
	return s.id, s.claim, errors.New("wrong word")
}

// Evidence is what its scheme's verifier makes of it; what the front end claims
// beside it counts for nothing.
func TestSchemes(t *testing.T) {
	t.Parallel()
	v := &stub{}
	w := newWorldWith(t, func(o *firewalld.Options) { o.Verifiers = map[tenant.Method]fas.Verifier{"stub": v} })
	ask := func(scheme tenant.Method, raw string, c fas.Claim) (*fas.Session, error) {
		ev, err := fas.NewEvidence(scheme, []byte(raw), c)
		w.ok(err)
		return w.c.AssumeOwn(context.Background(), ev, fas.Request{RequestID: tenant.NewRequestID()})
	}
	reset := func() {
		v.mu.Lock()
		defer v.mu.Unlock()
		v.id, v.claim = fas.Identity{Tenant: w.tenant, User: w.key.User}, someClaim()
		v.claim.Once[31] = byte(w.n.Add(1))
	}
	reset()
	s, err := ask("stub", "good", someClaim())
	w.ok(err)
	if s.User() != w.key.User || !s.Allows(fas.VerbCatalogList) {
		t.Error("control: another session")
	}
	wide := someClaim()
	wide.Path = "/CreateCustomization"
	reset()
	if s, err := ask("stub", "good", wide); err != nil || s.Allows(fas.VerbCatalogCreate) || !s.Allows(fas.VerbCatalogList) {
		t.Errorf("the claim counts: %v", err)
	}
	for name, c := range map[string]struct {
		raw    string
		change func()
		want   error
		reason string
	}{
		"a wrong word":           {"bad", func() {}, fas.ErrDenied, "bad-signature"},
		"at the wrong time":      {"late", func() {}, fas.ErrDenied, "wrong-time"},
		"nobody to ask":          {"away", func() {}, fas.ErrDenied, "verifier-unavailable"},
		"no user":                {"good", func() { v.id.User = tenant.UserID{} }, fas.ErrDenied, "no-caller"},
		"nobody":                 {"good", func() { v.id = fas.Identity{} }, fas.ErrDenied, "bad-signature"},
		"a tenant that is not":   {"good", func() { v.id.Tenant = tenant.NewID() }, fas.ErrDenied, "bad-signature"},
		"a user that is not":     {"good", func() { v.id.User = tenant.NewUserID() }, fas.ErrDenied, "not-authorized"},
		"no claim":               {"good", func() { v.claim = fas.Claim{} }, fas.ErrDenied, "no-claim"},
		"no name for replays":    {"good", func() { v.claim.Once = [32]byte{} }, fas.ErrDenied, "no-claim"},
		"good for too long":      {"good", func() { v.claim.Until = v.claim.Time.Add(2 * time.Hour) }, fas.ErrDenied, "no-claim"},
		"nothing but a digest":   {"good", func() { v.claim.Level = fas.LevelDigest }, fas.ErrLevel, "level"},
		"another method":         {"good", func() { v.claim.Method = "GET" }, fas.ErrOperation, "unknown-operation"},
		"another path":           {"good", func() { v.claim.Path = "/Mint" }, fas.ErrOperation, "unknown-operation"},
		"before the start, once": {"good", func() { v.claim.Path, v.claim.Time = "/CreateCustomization", time.Now().Add(-time.Hour) }, fas.ErrDenied, "before-start"},
	} {
		reset()
		v.mu.Lock()
		c.change()
		v.mu.Unlock()
		before := w.rec.count(func(e audit.Event) bool { return e.Reason == c.reason })
		_, err := ask("stub", c.raw, someClaim())
		w.refused(name, err, c.want)
		if w.rec.count(func(e audit.Event) bool { return e.Reason == c.reason }) != before+1 {
			t.Errorf("%s: not recorded as %s", name, c.reason)
		}
	}
	reset()
	for _, scheme := range []tenant.Method{"other", "sigv4", "stub-2"} {
		_, err := ask(scheme, "good", someClaim())
		w.refused(string(scheme), err, fas.ErrDenied)
	}
}
