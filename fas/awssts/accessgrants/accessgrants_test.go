package accessgrants_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3control"

	"github.com/cloisterdev/cloister/audit"
	"github.com/cloisterdev/cloister/authz"
	"github.com/cloisterdev/cloister/fas"
	"github.com/cloisterdev/cloister/fas/awssts"
	"github.com/cloisterdev/cloister/fas/awssts/accessgrants"
	"github.com/cloisterdev/cloister/fas/policy"
	"github.com/cloisterdev/cloister/fas/profile"
	"github.com/cloisterdev/cloister/fas/sigv4"
	"github.com/cloisterdev/cloister/tenant"
)

// The parts of a firewall that lead a signed call to its issuer.
type (
	silent     struct{}
	identities struct{ id fas.Identity }
	registry   struct {
		fas.Registry
		row fas.Record
	}
	keys      struct{ fas.Keys }
	directory struct{}
	grabber   struct{ grant fas.Grant }
	account   string
)

func (silent) Append(context.Context, audit.Event) error    { return nil }
func (silent) Record(context.Context, audit.Event) error    { return nil }
func (i identities) Lookup(key string) (fas.Identity, bool) { return i.id, key == "AKIACUSTOMER" }
func (a account) Account(context.Context, tenant.ID) (string, error) {
	if a == "" {
		return "", errors.New("not onboarded")
	}
	return string(a), nil
}
func (r registry) Get(context.Context, tenant.CustomizationID) (fas.Record, error) { return r.row, nil }
func (directory) User(context.Context, tenant.ID, tenant.UserID) (authz.UserFacts, error) {
	return authz.UserFacts{Admin: true}, nil
}
func (directory) Customization(context.Context, tenant.CustomizationID) (authz.CustomizationFacts, error) {
	return authz.CustomizationFacts{}, authz.ErrUnknown
}
func (g *grabber) Issue(_ context.Context, in fas.Grant) (fas.Credentials, error) {
	g.grant = in
	return fas.Credentials{}, nil
}

const reads = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:GetObject","Resource":"arn:aws:s3:::*"}]}`

// grant is what a firewall hands to an issuer for s3://bucket/prefix.
func grant(t testing.TB, bucket, prefix string, ttl time.Duration) fas.Grant {
	t.Helper()
	ok := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	from := time.Now().Add(-time.Minute)
	env, err := profile.New(profile.Profile{ID: "p", Version: 1, Operations: []string{"/CreateCustomization"}, Callers: []string{profile.AnyCaller}, Allow: json.RawMessage(reads), Bind: "/uri", TTL: 900,
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
	a, err := authz.New(schema, []authz.Source{{Name: "cloister", Text: authz.DefaultPolicies}}, directory{}, silent{}, nil)
	ok(err)
	id, row, g := tenant.NewID(), tenant.NewCustomizationID(), &grabber{}
	wall, err := fas.NewFirewall(fas.Config{Identities: identities{fas.Identity{Tenant: id, User: tenant.NewUserID(), Secret: tenant.NewSecret([]byte("secret"))}}, Authorizer: a,
		Profiles: []*profile.Verified{p}, Issuer: g, Registry: registry{row: fas.Record{Customization: row, Tenant: id, Pending: &fas.Snapshot{}}}, Keys: keys{}, Audit: silent{},
		Operations: []fas.Operation{{Path: "/CreateCustomization", Action: "CreateCustomization", Mutating: true, Verbs: []fas.Verb{fas.VerbCatalogCreate}}},
		TicketKey:  tenant.NewSecret(make([]byte, 32)), Region: "us-east-1", Service: "codewhisperer", Horizons: nobody{}})
	ok(err)
	body := fmt.Appendf(nil, `{"uri":"s3://%s/%s"}`, bucket, prefix)
	r, err := http.NewRequest(http.MethodPost, "http://service.local/CreateCustomization", bytes.NewReader(body))
	ok(err)
	ok(sigv4.SignRequest(r, body, sigv4.Credentials{AccessKeyID: "AKIACUSTOMER", Secret: tenant.NewSecret([]byte("secret")), Region: "us-east-1", Service: "codewhisperer"}, time.Now()))
	r.RequestURI, r.Host = "/CreateCustomization", "service.local"
	captured, b, err := sigv4.Capture(r, 1<<20)
	ok(err)
	captured, err = captured.WithBody(b)
	ok(err)
	ev, err := fas.SigV4Evidence(captured)
	ok(err)
	_, err = wall.Exchange(context.Background(), ev, fas.Request{RequestID: tenant.NewRequestID(), Customization: row, Profile: "p",
		Scope: []byte(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:GetObject","Resource":"arn:aws:s3:::` + bucket + `/` + policy.Literal(prefix) + `x"}]}`), TTL: ttl})
	ok(err)
	return g.grant
}

// detour takes the account out of the host and carries the request elsewhere.
type detour string

func (d detour) RoundTrip(r *http.Request) (*http.Response, error) {
	at, err := url.Parse(string(d))
	if err != nil {
		return nil, err
	}
	c := r.Clone(r.Context())
	c.URL.Scheme, c.URL.Host = at.Scheme, at.Host
	return http.DefaultTransport.RoundTrip(c)
}

type static aws.Credentials

func (s static) Retrieve(context.Context) (aws.Credentials, error) { return aws.Credentials(s), nil }

// wire is an S3 control plane that says what a test wants.
func wire(t testing.TB, status int, body string) (*s3control.Client, *http.Request) {
	t.Helper()
	got := &http.Request{}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		*got = *r
		w.Header().Set("Content-Type", "application/xml")
		w.WriteHeader(status)
		_, _ = fmt.Fprint(w, body)
	}))
	t.Cleanup(s.Close)
	return s3control.NewFromConfig(aws.Config{Region: "us-east-1", Credentials: static{AccessKeyID: "AKIAFIREWALL", SecretAccessKey: "s"}, RetryMaxAttempts: 1,
		HTTPClient: &http.Client{Transport: detour(s.URL)}}), got
}

func answer(replace ...string) string {
	return strings.NewReplacer(replace...).Replace(`<?xml version="1.0"?><GetDataAccessResult><Credentials><AccessKeyId>ASIAGRANT</AccessKeyId><SecretAccessKey>secret</SecretAccessKey>` +
		`<SessionToken>token</SessionToken><Expiration>` + time.Now().Add(15*time.Minute).UTC().Format(time.RFC3339) + `</Expiration></Credentials>` +
		`<MatchedGrantTarget>s3://acme-src/*</MatchedGrantTarget></GetDataAccessResult>`)
}

func issue(t testing.TB, c accessgrants.S3Control, a account, g fas.Grant) (fas.Credentials, error) {
	t.Helper()
	i, err := accessgrants.New(c, a)
	if err != nil {
		t.Fatal(err)
	}
	return i.Issue(context.Background(), g)
}

func TestWhatS3IsAsked(t *testing.T) {
	t.Parallel()
	client, got := wire(t, 200, answer())
	g := grant(t, "acme-src", "src/", 0)
	c, err := issue(t, client, "123456789012", g)
	if err != nil || c.AccessKeyID != "ASIAGRANT" || c.Token != "token" || !c.Secret.Equal([]byte("secret")) {
		t.Fatalf("%+v, %v", c, err)
	}
	for k, want := range map[string]string{"target": "s3://acme-src/src/*", "permission": "READ", "privilege": "Minimal", "durationSeconds": "900"} {
		if v := got.URL.Query().Get(k); v != want {
			t.Errorf("%s is %q, want %q", k, v, want)
		}
	}
	if got.Header.Get("x-amz-account-id") != "123456789012" || !strings.Contains(fmt.Sprint(got.URL.Query(), got.Header), awssts.SourceIdentity(g.Evidence())) {
		t.Errorf("account or audit context: %v %v", got.URL, got.Header)
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	good := grant(t, "acme-src", "src/", 0)
	short := grant(t, "acme-src", "src/", time.Second)
	time.Sleep(time.Until(short.Expires()) + time.Millisecond)
	refusal := `<ErrorResponse><Error><Code>AccessDenied</Code><Message>m</Message></Error><RequestId>1</RequestId></ErrorResponse>`
	for name, c := range map[string]struct {
		status int
		body   string
		a      account
		g      fas.Grant
		want   error
	}{
		"the zero grant":          {200, answer(), "123456789012", fas.Grant{}, accessgrants.ErrGrant},
		"one that is over":        {200, answer(), "123456789012", short, accessgrants.ErrGrant},
		"a star in the prefix":    {200, answer(), "123456789012", grant(t, "acme-src", "s*c/", 0), accessgrants.ErrGrant},
		"no account":              {200, answer(), "", good, accessgrants.ErrAccount},
		"a name for an account":   {200, answer(), "evil.example/", good, accessgrants.ErrAccount},
		"not granted":             {403, refusal, "123456789012", good, accessgrants.ErrRefused},
		"broken":                  {500, "", "123456789012", good, accessgrants.ErrService},
		"not XML":                 {200, "{}", "123456789012", good, accessgrants.ErrService},
		"no credentials":          {200, answer("Credentials>", "Other>"), "123456789012", good, accessgrants.ErrService},
		"no token":                {200, answer("<SessionToken>token</SessionToken>", ""), "123456789012", good, accessgrants.ErrService},
		"no end":                  {200, answer("Expiration>", "Other>"), "123456789012", good, accessgrants.ErrService},
		"over already":            {200, answer("<Expiration>2", "<Expiration>1"), "123456789012", good, accessgrants.ErrService},
		"another bucket":          {200, answer("s3://acme-src/", "s3://other-src/"), "123456789012", good, accessgrants.ErrService},
		"a bucket that begins so": {200, answer("s3://acme-src/*", "s3://acme*"), "123456789012", good, accessgrants.ErrService},
		"another prefix":          {200, answer("s3://acme-src/*", "s3://acme-src/other/*"), "123456789012", good, accessgrants.ErrService},
		"one object":              {200, answer("s3://acme-src/*", "s3://acme-src/src/"), "123456789012", good, accessgrants.ErrService},
		"no target":               {200, answer("MatchedGrantTarget", "Other"), "123456789012", good, accessgrants.ErrService},
	} {
		client, _ := wire(t, c.status, c.body)
		if creds, err := issue(t, client, c.a, c.g); !errors.Is(err, c.want) || creds.Token != "" || creds.AccessKeyID != "" {
			t.Errorf("%s: %+v, %v", name, creds, err)
		}
	}
	for target := range map[string]bool{"s3://acme-src/*": true, "s3://acme-src/src/*": true, "s3://acme-src/sr*": true} {
		client, _ := wire(t, 200, answer("s3://acme-src/*", target))
		if _, err := issue(t, client, "123456789012", good); err != nil {
			t.Errorf("control, %s: %v", target, err)
		}
	}
	client, _ := wire(t, 200, answer())
	for name, f := range map[string]func() (*accessgrants.Issuer, error){"no client": func() (*accessgrants.Issuer, error) { return accessgrants.New(nil, account("1")) },
		"no accounts": func() (*accessgrants.Issuer, error) { return accessgrants.New(client, nil) }} {
		if i, err := f(); !errors.Is(err, accessgrants.ErrConfig) || i != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// The refusal first: nobody but a firewall makes a grant.
func ExampleIssuer_Issue() {
	i, err := accessgrants.New(s3control.New(s3control.Options{Region: "us-east-1"}), account("123456789012"))
	if err != nil {
		panic(err)
	}
	_, err = i.Issue(context.Background(), fas.Grant{})
	fmt.Println(err)
	// Output: accessgrants: not a grant to issue for
}

// nobody used anything before.
type nobody struct{}

func (nobody) Horizons(context.Context) (map[tenant.UserID]time.Time, error) { return nil, nil }
func (nobody) Extend(context.Context, tenant.UserID, time.Time) error        { return nil }
