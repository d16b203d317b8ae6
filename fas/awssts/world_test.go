package awssts_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/cloisterdev/cloister/audit"
	"github.com/cloisterdev/cloister/authz"
	"github.com/cloisterdev/cloister/fas"
	"github.com/cloisterdev/cloister/fas/awssts"
	"github.com/cloisterdev/cloister/fas/policy"
	"github.com/cloisterdev/cloister/fas/profile"
	"github.com/cloisterdev/cloister/fas/sigv4"
	"github.com/cloisterdev/cloister/tenant"
)

// The parts of the firewall that an exchange reads, with one tenant in them.
type (
	silent     struct{}
	identities struct {
		id     fas.Identity
		key    string
		secret string
	}
	registry struct {
		fas.Registry
		row fas.Record
	}
	keys      struct{ fas.Keys }
	directory struct{}
)

func (silent) Append(context.Context, audit.Event) error { return nil }
func (silent) Record(context.Context, audit.Event) error { return nil }

func (i *identities) Lookup(key string) (fas.Identity, bool) { return i.id, key == i.key }

func (r *registry) Get(context.Context, tenant.CustomizationID) (fas.Record, error) {
	return r.row, nil
}

func (directory) User(context.Context, tenant.ID, tenant.UserID) (authz.UserFacts, error) {
	return authz.UserFacts{Admin: true}, nil
}

func (directory) Customization(context.Context, tenant.CustomizationID) (authz.CustomizationFacts, error) {
	return authz.CustomizationFacts{}, authz.ErrUnknown
}

// reads is the profile of these tests, and below it a scope-down.
const reads = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["s3:GetObject","s3:ListBucket"],"Resource":"arn:aws:s3:::*"}]}`

// world is a firewall with one tenant and an issuer.
type world struct {
	t      testing.TB
	wall   *fas.Firewall
	id     *identities
	tenant tenant.ID
	row    tenant.CustomizationID
	mu     sync.Mutex
	n      int
}

func newWorld(t testing.TB, allow string, issuer fas.Issuer, change ...func(*world, *fas.Config)) *world {
	t.Helper()
	w := &world{t: t, tenant: tenant.NewID(), row: tenant.NewCustomizationID()}
	w.id = &identities{key: "AKIACUSTOMER", secret: "a secret of the customer"}
	w.id.id = fas.Identity{Tenant: w.tenant, User: tenant.NewUserID(), Secret: tenant.NewSecret([]byte(w.id.secret))}
	from := time.Now().Add(-time.Minute)
	env, err := profile.New(profile.Profile{ID: "p", Version: 1, Operations: []string{"/CreateCustomization"}, Callers: []string{profile.AnyCaller}, Allow: json.RawMessage(allow), Bind: "/uri", TTL: 900,
		NotBefore: from, NotAfter: from.Add(time.Hour)})
	w.ok(err)
	ring := profile.Keyring{}
	for _, r := range []profile.Role{profile.Service, profile.Security, profile.Identity} {
		public, private, err := ed25519.GenerateKey(nil)
		w.ok(err)
		key, err := profile.Ed25519(public)
		w.ok(err)
		ring[r] = []profile.Key{key}
		env, err = profile.Sign(env, tenant.NewSecret(private.Seed()))
		w.ok(err)
	}
	p, err := profile.Load(env, ring, time.Now())
	w.ok(err)
	schema, err := authz.ParseSchema("cloister", []byte(authz.DefaultSchema))
	w.ok(err)
	a, err := authz.New(schema, []authz.Source{{Name: "cloister", Text: authz.DefaultPolicies}}, directory{}, silent{}, nil)
	w.ok(err)
	c := fas.Config{Identities: w.id, Authorizer: a, Profiles: []*profile.Verified{p}, Issuer: issuer,
		Registry: &registry{row: fas.Record{Customization: w.row, Tenant: w.tenant, Pending: &fas.Snapshot{}}}, Keys: keys{}, Audit: silent{},
		Operations: []fas.Operation{{Path: "/CreateCustomization", Action: "CreateCustomization", Mutating: true, Verbs: []fas.Verb{fas.VerbCatalogCreate}}},
		TicketKey:  tenant.NewSecret(make([]byte, 32)), Region: "us-east-1", Service: "codewhisperer", Horizons: nobody{}}
	for _, f := range change {
		f(w, &c)
	}
	w.wall, err = fas.NewFirewall(c)
	w.ok(err)
	return w
}

func (w *world) ok(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// evidence is a customer's signed call that names a source.
func (w *world) evidence(uri string) fas.Evidence {
	w.t.Helper()
	w.mu.Lock()
	w.n++
	body := fmt.Appendf(nil, `{"uri":%q,"nonce":%d}`, uri, w.n)
	w.mu.Unlock()
	r, err := http.NewRequest(http.MethodPost, "http://service.local/CreateCustomization", bytes.NewReader(body))
	w.ok(err)
	w.ok(sigv4.SignRequest(r, body, sigv4.Credentials{AccessKeyID: w.id.key, Secret: tenant.NewSecret([]byte(w.id.secret)), Region: "us-east-1", Service: "codewhisperer"}, time.Now()))
	r.RequestURI, r.Host = "/CreateCustomization", "service.local"
	ev, b, err := sigv4.Capture(r, 1<<20)
	w.ok(err)
	ev, err = ev.WithBody(b)
	w.ok(err)
	out, err := fas.SigV4Evidence(ev)
	w.ok(err)
	return out
}

// exchange asks for a session to read below src/ of a bucket.
func (w *world) exchange(bucket string, ttl time.Duration) (*fas.Session, error) {
	w.t.Helper()
	return w.exchangeFor(bucket, scopeOf(w.t, bucket), ttl)
}

func (w *world) exchangeFor(bucket string, scope []byte, ttl time.Duration) (*fas.Session, error) {
	w.t.Helper()
	return w.exchangeWith(w.evidence("s3://"+bucket+"/src/"), scope, ttl)
}

func (w *world) exchangeWith(ev fas.Evidence, scope []byte, ttl time.Duration) (*fas.Session, error) {
	return w.wall.Exchange(context.Background(), ev,
		fas.Request{RequestID: tenant.NewRequestID(), Customization: w.row, Profile: "p", Scope: scope, TTL: ttl})
}

func scopeOf(t testing.TB, bucket string) []byte {
	t.Helper()
	s, err := policy.S3Prefix(bucket, "src/", "s3:GetObject")
	if err != nil {
		t.Fatal(err)
	}
	raw, err := policy.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// grabber is an issuer that keeps the grant and the error of another.
type grabber struct {
	fas.Issuer
	grant fas.Grant
	err   error
}

func (g *grabber) Issue(ctx context.Context, in fas.Grant) (fas.Credentials, error) {
	g.grant = in
	if g.Issuer == nil {
		return fas.Credentials{AccessKeyID: "ASIASESSION", Secret: tenant.NewSecret([]byte("a secret of the session")), Token: "a token"}, nil
	}
	c, err := g.Issuer.Issue(ctx, in)
	g.err = err
	return c, err
}

// grant is what a firewall hands to an issuer.
func grant(t testing.TB, allow, bucket string, scope []byte, ttl time.Duration) fas.Grant {
	t.Helper()
	g := &grabber{}
	if _, err := newWorld(t, allow, g).exchangeFor(bucket, scope, ttl); err != nil {
		t.Fatal(err)
	}
	return g.grant
}

// role is the same for every tenant; a zero one is none.
type role awssts.Role

func (r role) Role(context.Context, tenant.ID) (awssts.Role, error) {
	if r == (role{}) {
		return awssts.Role{}, errors.New("not onboarded")
	}
	return awssts.Role(r), nil
}

// nobody used anything before.
type nobody struct{}

func (nobody) Horizons(context.Context) (map[tenant.UserID]time.Time, error) { return nil, nil }
func (nobody) Extend(context.Context, tenant.UserID, time.Time) error        { return nil }
