package firewalld_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/cloisterdev/cloister/fas"
	"github.com/cloisterdev/cloister/fas/localsts"
	"github.com/cloisterdev/cloister/fas/sigv4"
	"github.com/cloisterdev/cloister/tenant"
)

func forgedSignature(t *testing.T) {
	w := newWall(t, nil)
	ev := w.call(w.a, "ListCustomizations", "")
	raw, err := ev.MarshalBinary()
	w.ok(err)
	for i := range raw {
		forged := bytes.Clone(raw)
		forged[i] ^= 1
		other, err := fas.ParseEvidence(forged)
		if err != nil {
			continue
		}
		s, err := w.ask(other, tenant.CustomizationID{})
		refused(t, fmt.Sprintf("byte %d of %d", i, len(raw)), s, err, fas.ErrDenied)
	}
	guess := w.a
	guess.key.SecretAccessKey = w.b.key.SecretAccessKey
	s, err := w.own(guess, "ListCustomizations", tenant.CustomizationID{})
	refused(t, "the secret of another", s, err, fas.ErrDenied)
	w.must(w.ask(ev, tenant.CustomizationID{}))
}

func replayInWindow(t *testing.T) {
	w := newWall(t, nil)
	ev := w.call(w.a, "CreateCustomization", "")
	w.must(w.ask(ev, tenant.CustomizationID{}))
	s, err := w.ask(ev, tenant.CustomizationID{})
	refused(t, "a change again", s, err, fas.ErrReplayed)
	id, _ := w.row(w.a)
	call := w.call(w.a, "CreateCustomization", w.source("s3://acme/src/"))
	w.must(w.exchange(call, id, scope("s3:GetObject", "acme/src/*")))
	s, err = w.exchange(call, id, scope("s3:GetObject", "acme/src/*"))
	refused(t, "an exchange again", s, err, fas.ErrReplayed)
}

func replayAfterRestart(t *testing.T) {
	w := newWall(t, nil)
	ev := w.call(w.a, "CreateCustomization", "")
	ahead := w.evidence(w.request(w.b, "CreateCustomization", "", time.Now().Add(20*time.Second), nil))
	w.must(w.ask(ahead, tenant.CustomizationID{}))
	w.must(w.ask(ev, tenant.CustomizationID{}))
	time.Sleep(time.Until(ev.Claim().Time.Add(time.Second))) // so that what follows is all of one second
	last := w.call(w.a, "CreateCustomization", "")
	w.must(w.ask(last, tenant.CustomizationID{}))
	w.stop()
	w.start()
	for name, ev := range map[string]fas.Evidence{"a call of before the restart": ev, "one of the very second": last, "one of a clock that is ahead": ahead} {
		s, err := w.ask(ev, tenant.CustomizationID{})
		refused(t, name, s, err, fas.ErrDenied)
	}
	w.must(w.own(w.a, "CreateCustomization", tenant.CustomizationID{}))
}

func anotherOperation(t *testing.T) {
	w := newWall(t, nil)
	id, _ := w.row(w.a)
	s, err := w.exchange(w.call(w.a, "ListCustomizations", w.source("s3://acme/src/")), id, scope("s3:GetObject", "acme/src/*"))
	refused(t, "an exchange for a call that lists", s, err, fas.ErrOperation)
	list := w.must(w.own(w.a, "ListCustomizations", tenant.CustomizationID{}))
	if _, _, err := w.c.Catalog(list).Create(context.Background(), fas.CreateInput{}); !errors.Is(err, fas.ErrVerb) {
		t.Errorf("a change for a call that lists: %v", err)
	}
	s, err = w.own(w.a, "Mint", tenant.CustomizationID{})
	refused(t, "an operation that is not", s, err, fas.ErrOperation)
	w.must(w.exchange(w.call(w.a, "CreateCustomization", w.source("s3://acme/src/")), id, scope("s3:GetObject", "acme/src/*")))
}

func anotherTenantsBucket(t *testing.T) {
	w := newWall(t, nil)
	mine, _ := w.row(w.a)
	theirs, _ := w.row(w.b)
	s, err := w.exchange(w.call(w.a, "CreateCustomization", w.source("s3://acme/src/")), theirs, scope("s3:GetObject", "acme/src/*"))
	refused(t, "for a row of the other tenant", s, err, fas.ErrDenied)
	// Whatever a tenant writes into its own call, it acts as itself there: the
	// bucket decides with the tenant that signed.
	s = w.must(w.exchange(w.call(w.a, "CreateCustomization", w.source("s3://umbrella/src/")), mine, scope("s3:GetObject", "umbrella/src/*")))
	creds, err := s.Credentials()
	w.ok(err)
	v, err := localsts.NewVerifier(w.srv.VerifierMaterial())
	w.ok(err)
	claims, _, err := v.Lookup(creds.AccessKeyID, creds.Token, time.Now())
	w.ok(err)
	if claims.Tenant != w.a.tenant || claims.User != w.a.key.User {
		t.Errorf("the session acts for %v", claims.Tenant)
	}
}

func anotherBucket(t *testing.T) {
	w := newWall(t, nil)
	id, _ := w.row(w.a)
	for _, where := range []string{"acme-2/src/*", "acme/*", "acme/other/*", "acme/src", "acme/srcx/*", "*"} {
		s, err := w.exchange(w.call(w.a, "CreateCustomization", w.source("s3://acme/src/")), id, scope("s3:GetObject", where))
		refused(t, where, s, err, fas.ErrScope)
	}
	w.must(w.exchange(w.call(w.a, "CreateCustomization", w.source("s3://acme/src/")), id, scope("s3:GetObject", "acme/src/a/*")))
}

func emptyOrWideScope(t *testing.T) {
	// The profile reads objects only, so that what the call names is wider.
	w := newWall(t, onlyGet(t))
	id, _ := w.row(w.a)
	good := scope("s3:GetObject", "acme/src/*")
	for name, policy := range map[string]string{
		"nothing":                  "",
		"null":                     "null",
		"an empty object":          "{}",
		"no statement":             `{"Version":"2012-10-17","Statement":[]}`,
		"every action":             scope("*", "acme/src/*"),
		"every verb":               scope("s3:*", "acme/src/*"),
		"one verb more":            scope("s3:ListBucket", "acme/src/*"),
		"every resource":           scope("s3:GetObject", "*"),
		"the key twice":            `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:GetObject","Resource":"arn:aws:s3:::acme/src/*","Resource":"*"}]}`,
		"the key in another case":  `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:GetObject","resource":"arn:aws:s3:::acme/src/*"}]}`,
		"a key with a typing slip": `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:GetObject","Resources":"arn:aws:s3:::acme/src/*"}]}`,
		"another version":          `{"Version":"2008-10-17","Statement":[{"Effect":"Allow","Action":"s3:GetObject","Resource":"arn:aws:s3:::acme/src/*"}]}`,
		"what follows":             good + good,
		"larger than may be":       good[:len(good)-1] + string(bytes.Repeat([]byte(" "), 4096)) + "}",
	} {
		s, err := w.exchange(w.call(w.a, "CreateCustomization", w.source("s3://acme/src/")), id, policy)
		refused(t, name, s, err, fas.ErrScope)
	}
	w.must(w.exchange(w.call(w.a, "CreateCustomization", w.source("s3://acme/src/")), id, good))
}

func policyInjection(t *testing.T) {
	w := newWall(t, nil)
	id, _ := w.row(w.a)
	for uri, where := range map[string]string{
		"s3://acme/*/":               "acme/other/*",
		"s3://acme/?rc/":             "acme/src/*",
		"s3://*/src/":                "umbrella/src/*",
		"s3://acme/${aws:userid}/":   "acme/someone/*",
		"s3://acme/${*}/":            "acme/x/*",
		`s3://acme/"],"x":["/`:       "acme/src/*",
		"s3://acme/src\u0000/":       "acme/src/*",
		"s3://acme/src/\",\"*\",\"/": "*",
	} {
		s, err := w.exchange(w.call(w.a, "CreateCustomization", w.source(uri)), id, scope("s3:GetObject", where))
		refused(t, uri, s, err, fas.ErrScope)
	}
	w.must(w.exchange(w.call(w.a, "CreateCustomization", w.source("s3://acme/src/")), id, scope("s3:GetObject", "acme/src/*")))
}

func sessionMintsSession(t *testing.T) {
	w := newWall(t, nil)
	id, _ := w.row(w.a)
	s := w.must(w.exchange(w.call(w.a, "CreateCustomization", w.source("s3://acme/src/")), id, scope("s3:GetObject", "acme/src/*")))
	creds, err := s.Credentials()
	w.ok(err)
	// The session's keys sign for a bucket; here they are nobody's.
	ev := w.evidence(w.request(w.a, "CreateCustomization", "", time.Now(), func(_ *http.Request, k *sigv4.Credentials) {
		k.AccessKeyID, k.Secret, k.SessionToken = creds.AccessKeyID, creds.Secret, creds.Token
	}))
	got, err := w.ask(ev, tenant.CustomizationID{})
	refused(t, "a call signed by a session", got, err, fas.ErrDenied)
	v, err := localsts.NewVerifier(w.srv.VerifierMaterial())
	w.ok(err)
	claims, _, err := v.Lookup(creds.AccessKeyID, creds.Token, time.Now())
	w.ok(err)
	for _, action := range []string{"sts:AssumeRole", "sts:GetFederationToken", "iam:CreateAccessKey", "s3:PutBucketPolicy"} {
		for _, on := range []string{"*", "arn:aws:s3:::acme/src/a", "arn:aws:iam::123456789012:role/x"} {
			if claims.Allows(action, on, time.Now()) {
				t.Errorf("the session allows %s on %s", action, on)
			}
		}
	}
	if !claims.Allows("s3:GetObject", "arn:aws:s3:::acme/src/a", time.Now()) {
		t.Error("control: the session allows nothing")
	}
	// A session on the catalog begins none of the others.
	list := w.must(w.own(w.a, "ListCustomizations", tenant.CustomizationID{}))
	for _, op := range []string{"create", "share", "update", "activate"} {
		body := fmt.Sprintf(`{"op":"catalog.%s","session":%q,"create":{},"user":%q}`, op, list.ID(), w.a.key.User)
		if out := w.frame(w.path, body); out["error"] != "verb" {
			t.Errorf("%s in a session that lists: %v", op, out)
		}
	}
	if out := w.frame(w.path, fmt.Sprintf(`{"op":"catalog.list","session":%q}`, list.ID())); out["error"] != nil {
		t.Errorf("control: %v", out)
	}
}

func stolenSession(t *testing.T) {
	w := newWall(t, nil)
	brief, err := w.c.AssumeOwn(context.Background(), w.call(w.a, "ListCustomizations", ""), fas.Request{RequestID: tenant.NewRequestID(), TTL: 500 * time.Millisecond})
	w.ok(err)
	list := func(path string, s *fas.Session) any {
		return w.frame(path, fmt.Sprintf(`{"op":"catalog.list","session":%q}`, s.ID()))["error"]
	}
	if got := list(w.path, brief); got != nil {
		t.Fatalf("control: %v", got)
	}
	elsewhere, stop := w.listen("editor")
	defer stop()
	long := w.must(w.own(w.a, "ListCustomizations", tenant.CustomizationID{}))
	if got := list(elsewhere, long); got != "role" {
		t.Errorf("from another workload: %v", got)
	}
	if got := list(w.path, long); got != nil {
		t.Errorf("control: %v", got)
	}
	w.ok(w.srv.Revoke(context.Background(), fas.Revocation{Session: long.ID()}))
	if got := list(w.path, long); got != "revoked" {
		t.Errorf("after it was revoked: %v", got)
	}
	time.Sleep(time.Until(brief.Expires()))
	if got := list(w.path, brief); got != "expired" {
		t.Errorf("after its end: %v", got)
	}
	if got := list(w.path, brief); got != "expired" && got != "closed" {
		t.Errorf("later: %v", got)
	}
}

func crossService(t *testing.T) {
	w := newWall(t, nil)
	for name, change := range map[string]func(*http.Request, *sigv4.Credentials){
		"another service":         func(_ *http.Request, k *sigv4.Credentials) { k.Service = "s3" },
		"another region":          func(_ *http.Request, k *sigv4.Credentials) { k.Region = "eu-west-1" },
		"another of both":         func(_ *http.Request, k *sigv4.Credentials) { k.Service, k.Region = "sts", "eu-west-1" },
		"a service of like names": func(_ *http.Request, k *sigv4.Credentials) { k.Service = "codewhisperer2" },
	} {
		ev := w.evidence(w.request(w.a, "ListCustomizations", "", time.Now(), change))
		s, err := w.ask(ev, tenant.CustomizationID{})
		refused(t, name, s, err, fas.ErrDenied)
	}
	w.must(w.own(w.a, "ListCustomizations", tenant.CustomizationID{}))
}

func assumeOwnOracle(t *testing.T) {
	w := newWall(t, nil)
	id := w.served(w.a)
	for name, body := range map[string]string{
		"no evidence":     fmt.Sprintf(`{"op":"assume-own","target":%q,"request":{"request_id":%q}}`, id, tenant.NewRequestID()),
		"made-up one":     fmt.Sprintf(`{"op":"assume-own","target":%q,"request":{"request_id":%q}}`, id, tenant.NewRequestID()) + "\x00sigv4\n{}",
		"of no scheme":    fmt.Sprintf(`{"op":"assume-own","target":%q,"request":{"request_id":%q}}`, id, tenant.NewRequestID()) + "\x00\n{}",
		"of other scheme": fmt.Sprintf(`{"op":"assume-own","target":%q,"request":{"request_id":%q}}`, id, tenant.NewRequestID()) + "\x00oidc\n{}",
	} {
		if out := w.frame(w.path, body); out["error"] != "denied" || out["session"] != nil {
			t.Errorf("%s: %v", name, out)
		}
	}
	for name, who := range map[string]person{"a user without the right": w.dev, "another tenant": w.b} {
		s, err := w.own(who, "GetRetrievals", id)
		refused(t, name, s, err, fas.ErrDenied)
	}
	s, err := w.own(w.a, "GetRetrievals", tenant.NewCustomizationID())
	refused(t, "a collection that is not", s, err, fas.ErrDenied)
	if s := w.must(w.own(w.a, "GetRetrievals", id)); s.WithKey(fas.VerbQuery, func([]byte) error { return nil }) != nil {
		t.Error("control: no key")
	}
}

func auditSinkDown(t *testing.T) {
	w := newWall(t, nil)
	ctx := context.Background()
	id := w.served(w.a)
	pending, ticket := w.row(w.a)
	create := w.must(w.own(w.a, "CreateCustomization", tenant.CustomizationID{}))
	share := w.must(w.own(w.a, "AssociateCustomizationPermission", id))
	w.rec.setFail(true)
	s, err := w.own(w.a, "GetRetrievals", id)
	refused(t, "a read", s, err, fas.ErrAudit)
	s, err = w.own(w.a, "CreateCustomization", tenant.CustomizationID{})
	refused(t, "a change", s, err, fas.ErrAudit)
	s, err = w.exchange(w.call(w.a, "CreateCustomization", w.source("s3://acme/src/")), pending, scope("s3:GetObject", "acme/src/*"))
	refused(t, "an exchange", s, err, fas.ErrAudit)
	s, err = w.c.Redeem(ctx, ticket, fas.VerbStage)
	refused(t, "a ticket", s, err, fas.ErrAudit)
	if _, _, err := w.c.Catalog(create).Create(ctx, fas.CreateInput{}); !errors.Is(err, fas.ErrAudit) {
		t.Errorf("a row: %v", err)
	}
	if err := w.c.Catalog(share).Share(ctx, id, w.dev.key.User); !errors.Is(err, fas.ErrAudit) {
		t.Errorf("a permission: %v", err)
	}
	w.rec.setFail(false)
	s, err = w.own(w.dev, "GetRetrievals", id)
	refused(t, "the permission that was not given", s, err, fas.ErrDenied)
	w.must(w.own(w.a, "GetRetrievals", id))
}

func unsignedHeader(t *testing.T) {
	w := newWall(t, nil)
	add := func(name string, where string) (sigv4.Evidence, error) {
		r := w.request(w.a, "ListCustomizations", "", time.Now(), nil)
		r.Header.Add(name, where)
		ev, _, err := sigv4.Capture(r, 1<<20)
		return ev, err
	}
	for _, name := range []string{"X-Amz-Tenant", "X-Amz-Target", "x-amz-security-token"} {
		if _, err := add(name, "other"); !errors.Is(err, sigv4.ErrNotSigned) {
			t.Errorf("%s: %v", name, err)
		}
	}
	ev, err := add("X-Tenant", w.b.tenant.String())
	w.ok(err)
	if v, ok := ev.Header("X-Tenant"); ok {
		t.Errorf("a header that nobody signed says %q", v)
	}
	sent, err := fas.SigV4Evidence(ev)
	w.ok(err)
	if s := w.must(w.ask(sent, tenant.CustomizationID{})); s.Tenant() != w.a.tenant {
		t.Error("the header counts")
	}
}
