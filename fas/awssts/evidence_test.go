package awssts_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/cloisterdev/cloister/fas"
	"github.com/cloisterdev/cloister/fas/awssts"
	"github.com/cloisterdev/cloister/tenant"
)

// accounts knows one caller by account and role or user.
type accounts struct {
	is awssts.AWSCaller
	id fas.Identity
}

func (a accounts) Identity(_ context.Context, c awssts.AWSCaller) (fas.Identity, bool) {
	r, _ := c.Role()
	own, _ := a.is.Role()
	return a.id, c.Account == a.is.Account && r == own && (r != "" || c.ARN == a.is.ARN)
}

// byProof is a world whose firewall takes proofs of caller.
func byProof(t *testing.T, to string, is awssts.AWSCaller, issuer fas.Issuer) *world {
	t.Helper()
	v, _ := verifier(t, to)
	return newWorld(t, reads, issuer, func(w *world, c *fas.Config) {
		s, err := v.Scheme(accounts{is, w.id.id})
		w.ok(err)
		c.Verifiers = map[tenant.Method]fas.Verifier{awssts.MethodCaller: s}
	})
}

const createPath = "/CreateCustomization"

func creation(bucket string) []byte { return fmt.Appendf(nil, `{"uri":"s3://%s/src/"}`, bucket) }

// A caller that has AWS credentials and no key of the service gets a session by
// proof, and everybody else a refusal, from the same firewall.
func TestSessionByProof(t *testing.T) {
	t.Parallel()
	for name, start := range map[string]func(*testing.T) (string, awssts.AWSCaller, func(string, []byte) awssts.Proof){
		"versitygw": func(t *testing.T) (string, awssts.AWSCaller, func(string, []byte) awssts.Proof) {
			at, root := versitygw(t)
			return at, awssts.AWSCaller{Account: "000000000000", ARN: "arn:aws:iam::000000000000:root"},
				func(aud string, body []byte) awssts.Proof {
					return prove(t, root, aud, awssts.CallDigest("POST", createPath, body))
				}
		},
		"with a session token": func(t *testing.T) (string, awssts.AWSCaller, func(string, []byte) awssts.Proof) {
			return standIn(t), awssts.AWSCaller{Account: "123456789012", ARN: "arn:aws:sts::123456789012:assumed-role/deploy/another-name"},
				func(aud string, body []byte) awssts.Proof {
					return prove(t, caller, aud, awssts.CallDigest("POST", createPath, body))
				}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			at, is, proof := start(t)
			g := &grabber{}
			w := byProof(t, at, is, g)
			body := creation("acme-src")
			good := func() awssts.Proof { return proof(audience, body) }
			for name, bad := range map[string]struct {
				p    awssts.Proof
				path string
				body []byte
			}{
				"another bucket in the body": {good(), createPath, creation("other-src")},
				"another operation":          {good(), "/UpdateCustomization", body},
				"for another service":        {proof("rag.example.org", body), createPath, body},
				"of another request":         {proof(audience, creation("other-src")), createPath, body},
			} {
				ev, err := awssts.Evidence(bad.p, "POST", bad.path, bad.body)
				if err != nil {
					t.Errorf("%s: %v", name, err)
					continue
				}
				if s, err := w.exchangeWith(ev, scopeOf(t, "acme-src"), 0); s != nil || (!errors.Is(err, fas.ErrDenied) && !errors.Is(err, fas.ErrOperation)) {
					t.Errorf("%s: %v, %v", name, s, err)
				}
			}
			is.Account = "999999999999"
			ev, err := awssts.Evidence(good(), "POST", createPath, body)
			if err != nil {
				t.Fatal(err)
			}
			if s, err := byProof(t, at, is, g).exchangeWith(ev, scopeOf(t, "acme-src"), 0); !errors.Is(err, fas.ErrDenied) || s != nil {
				t.Errorf("an account that nobody onboarded: %v, %v", s, err)
			}
			s, err := w.exchangeWith(ev, scopeOf(t, "acme-src"), 0)
			if err != nil {
				t.Fatalf("control: %v", err)
			}
			if s.Tenant() != w.tenant || g.grant.Evidence() != awssts.CallDigest("POST", createPath, body) {
				t.Errorf("%v", s)
			}
			if s, err := w.exchangeWith(ev, scopeOf(t, "acme-src"), 0); !errors.Is(err, fas.ErrReplayed) || s != nil {
				t.Errorf("once more: %v, %v", s, err)
			}
		})
	}
}

func TestEvidenceOfNoProof(t *testing.T) {
	t.Parallel()
	p := prove(t, caller, audience, digest)
	for name, err := range map[string]error{
		"no proof":  errOf(awssts.Evidence(awssts.Proof{}, "POST", "/", nil)),
		"no method": errOf(awssts.Evidence(p, "", "/", nil)),
		"no path":   errOf(awssts.Evidence(p, "POST", "", nil)),
		"too large": errOf(awssts.Evidence(p, "POST", "/", make([]byte, fas.MaxEvidence))),
	} {
		if !errors.Is(err, awssts.ErrProof) && !errors.Is(err, fas.ErrNoEvidence) {
			t.Errorf("%s: %v", name, err)
		}
	}
	v, d := verifier(t, standIn(t))
	s, err := v.Scheme(accounts{})
	if err != nil {
		t.Fatal(err)
	}
	for name, raw := range map[string]string{"nothing": "", "an array": "[]", "no proof": `{"method":"POST","path":"/"}`, "an unknown key": `{"proof":{},"method":"POST","path":"/","x":1}`} {
		if id, _, err := s.Verify(context.Background(), []byte(raw), time.Now()); !errors.Is(err, fas.ErrNoEvidence) || id != (fas.Identity{}) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if d.calls.Load() != 0 {
		t.Error("STS was asked")
	}
	if _, err := awssts.Evidence(p, "POST", "/", nil); err != nil {
		t.Errorf("control: %v", err)
	}
}
