package fas

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/cloisterdev/cloister/audit"
	"github.com/cloisterdev/cloister/authz"
	"github.com/cloisterdev/cloister/fas/policy"
	"github.com/cloisterdev/cloister/fas/profile"
	"github.com/cloisterdev/cloister/fas/sigv4"
	"github.com/cloisterdev/cloister/tenant"
)

// Config holds the parts of a firewall. All are required unless a comment says
// otherwise.
type Config struct {
	// Identities are the access keys of callers that sign with SigV4, for Region
	// and Service. All three are required unless there are Verifiers.
	Identities      Identities
	Region, Service string
	// Verifiers are those of further schemes of evidence, by the method that
	// their callers have then.
	Verifiers  map[tenant.Method]Verifier
	Authorizer *authz.Authorizer
	Profiles   []*profile.Verified
	Issuer     Issuer
	Registry   Registry
	Keys       Keys
	Audit      audit.Recorder
	Operations []Operation
	// TicketKey seals tickets: 32 bytes that outlive the process.
	TicketKey tenant.Secret
	// OwnTTL is the life of an own session; zero means 30 s, at most 60 s.
	OwnTTL time.Duration
	// ReadReplay is how long the same signed read is answered again; zero
	// means 5 s, negative means never.
	ReadReplay time.Duration
	// Replay remembers what was used; nil means in this process, for as many as
	// a million signatures.
	Replay ReplayStore
}

// Firewall is the identity firewall.
type Firewall struct {
	c        Config
	ops      map[string]Operation
	profiles map[string]*approved
	tickets  cipher.AEAD
	replay   ReplayStore
	verifier map[tenant.Method]Verifier
	started  time.Time

	creating sync.Mutex // one Create at a time

	mu       sync.Mutex
	catalogs map[tenant.SessionID]catalogSession
}

type approved struct {
	*profile.Verified
	doc *policy.Document
}

// catalogSession is a session on the catalog, kept here: catalog calls name it
// and are checked against it.
type catalogSession struct {
	caller        tenant.Caller
	customization tenant.CustomizationID // zero for operations on the whole catalog
	verbs         []Verb
	expires       time.Time
	request       tenant.RequestID
}

// NewFirewall refuses a nil or missing part with [ErrConfig].
func NewFirewall(c Config) (*Firewall, error) {
	switch {
	case c.Authorizer == nil, len(c.Profiles) == 0, c.Issuer == nil, c.Registry == nil,
		c.Keys == nil, c.Audit == nil, len(c.Operations) == 0:
		return nil, ErrConfig
	}
	verifiers, err := c.verifiers()
	if err != nil {
		return nil, err
	}
	if c.OwnTTL <= 0 {
		c.OwnTTL = 30 * time.Second
	}
	c.OwnTTL = min(c.OwnTTL, time.Minute)
	if c.ReadReplay == 0 {
		c.ReadReplay = 5 * time.Second
	}
	f := &Firewall{c: c, ops: map[string]Operation{}, profiles: map[string]*approved{}, replay: c.Replay, verifier: verifiers,
		started: time.Now().Truncate(time.Second), catalogs: map[tenant.SessionID]catalogSession{}}
	if f.replay == nil {
		f.replay = &memory{max: 1 << 20}
	}
	for _, o := range c.Operations {
		if o.Path == "" || o.Action == "" || len(o.Verbs) == 0 {
			return nil, fmt.Errorf("%w: an operation is incomplete", ErrConfig)
		}
		if _, twice := f.ops[o.Path]; twice {
			return nil, fmt.Errorf("%w: operation %s is there twice", ErrConfig, o.Path)
		}
		f.ops[o.Path] = o
	}
	for _, v := range c.Profiles {
		if err := v.Err(time.Now()); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrConfig, err)
		}
		doc, err := policy.Parse(v.Profile().Allow)
		if err != nil {
			return nil, fmt.Errorf("%w: profile %s: %w", ErrConfig, v.Profile().ID, err)
		}
		if _, twice := f.profiles[v.Profile().ID]; twice {
			return nil, fmt.Errorf("%w: profile %s is there twice", ErrConfig, v.Profile().ID)
		}
		f.profiles[v.Profile().ID] = &approved{v, doc}
	}
	err = c.TicketKey.Use(func(key []byte) error {
		if len(key) != 32 {
			return fmt.Errorf("%d bytes", len(key))
		}
		block, err := aes.NewCipher(key)
		if err != nil {
			return err
		}
		f.tickets, err = cipher.NewGCMWithRandomNonce(block)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("%w: ticket key: %w", ErrConfig, err)
	}
	return f, nil
}

// verifiers are those of all schemes, each there once.
func (c Config) verifiers() (map[tenant.Method]Verifier, error) {
	all := map[tenant.Method]Verifier{}
	for m, v := range c.Verifiers {
		if v == nil || m == tenant.MethodSigV4 || checkRaw(m, []byte{0}) != nil {
			return nil, fmt.Errorf("%w: a verifier of scheme %q", ErrConfig, m)
		}
		all[m] = v
	}
	if c.Identities != nil {
		if c.Region == "" || c.Service == "" {
			return nil, fmt.Errorf("%w: identities without region or service", ErrConfig)
		}
		all[tenant.MethodSigV4] = sigv4Verifier{c.Identities, sigv4.Options{Region: c.Region, Service: c.Service}}
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("%w: nobody verifies", ErrConfig)
	}
	return all, nil
}

// event starts the audit record of a decision.
func event(kind string, ev Evidence, req Request, c tenant.Caller) audit.Event {
	e := audit.Event{Time: time.Now(), Kind: kind, Request: req.RequestID, Customization: req.Customization, Tenant: c.Tenant(), User: c.User()}
	e.Evidence = ev.claim.Digest
	return e
}

// deny records a refusal. A refusal that cannot be recorded is a refusal.
func (f *Firewall) deny(ctx context.Context, e audit.Event, reason string, err error) error {
	e.Decision, e.Reason = audit.Deny, reason
	_ = f.c.Audit.Append(context.WithoutCancel(ctx), e)
	return err
}

// allow records a grant before it leaves.
func (f *Firewall) allow(ctx context.Context, e audit.Event, durable bool) error {
	e.Decision, e.Reason = audit.Allow, "allowed"
	record := f.c.Audit.Append
	if durable {
		record = f.c.Audit.Record
	}
	if err := record(ctx, e); err != nil {
		return fmt.Errorf("%w: %w", ErrAudit, err)
	}
	return nil
}

// verified is what a signed call amounts to.
type verified struct {
	op     Operation
	claim  Claim
	once   bool // the evidence is good once at this door
	scheme tenant.Method
	now    time.Time
	caller tenant.Caller
	permit authz.Permit
	watch  stopwatch
}

// identify finds out who signed what, and when. Nothing is used up.
func (f *Firewall) identify(ctx context.Context, door string, ev Evidence, req Request) (v verified, e audit.Event, err error) {
	v.watch, v.now, v.scheme = startWatch(), time.Now(), ev.scheme
	e = event("firewall."+door, Evidence{}, req, tenant.Caller{})
	verifier, ok := f.verifier[ev.scheme]
	if !ok || req.RequestID.IsZero() || req.TTL < 0 {
		return v, e, f.deny(ctx, e, "no-evidence", ErrDenied)
	}
	id, claim, err := verifier.Verify(ctx, ev.raw, v.now)
	e.Evidence = claim.Digest
	if err != nil {
		return v, e, f.deny(ctx, e, reasonOf(err), ErrDenied)
	}
	if claim.check() != nil || claim.Level < LevelCanonical {
		return v, e, f.deny(ctx, e, "no-claim", ErrDenied)
	}
	v.claim = claim
	if v.caller, err = tenant.VerifiedCaller(id.Tenant, id.User, ev.scheme, claim.Time); err != nil {
		return v, e, f.deny(ctx, e, "no-caller", ErrDenied)
	}
	e.Tenant, e.User = v.caller.Tenant(), v.caller.User()
	if v.op, ok = f.ops[claim.Path]; !ok || claim.Method != "POST" {
		return v, e, f.deny(ctx, e, "unknown-operation", ErrOperation)
	}
	v.once = v.op.Mutating || door == "exchange"
	if v.once && !f.replay.Durable() && claim.Time.Before(f.started) {
		// What was claimed before this process started is not known any more.
		return v, e, f.deny(ctx, e, "before-start", ErrDenied)
	}
	return v, e, nil
}

// claim uses the evidence up at this door.
func (f *Firewall) claim(ctx context.Context, door string, v *verified, e audit.Event) error {
	first, fresh, err := f.replay.Claim(ctx, onceKey(door, v.scheme, v.claim.Once, 0), v.now, v.claim.end())
	switch {
	case err != nil:
		return f.deny(ctx, e, "replay-store", ErrReplayed)
	case !fresh && (v.once || v.now.Sub(first) > f.c.ReadReplay):
		return f.deny(ctx, e, "replayed", ErrReplayed)
	}
	v.watch.lap("verify")
	return nil
}

// authorize asks the policies.
func (f *Firewall) authorize(ctx context.Context, v *verified, e *audit.Event, target tenant.CustomizationID) error {
	if v.op.OnCustomization == target.IsZero() {
		return f.deny(ctx, *e, "wrong-target", ErrDenied)
	}
	var err error
	v.permit, err = f.c.Authorizer.Authorize(ctx, v.caller, v.op.Action, authz.Resource{Tenant: v.caller.Tenant(), Customization: target})
	if err != nil {
		return f.deny(ctx, *e, "not-authorized", ErrDenied)
	}
	e.PolicyRevision = string(v.permit.Revision())
	v.watch.lap("authorize")
	return nil
}

// AssumeOwn implements [Gate]: a session on the service's own resource.
func (f *Firewall) AssumeOwn(ctx context.Context, ev Evidence, req Request) (*Session, error) {
	v, e, err := f.identify(ctx, "assume-own", ev, req)
	if err != nil {
		return nil, err
	}
	if err := f.claim(ctx, "assume-own", &v, e); err != nil {
		return nil, err
	}
	if err := f.authorize(ctx, &v, &e, req.Customization); err != nil {
		return nil, err
	}
	s := &Session{id: tenant.NewSessionID(), tenant: v.caller.Tenant(), user: v.caller.User(), customization: req.Customization,
		verbs: v.op.Verbs, expires: time.Now().Add(req.lifetime(f.c.OwnTTL)), keys: map[Verb]tenant.Secret{}}
	e.Session = s.id
	if isCatalog(v.op) {
		f.keep(s, v.caller, req)
		v.watch.lap("session")
	} else if err := f.openActive(ctx, s, &v.watch); err != nil {
		return nil, f.deny(ctx, e, keyReason(err), ErrDenied)
	}
	e.Collection, e.Snapshot = s.collection, s.snapshot
	if err := f.allow(ctx, e, v.op.Mutating); err != nil {
		_ = s.Close()
		return nil, err
	}
	v.watch.lap("audit")
	s.spans = v.watch.spans
	return s, nil
}

func isCatalog(o Operation) bool { return strings.HasPrefix(string(o.Verbs[0]), "catalog.") }

func keyReason(err error) string {
	if errors.Is(err, ErrConflict) {
		return "not-active"
	}
	return "key-refused"
}

// openActive fills a session with the active snapshot and its key.
func (f *Firewall) openActive(ctx context.Context, s *Session, watch *stopwatch) error {
	r, err := f.c.Registry.Get(ctx, s.customization)
	if err != nil {
		return err
	}
	if r.Active == nil || r.Tenant != s.tenant {
		return ErrConflict
	}
	key, err := f.c.Keys.Unwrap(ctx, r.Grant, Binding{r.Tenant, r.Customization, r.Collection, r.Active.ID, "snapshot"}, r.Active.Key)
	if err != nil {
		return err
	}
	watch.lap("key")
	s.collection, s.snapshot, s.manifest, s.version = r.Collection, r.Active.ID, r.Active.Manifest, r.Active.Version
	for _, v := range s.verbs {
		s.keys[v] = tenant.NewSecret(append([]byte(nil), key...))
	}
	clear(key)
	watch.lap("session")
	return nil
}

func (f *Firewall) keep(s *Session, c tenant.Caller, req Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.catalogs) > 10_000 {
		for id, old := range f.catalogs {
			if time.Now().After(old.expires) {
				delete(f.catalogs, id)
			}
		}
	}
	f.catalogs[s.id] = catalogSession{c, req.Customization, s.verbs, s.expires, req.RequestID}
}

// Exchange implements [Gate]: a session on the customer's own bucket.
func (f *Firewall) Exchange(ctx context.Context, ev Evidence, req Request) (*Session, error) {
	v, e, err := f.identify(ctx, "exchange", ev, req)
	if err != nil {
		return nil, err
	}
	if err := f.claim(ctx, "exchange", &v, e); err != nil {
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
	e.Scope, e.Customization = sha256.Sum256(req.Scope), row
	p, ok := f.profiles[req.Profile]
	if !ok || p.Err(time.Now()) != nil {
		return nil, f.deny(ctx, e, "no-profile", ErrDenied)
	}
	e.Profile = p.Hash()
	prof := p.Profile()
	served := false
	for _, path := range prof.Operations {
		served = served || path == v.op.Path
	}
	if !served {
		return nil, f.deny(ctx, e, "operation-not-in-profile", ErrOperation)
	}
	bucket, prefix, reason := f.scope(p, v.claim.Body, req.Scope)
	if reason != "" {
		return nil, f.deny(ctx, e, reason, ErrScope)
	}
	r, err := f.c.Registry.Get(ctx, row)
	if err != nil || r.Tenant != v.caller.Tenant() || r.Pending == nil {
		return nil, f.deny(ctx, e, "no-unfinished-version", ErrDenied)
	}
	s := &Session{id: tenant.NewSessionID(), tenant: v.caller.Tenant(), user: v.caller.User(), customization: row,
		verbs: []Verb{VerbBucketRead}, expires: time.Now().Add(req.lifetime(time.Duration(prof.TTL) * time.Second))}
	e.Session = s.id
	v.watch.lap("scope")
	if err := f.allow(ctx, e, true); err != nil {
		return nil, err
	}
	v.watch.lap("audit")
	creds, err := f.c.Issuer.Issue(ctx, Grant{s.id, v.caller, bucket, prefix, prof.Allow, req.Scope, s.expires, row, v.claim.Digest})
	if err != nil {
		return nil, f.deny(ctx, e, "issuer-failed", ErrDenied)
	}
	creds.Bucket, creds.Prefix = bucket, prefix
	v.watch.lap("session")
	s.creds, s.spans = &creds, v.watch.spans
	return s, nil
}

// scope checks that the scope-down lies within the profile and within what the
// signed body names. It returns the reason of a refusal.
func (f *Firewall) scope(p *approved, signed, raw []byte) (bucket, prefix, reason string) {
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
	uri, ok := pointer(signed, p.Profile().Bind)
	rest, isS3 := strings.CutPrefix(uri, "s3://")
	bucket, prefix, hasPrefix := strings.Cut(rest, "/")
	if !ok || !isS3 || !hasPrefix || bucket == "" || prefix == "" || !strings.HasSuffix(prefix, "/") {
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
