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
	Identities Identities
	Authorizer *authz.Authorizer
	Profiles   []*profile.Verified
	Issuer     Issuer
	Registry   Registry
	Keys       Keys
	Audit      audit.Recorder
	Operations []Operation
	// TicketKey seals tickets: 32 bytes that outlive the process.
	TicketKey tenant.Secret
	// Region and Service are what callers sign for.
	Region, Service string
	// OwnTTL is the life of an own session; zero means 30 s, at most 60 s.
	OwnTTL time.Duration
	// ReadReplay is how long the same signed read is answered again; zero
	// means 5 s, negative means never.
	ReadReplay time.Duration
}

// Firewall is the identity firewall.
type Firewall struct {
	c        Config
	ops      map[string]Operation
	profiles map[string]*approved
	tickets  cipher.AEAD
	replay   *replayStore
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
	case c.Identities == nil, c.Authorizer == nil, len(c.Profiles) == 0, c.Issuer == nil, c.Registry == nil,
		c.Keys == nil, c.Audit == nil, len(c.Operations) == 0, c.Region == "", c.Service == "":
		return nil, ErrConfig
	}
	if c.OwnTTL <= 0 {
		c.OwnTTL = 30 * time.Second
	}
	c.OwnTTL = min(c.OwnTTL, time.Minute)
	if c.ReadReplay == 0 {
		c.ReadReplay = 5 * time.Second
	}
	f := &Firewall{c: c, ops: map[string]Operation{}, profiles: map[string]*approved{}, replay: newReplayStore(1 << 20),
		started: time.Now().Truncate(time.Second), catalogs: map[tenant.SessionID]catalogSession{}}
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
	err := c.TicketKey.Use(func(key []byte) error {
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

// event starts the audit record of a decision.
func event(kind string, ev Evidence, req Request, c tenant.Caller) audit.Event {
	e := audit.Event{Time: time.Now(), Kind: kind, Request: req.RequestID, Customization: req.Customization, Tenant: c.Tenant(), User: c.User()}
	if !ev.IsZero() {
		e.Evidence = ev.Digest()
	}
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
	caller tenant.Caller
	permit authz.Permit
	watch  stopwatch
}

// verify takes evidence through signature, time, replay and authorization. The
// door keeps a signature that was good once for one door from opening it
// twice.
func (f *Firewall) verify(ctx context.Context, door string, ev Evidence, req Request) (v verified, e audit.Event, err error) {
	watch := startWatch()
	e = event("firewall."+door, ev, req, tenant.Caller{})
	if ev.IsZero() || req.RequestID.IsZero() || req.TTL < 0 {
		return v, e, f.deny(ctx, e, "no-evidence", ErrDenied)
	}
	op, ok := f.ops[ev.Path()]
	if !ok || ev.Method() != "POST" {
		return v, e, f.deny(ctx, e, "unknown-operation", ErrOperation)
	}
	now := time.Now()
	var id Identity
	var known bool
	err = sigv4.Verify(ev, func(key string) (tenant.Secret, bool) {
		id, known = f.c.Identities.Lookup(key)
		return id.Secret, known
	}, now, sigv4.Options{Region: f.c.Region, Service: f.c.Service})
	if err != nil {
		return v, e, f.deny(ctx, e, reasonOf(err), ErrDenied)
	}
	caller, err := tenant.VerifiedCaller(id.Tenant, id.User, tenant.MethodSigV4, ev.Time())
	if err != nil {
		return v, e, f.deny(ctx, e, "no-caller", ErrDenied)
	}
	e.Tenant, e.User = caller.Tenant(), caller.User()
	once := op.Mutating || door == "exchange"
	if once && ev.Time().Before(f.started) {
		// What was claimed before this process started is not known any more.
		return v, e, f.deny(ctx, e, "before-start", ErrDenied)
	}
	window := f.c.ReadReplay
	if once {
		window = -1
	}
	if !f.replay.claim(door, ev, now, window) {
		return v, e, f.deny(ctx, e, "replayed", ErrReplayed)
	}
	watch.lap("verify")
	if op.OnCustomization == req.Customization.IsZero() {
		return v, e, f.deny(ctx, e, "wrong-target", ErrDenied)
	}
	permit, err := f.c.Authorizer.Authorize(ctx, caller, op.Action, authz.Resource{Tenant: caller.Tenant(), Customization: req.Customization})
	if err != nil {
		return v, e, f.deny(ctx, e, "not-authorized", ErrDenied)
	}
	e.PolicyRevision = string(permit.Revision())
	watch.lap("authorize")
	return verified{op, caller, permit, watch}, e, nil
}

func reasonOf(err error) string {
	switch {
	case errors.Is(err, sigv4.ErrSkew):
		return "wrong-time"
	case errors.Is(err, sigv4.ErrScope):
		return "wrong-scope"
	}
	return "bad-signature"
}

// AssumeOwn implements [Gate]: a session on the service's own resource.
func (f *Firewall) AssumeOwn(ctx context.Context, ev Evidence, req Request) (*Session, error) {
	v, e, err := f.verify(ctx, "assume-own", ev, req)
	if err != nil {
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
	// The target of the signed call may be the catalog while the row that it
	// made is what the session is for; the row is checked below.
	row := req.Customization
	op, ok := f.ops[ev.Path()]
	if ok && !op.OnCustomization {
		req.Customization = tenant.CustomizationID{}
	}
	v, e, err := f.verify(ctx, "exchange", ev, req)
	if err != nil {
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
	bucket, prefix, reason := f.scope(p, ev, req.Scope)
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
	creds, err := f.c.Issuer.Issue(ctx, Grant{s.id, v.caller, bucket, prefix, prof.Allow, req.Scope, s.expires, row, ev.Digest()})
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
func (f *Firewall) scope(p *approved, ev Evidence, raw []byte) (bucket, prefix, reason string) {
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
	uri, ok := pointer(ev.Body(), p.Profile().Bind)
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
