package localsts_test

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/cloisterdev/cloister/audit"
	"github.com/cloisterdev/cloister/fas"
	"github.com/cloisterdev/cloister/fas/firewalld"
	"github.com/cloisterdev/cloister/fas/localsts"
	"github.com/cloisterdev/cloister/fas/sigv4"
	"github.com/cloisterdev/cloister/tenant"
)

type silent struct{}

func (silent) Append(context.Context, audit.Event) error { return nil }
func (silent) Record(context.Context, audit.Event) error { return nil }

// office is a real firewall with a customer who signs calls.
type office struct {
	t         testing.TB
	dir       string
	root      tenant.Secret
	wall      *firewalld.Server
	rec       audit.Recorder
	key, user string
}

func newOffice(t *testing.T, rec audit.Recorder) *office {
	t.Helper()
	o := &office{t: t, dir: t.TempDir(), root: tenant.NewSecret(bytes.Repeat([]byte{1}, 32)), rec: rec}
	o.open()
	name, err := tenant.NewText("acme", 10)
	o.ok(err)
	id, err := firewalld.AddTenant(o.dir, o.root, name)
	o.ok(err)
	user, err := firewalld.AddUser(o.dir, o.root, id, name, true)
	o.ok(err)
	o.user, o.key = user.AccessKeyID, user.SecretAccessKey
	t.Cleanup(func() { _ = o.wall.Close() })
	return o
}

func (o *office) ok(err error) {
	o.t.Helper()
	if err != nil {
		o.t.Fatal(err)
	}
}

// open opens the firewall, again where it was open.
func (o *office) open() {
	o.t.Helper()
	if o.wall != nil {
		o.ok(o.wall.Close())
	}
	var err error
	o.wall, err = firewalld.Open(o.dir, o.root, o.rec, &firewalld.Options{Operations: []fas.Operation{
		{Path: "/CreateCustomization", Action: "CreateCustomization", Mutating: true, Verbs: []fas.Verb{fas.VerbCatalogCreate}}}})
	o.ok(err)
}

// issue asks for a session on a bucket, as a customer's signed call does.
func (o *office) issue(ttl time.Duration) *fas.Session {
	o.t.Helper()
	// Two calls of one second differ.
	body := []byte(`{"dataReference":{"s3Reference":{"uri":"s3://acme/src/"}},"nonce":"` + tenant.NewRequestID().String() + `"}`)
	r, err := http.NewRequest(http.MethodPost, "http://service.local/CreateCustomization", bytes.NewReader(body))
	o.ok(err)
	o.ok(sigv4.SignRequest(r, body, sigv4.Credentials{AccessKeyID: o.user, Secret: tenant.NewSecret([]byte(o.key)), Region: "us-east-1", Service: "codewhisperer"}, time.Now()))
	r.RequestURI, r.Host = "/CreateCustomization", "service.local"
	signed, b, err := sigv4.Capture(r, 1<<20)
	o.ok(err)
	signed, err = signed.WithBody(b)
	o.ok(err)
	ev, err := fas.SigV4Evidence(signed)
	o.ok(err)
	row := customization(o.t, o.wall, ev)
	s, err := o.wall.Exchange(context.Background(), ev, fas.Request{RequestID: tenant.NewRequestID(), Customization: row, Profile: firewalld.SourceProfile, Scope: []byte(prefixScope), TTL: ttl})
	o.ok(err)
	return s
}

// issue returns a session of a new office, and the material of its authority.
func issue(t *testing.T, ttl time.Duration) (*fas.Session, localsts.Material) {
	t.Helper()
	o := newOffice(t, silent{})
	return o.issue(ttl), o.wall.VerifierMaterial()
}

// customization makes the row that the session is for.
func customization(t testing.TB, wall *firewalld.Server, ev fas.Evidence) tenant.CustomizationID {
	t.Helper()
	ctx := context.Background()
	c := dial(t, wall)
	s, err := c.AssumeOwn(ctx, ev, fas.Request{RequestID: tenant.NewRequestID()})
	if err != nil {
		t.Fatal(err)
	}
	row, _, err := c.Catalog(s).Create(ctx, fas.CreateInput{})
	if err != nil {
		t.Fatal(err)
	}
	return row.Customization
}

func TestIssuedSession(t *testing.T) {
	t.Parallel()
	s, m := issue(t, 0)
	creds, err := s.Credentials()
	if err != nil {
		t.Fatal(err)
	}
	v, err := localsts.NewVerifier(m)
	if err != nil {
		t.Fatal(err)
	}
	at := time.Now()
	for name, bad := range map[string][2]string{
		"no token":            {creds.AccessKeyID, ""},
		"another key":         {accessKey(tenant.NewSessionID()), creds.Token},
		"no key":              {"", creds.Token},
		"a changed token":     {creds.AccessKeyID, strings.Replace(creds.Token, ".", ".A", 1)},
		"the ID for a secret": {creds.AccessKeyID, s.ID().String()},
	} {
		if c, _, err := v.Lookup(bad[0], bad[1], at); !errors.Is(err, localsts.ErrToken) || c != nil {
			t.Errorf("%s: %v, %v", name, c, err)
		}
	}
	if _, _, err := v.Lookup(creds.AccessKeyID, creds.Token, s.Expires()); !errors.Is(err, localsts.ErrToken) {
		t.Errorf("at its end: %v", err)
	}
	if elsewhere, _, err := mustOther(t).Lookup(creds.AccessKeyID, creds.Token, at); !errors.Is(err, localsts.ErrToken) || elsewhere != nil {
		t.Errorf("at another authority's bucket: %v, %v", elsewhere, err)
	}
	c, secret, err := v.Lookup(creds.AccessKeyID, creds.Token, at)
	if err != nil {
		t.Fatal(err)
	}
	if c.Session != s.ID() || c.Tenant != s.Tenant() || c.User != s.User() || c.Bucket != "acme" || c.Expires != s.Expires().Unix() {
		t.Errorf("%+v", c)
	}
	if !c.Allows("s3:GetObject", "arn:aws:s3:::acme/src/a.go", at) || c.Allows("s3:GetObject", "arn:aws:s3:::acme/other/a.go", at) {
		t.Error("the layers of the session are not those of the exchange")
	}
	requests(t, creds, secret)
}

// requests shows that a bucket which verifies signatures with the secret of
// Lookup is served by the holder of the credentials, and by nobody who has
// seen the token only.
func requests(t *testing.T, creds fas.Credentials, found tenant.Secret) {
	t.Helper()
	verify := func(with tenant.Secret, token string) error {
		r, err := http.NewRequest(http.MethodGet, "http://acme.local/src/a.go", nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := sigv4.SignRequest(r, nil, sigv4.Credentials{AccessKeyID: creds.AccessKeyID, Secret: with, SessionToken: token, Region: "us-east-1", Service: "s3"}, time.Now()); err != nil {
			t.Fatal(err)
		}
		r.RequestURI, r.Host, r.Body = "/src/a.go", "acme.local", http.NoBody
		ev, _, err := sigv4.Capture(r, 1<<10)
		if err != nil {
			t.Fatal(err)
		}
		return sigv4.Verify(ev, func(string) (tenant.Secret, bool) { return found, true }, time.Now(), sigv4.Options{Region: "us-east-1", Service: "s3"})
	}
	for name, guess := range map[string]string{"the token": creds.Token, "the access key": creds.AccessKeyID, "zeros": strings.Repeat("0", 64)} {
		if err := verify(tenant.NewSecret([]byte(guess)), creds.Token); !errors.Is(err, sigv4.ErrSignature) {
			t.Errorf("%s for a secret: %v", name, err)
		}
	}
	if err := verify(creds.Secret, creds.Token); err != nil {
		t.Error(err)
	}
}

func mustOther(t *testing.T) *localsts.Verifier {
	t.Helper()
	_, _, v := parts(t)
	return v
}

func TestIssuedLife(t *testing.T) {
	t.Parallel()
	s, m := issue(t, time.Minute)
	creds, err := s.Credentials()
	if err != nil {
		t.Fatal(err)
	}
	v, err := localsts.NewVerifier(m)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := v.Lookup(creds.AccessKeyID, creds.Token, time.Now().Add(time.Minute)); !errors.Is(err, localsts.ErrToken) {
		t.Errorf("after the life that was asked for: %v", err)
	}
	if _, _, err := v.Lookup(creds.AccessKeyID, creds.Token, time.Now()); err != nil {
		t.Error(err)
	}
}
