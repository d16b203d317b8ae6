package localsts_test

import (
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/cloisterdev/cloister/authz"
	"github.com/cloisterdev/cloister/fas"
	"github.com/cloisterdev/cloister/fas/localsts"
	"github.com/cloisterdev/cloister/fas/policy"
	"github.com/cloisterdev/cloister/fas/profile"
	"github.com/cloisterdev/cloister/fas/sigv4"
	"github.com/cloisterdev/cloister/tenant"
)

// layered is a document that allows reading and has one statement more.
func layered(more string) string {
	return `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["s3:GetObject","s3:ListBucket"],"Resource":"arn:aws:s3:::*"},` + more + `]}`
}

// strange are layers by what no request has. Evaluated without it, a Deny would
// not deny, and a negated Allow would allow.
var strange = map[string]string{
	"aws:securetransport":    layered(`{"Effect":"Deny","Action":"s3:*","Resource":"*","Condition":{"Bool":{"aws:SecureTransport":"false"}}}`),
	"s3:prefix":              layered(`{"Effect":"Deny","Action":"s3:ListBucket","Resource":"*","Condition":{"StringLike":{"s3:prefix":"secret/*"}}}`),
	"aws:sourceip":           layered(`{"Effect":"Deny","Action":"s3:*","Resource":"*","Condition":{"IpAddress":{"aws:SourceIp":"0.0.0.0/0"}}}`),
	"aws:userid":             layered(`{"Effect":"Deny","Action":"s3:*","Resource":"*","Condition":{"StringLike":{"aws:userid":"*"}}}`),
	"s3:delimiter":           layered(`{"Effect":"Allow","Action":"s3:ListBucket","Resource":"*","Condition":{"StringNotLike":{"s3:delimiter":"*"}}}`),
	"aws:tagkeys":            layered(`{"Effect":"Allow","Action":"s3:GetObject","Resource":"*","Condition":{"ForAllValues:StringEquals":{"aws:TagKeys":"a"}}}`),
	"aws:epochtime":          layered(`{"Effect":"Deny","Action":"s3:*","Resource":"*","Condition":{"Null":{"aws:EpochTime":"true"}}}`),
	"aws:principaltag/team":  layered(`{"Effect":"Deny","Action":"s3:*","Resource":"arn:aws:s3:::acme/${aws:PrincipalTag/team}/*"}`),
	"aws:username":           layered(`{"Effect":"Deny","Action":"s3:*","NotResource":"arn:aws:s3:::acme/${aws:username, 'nobody'}/*"}`),
	"aws:principaltag/owner": layered(`{"Effect":"Deny","Action":"s3:*","Resource":"*","Condition":{"StringEquals":{"aws:PrincipalTag/tenant":"${aws:PrincipalTag/owner}"}}}`),
}

// known names all that a request has, in other letters too.
var known = layered(`{"Effect":"Deny","Action":"s3:*","NotResource":"arn:aws:s3:::*/${AWS:principaltag/TENANT}${*}"},
	{"Effect":"Deny","Action":"s3:*","Resource":"*","Condition":{"DateGreaterThan":{"aws:currentTime":"2100-01-01T00:00:00Z"},"Null":{"aws:PrincipalTag/tenant":"false"}}}`)

func names(err error, key string) bool {
	return errors.Is(err, localsts.ErrCondition) && errors.Is(err, localsts.ErrToken) && strings.Contains(err.Error(), `"`+key+`"`)
}

func TestCheckPolicy(t *testing.T) {
	t.Parallel()
	for key, text := range strange {
		d, err := policy.Parse([]byte(text))
		if err != nil {
			t.Fatal(key, err)
		}
		if err := localsts.CheckPolicy(d); !names(err, key) {
			t.Errorf("%s: %v", key, err)
		}
	}
	d, err := policy.Parse([]byte(known))
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(localsts.CheckPolicy(d), localsts.CheckPolicy(nil)); err != nil {
		t.Errorf("control: %v", err)
	}
}

// A token with such a layer, whoever signed it and when, is no session.
func TestLookupOfAStrangeCondition(t *testing.T) {
	t.Parallel()
	k, _, v := parts(t)
	for key, text := range strange {
		for _, layer := range []string{"p", "s"} {
			c, access := claims()
			c[layer] = json.RawMessage(text)
			tok := token(t, k, c)
			refused(t, v, key, access, tok)
			if _, _, err := v.Lookup(access, tok, now); !names(err, key) {
				t.Errorf("%s in %s: %v", key, layer, err)
			}
		}
	}
	c := session(t, k, v, map[string]any{"p": json.RawMessage(known), "s": json.RawMessage(known)})
	if c.Allows("s3:GetObject", "arn:aws:s3:::acme/src/a.go", now) {
		t.Error("what a known variable denies is allowed")
	}
}

// grants keeps what a firewall gave its issuer, and what that said.
type grants struct {
	fas.Issuer
	err error
}

func (g *grants) Issue(ctx context.Context, in fas.Grant) (fas.Credentials, error) {
	c, err := g.Issuer.Issue(ctx, in)
	g.err = err
	return c, err
}

// The rest of a firewall with one user and one row.
type (
	one struct{ fas.Identity }
	row struct {
		fas.Registry
		fas.Record
	}
	nobody struct{}
	noKeys struct{ fas.Keys }
)

func (o one) Lookup(key string) (fas.Identity, bool)                          { return o.Identity, key == "AKIA" }
func (r row) Get(context.Context, tenant.CustomizationID) (fas.Record, error) { return r.Record, nil }
func (nobody) User(context.Context, tenant.ID, tenant.UserID) (authz.UserFacts, error) {
	return authz.UserFacts{Admin: true}, nil
}
func (nobody) Customization(context.Context, tenant.CustomizationID) (authz.CustomizationFacts, error) {
	return authz.CustomizationFacts{}, authz.ErrUnknown
}

// granted asks a firewall over the authority for a session under a profile that
// three teams approved.
func granted(t *testing.T, a *localsts.Authority, allow, scope string) (*fas.Session, error) {
	t.Helper()
	ok := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	from := time.Now().Add(-time.Minute)
	env, err := profile.New(profile.Profile{ID: "p", Version: 1, Operations: []string{"/Create"}, Callers: []string{profile.AnyCaller}, Allow: json.RawMessage(allow), Bind: "/uri", TTL: 900,
		NotBefore: from, NotAfter: from.Add(time.Hour)})
	ok(err)
	ring := profile.Keyring{}
	for _, r := range []profile.Role{profile.Service, profile.Security, profile.Identity} {
		public, private, err := ed25519.GenerateKey(nil)
		ok(err)
		key, err := profile.Ed25519(public)
		ok(err)
		ring[r] = []profile.Key{key}
		env, err = profile.Sign(env, tenant.NewSecret(private.Seed()))
		ok(err)
	}
	p, err := profile.Load(env, ring, time.Now())
	ok(err)
	schema, err := authz.ParseSchema("cloister", []byte(authz.DefaultSchema))
	ok(err)
	az, err := authz.New(schema, []authz.Source{{Name: "cloister", Text: authz.DefaultPolicies}}, nobody{}, silent{}, nil)
	ok(err)
	id := fas.Identity{Tenant: tenant.NewID(), User: tenant.NewUserID(), Secret: tenant.NewSecret([]byte("a secret"))}
	g, cus := &grants{Issuer: a}, tenant.NewCustomizationID()
	wall, err := fas.NewFirewall(fas.Config{Identities: one{id}, Authorizer: az, Profiles: []*profile.Verified{p}, Issuer: g, Keys: noKeys{}, Audit: silent{},
		Registry:   row{Record: fas.Record{Customization: cus, Tenant: id.Tenant, Pending: &fas.Snapshot{}}},
		Operations: []fas.Operation{{Path: "/Create", Action: "CreateCustomization", Mutating: true, Verbs: []fas.Verb{fas.VerbCatalogCreate}}},
		TicketKey:  tenant.NewSecret(make([]byte, 32)), Region: "us-east-1", Service: "s", Horizons: noHorizons{}})
	ok(err)
	body := []byte(`{"uri":"s3://acme/src/"}`)
	r, err := http.NewRequest(http.MethodPost, "http://service.local/Create", strings.NewReader(string(body)))
	ok(err)
	ok(sigv4.SignRequest(r, body, sigv4.Credentials{AccessKeyID: "AKIA", Secret: id.Secret, Region: "us-east-1", Service: "s"}, time.Now()))
	r.RequestURI, r.Host = "/Create", "service.local"
	signed, b, err := sigv4.Capture(r, 1<<10)
	ok(err)
	signed, err = signed.WithBody(b)
	ok(err)
	ev, err := fas.SigV4Evidence(signed)
	ok(err)
	s, err := wall.Exchange(t.Context(), ev, fas.Request{RequestID: tenant.NewRequestID(), Customization: cus, Profile: "p", Scope: []byte(scope)})
	if err != nil && (s != nil || !errors.Is(err, fas.ErrDenied)) {
		t.Errorf("%v, %v", s, err)
	}
	return s, g.err
}

// What three teams approved and nobody could evaluate is not issued.
func TestIssueOfAStrangeCondition(t *testing.T) {
	t.Parallel()
	_, a, v := parts(t)
	// The denial is of another verb, so that the scope-down lies within.
	if s, err := granted(t, a, strange["s3:prefix"], prefixScope); s != nil || !names(err, "s3:prefix") {
		t.Errorf("profile: %v, %v", s, err)
	}
	scope := strings.Replace(prefixScope, `}]`, `,"Condition":{"Bool":{"aws:SecureTransport":"true"}}}]`, 1)
	if s, err := granted(t, a, bucketProfile, scope); s != nil || !names(err, "aws:securetransport") {
		t.Errorf("scope: %v, %v", s, err)
	}
	s, err := granted(t, a, bucketProfile, strings.Replace(scope, `"Bool":{"aws:SecureTransport":"true"}`, `"DateLessThan":{"aws:CurrentTime":"2100-01-01"}`, 1))
	if err != nil {
		t.Fatal(err)
	}
	creds, err := s.Credentials()
	if err != nil {
		t.Fatal(err)
	}
	c, _, err := v.Lookup(creds.AccessKeyID, creds.Token, time.Now())
	if err != nil || !c.Allows("s3:GetObject", "arn:aws:s3:::acme/src/a.go", time.Now()) {
		t.Errorf("control: %v", err)
	}
}

// noHorizons says that nobody used anything before.
type noHorizons struct{}

func (noHorizons) Horizons(context.Context) (map[tenant.UserID]time.Time, error) { return nil, nil }
func (noHorizons) Extend(context.Context, tenant.UserID, time.Time) error        { return nil }
