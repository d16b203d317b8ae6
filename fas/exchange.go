package fas

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/cloisterdev/cloister/audit"
	"github.com/cloisterdev/cloister/fas/policy"
	"github.com/cloisterdev/cloister/fas/profile"
	"github.com/cloisterdev/cloister/tenant"
)

// Exchange implements [Gate]: a session on the customer's own bucket.
func (f *Firewall) Exchange(ctx context.Context, ev Evidence, req Request) (*Session, error) {
	v, e, err := f.identify(ctx, "exchange", ev, req)
	if err != nil {
		return nil, err
	}
	defer f.limits.leave(v.caller.Tenant())
	p, err := f.profile(ctx, &v, &e, req)
	if err != nil {
		return nil, err
	}
	// The target of the signed call may be the catalog while the row that it
	// made is what the session is for; the row is checked below.
	row, target := req.Customization, req.Customization
	if !v.op.OnCustomization {
		target = tenant.CustomizationID{}
	}
	if err := f.authorize(ctx, &v, &e, target); err != nil {
		return nil, err
	}
	retry := v.retry(ctx, "exchange", req)
	if s, err := f.repeated(ctx, retry, &v, e); s != nil || err != nil {
		return s, err
	}
	prof := p.Profile()
	if err := f.claim(ctx, "exchange", &v, e, prof.MaxExchanges); err != nil {
		return nil, err
	}
	bucket, prefix, reason := p.scope(&v, req.Scope)
	if reason != "" {
		return nil, f.deny(ctx, e, reason, ErrScope)
	}
	r, err := f.c.Registry.Get(ctx, row)
	if err != nil || r.Tenant != v.caller.Tenant() || r.Pending == nil {
		return nil, f.deny(ctx, e, "no-unfinished-version", ErrDenied)
	}
	s := &Session{id: tenant.NewSessionID(), tenant: v.caller.Tenant(), user: v.caller.User(), customization: row,
		verbs: []Verb{VerbBucketRead}, expires: time.Now().Add(req.lifetime(time.Duration(prof.TTL) * time.Second))}
	if s.expires.After(prof.NotAfter) {
		s.expires = prof.NotAfter // the approval's end is the end of what it approved
	}
	e.Session = s.id
	v.watch.lap("scope")
	if err := f.allow(ctx, e, true); err != nil {
		return nil, err
	}
	v.watch.lap("audit")
	creds, err := f.c.Issuer.Issue(ctx, Grant{session: s.id, caller: v.caller, bucket: bucket, prefix: prefix, profile: prof.Allow, scope: req.Scope,
		expires: s.expires, customization: row, evidence: v.claim.Digest, audience: prof.Audience})
	if err != nil {
		return nil, f.deny(ctx, e, "issuer-failed", ErrDenied)
	}
	creds.Bucket, creds.Prefix = bucket, prefix
	v.watch.lap("session")
	s.creds, s.spans = &creds, v.watch.spans
	f.answers.keep(retry, s, v.now)
	return s, nil
}

// profile finds the profile of a request and checks that it serves the caller,
// the evidence and the operation.
func (f *Firewall) profile(ctx context.Context, v *verified, e *audit.Event, req Request) (*approved, error) {
	e.Scope = sha256.Sum256(req.Scope)
	p := f.approved(req.Profile)
	if p == nil {
		return nil, f.deny(ctx, *e, "no-profile", ErrDenied)
	}
	e.Profile = p.Hash()
	prof := p.Profile()
	switch {
	case !prof.PermitsCaller(peerOf(ctx).name):
		return nil, f.deny(ctx, *e, "not-a-caller-of-the-profile", ErrRole)
	case !profile.Level(v.claim.Level.String()).Meets(prof.MinLevel):
		return nil, f.deny(ctx, *e, "level", ErrLevel)
	case !slices.Contains(prof.Operations, v.op.Path):
		return nil, f.deny(ctx, *e, "operation-not-in-profile", ErrOperation)
	}
	return p, nil
}

// scope checks that the scope-down lies within the profile and within what the
// signed call names. It returns the reason of a refusal.
func (p *approved) scope(v *verified, raw []byte) (bucket, prefix, reason string) {
	if len(raw) == 0 {
		return "", "", "scope-empty"
	}
	doc, err := policy.Parse(raw)
	if err != nil {
		return "", "", "scope-malformed"
	}
	if policy.Subset(p.doc, doc).Answer != policy.Yes {
		return "", "", "scope-exceeds-profile"
	}
	bucket, prefix, ok := source(p.bind, v)
	if !ok {
		return "", "", "body-names-no-source"
	}
	bound, err := boundTo(bucket, prefix)
	if err != nil {
		return "", "", "body-names-no-source"
	}
	if policy.Subset(bound, doc).Answer != policy.Yes {
		return "", "", "scope-exceeds-signed-body"
	}
	return bucket, prefix, ""
}

// source reads from the signed call, where the profile says, which prefix of
// which bucket it is about.
func source(b profile.Binding, v *verified) (bucket, prefix string, ok bool) {
	uri := ""
	switch b.From {
	case profile.FromBody:
		uri, ok = pointer(v.claim.Body, b.Name)
	case profile.FromHeader:
		if v.claim.Header != nil {
			uri, ok = v.claim.Header(b.Name)
		}
	case profile.FromQuery:
		values, err := url.ParseQuery(v.claim.Query)
		if err != nil || len(values[b.Name]) != 1 {
			return "", "", false
		}
		uri, ok = values.Get(b.Name), true
	case profile.FromPath:
		bucket, ok = v.vars[b.Name]
		return bucket, "", ok && bucket != ""
	}
	rest, isS3 := strings.CutPrefix(uri, "s3://")
	bucket, prefix, hasPrefix := strings.Cut(rest, "/")
	if !ok || !isS3 || !hasPrefix || bucket == "" || prefix == "" || !strings.HasSuffix(prefix, "/") {
		return "", "", false
	}
	return bucket, prefix, true
}

// pointer follows a JSON pointer of plain object keys to a string.
func pointer(body []byte, p string) (string, bool) {
	if len(body) == 0 {
		return "", false
	}
	raw := json.RawMessage(body)
	for _, key := range strings.Split(strings.TrimPrefix(p, "/"), "/") {
		var m map[string]json.RawMessage
		if json.Unmarshal(raw, &m) != nil {
			return "", false
		}
		next, ok := m[key]
		if !ok {
			return "", false
		}
		raw = next
	}
	var s string
	return s, json.Unmarshal(raw, &s) == nil
}
