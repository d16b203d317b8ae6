package fas

import (
	"context"
	"crypto/cipher"
	"errors"
	"strings"
	"time"

	"github.com/cloisterdev/cloister/audit"
	"github.com/cloisterdev/cloister/authz"
	"github.com/cloisterdev/cloister/fas/profile"
	"github.com/cloisterdev/cloister/tenant"
)

// Firewall is the identity firewall.
type Firewall struct {
	c         Config
	ops       map[string]Operation
	templates []Operation // those with segments in braces
	profiles  map[string]*approved
	parsed    parsed
	tickets   cipher.AEAD
	replay    ReplayStore
	verifiers map[tenant.Method]Verifier
	limits    *limiter
	strangers *limiter // whoever could not be verified
	shares    shares
	spent     spent
	answers   answers
	catalogs  catalogSessions
	denied    denylist
	started   time.Time
	ahead     ahead

	creating keyed[tenant.ID] // one Create of a tenant at a time
}

// verified is what a signed call amounts to.
type verified struct {
	op     Operation
	vars   map[string]string // what stands for the path's segments in braces
	claim  Claim
	once   bool // the evidence is good once at this door
	scheme tenant.Method
	now    time.Time
	caller tenant.Caller
	watch  stopwatch
}

// identify finds out who signed what, and when. Nothing is used up. A call that
// it accepts is in its tenant's account until leave.
func (f *Firewall) identify(ctx context.Context, door string, ev Evidence, req Request) (v verified, e audit.Event, err error) {
	v.watch, v.now, v.scheme = startWatch(), time.Now(), ev.scheme
	e = event(ctx, "firewall."+door, req)
	verifier, ok := f.verifiers[ev.scheme]
	if !ok || req.RequestID.IsZero() || req.TTL < 0 {
		return v, e, f.denyStranger(ctx, e, "no-evidence", ErrDenied)
	}
	id, claim, err := verifier.Verify(ctx, ev.raw, v.now)
	e.Evidence = claim.Digest
	if err != nil {
		return v, e, f.denyStranger(ctx, e, reasonOf(err), ErrDenied)
	}
	if claim.check() != nil {
		return v, e, f.deny(ctx, e, "no-claim", ErrDenied)
	}
	v.claim = claim
	if v.caller, err = tenant.VerifiedCaller(id.Tenant, id.User, ev.scheme, claim.Time); err != nil {
		return v, e, f.deny(ctx, e, "no-caller", ErrDenied)
	}
	e.Tenant, e.User = v.caller.Tenant(), v.caller.User()
	if err := f.enter(ctx, e); err != nil {
		return v, e, err
	}
	if err := f.admit(ctx, door, &v, e); err != nil {
		f.limits.leave(e.Tenant)
		return v, e, err
	}
	return v, e, nil
}

// admit checks a verified call against the table, the clock and the deny list.
func (f *Firewall) admit(ctx context.Context, door string, v *verified, e audit.Event) error {
	if v.claim.Level < LevelCanonical {
		return f.deny(ctx, e, "level", ErrLevel)
	}
	if !f.operation(v) {
		return f.deny(ctx, e, "unknown-operation", ErrOperation)
	}
	if !callable(v.op.Callers, peerOf(ctx)) {
		return f.deny(ctx, e, "not-a-caller-of-the-operation", ErrRole)
	}
	v.once = v.op.Mutating || door == "exchange"
	if f.forgotten(v) {
		return f.deny(ctx, e, "before-start", ErrDenied)
	}
	if err := f.refuseRevoked(ctx, e, tenant.SessionID{}, v.claim.made()); err != nil {
		return err
	}
	v.watch.lap("verify")
	return nil
}

// operation finds the line of the table for a signed request line.
func (f *Firewall) operation(v *verified) (ok bool) {
	if v.claim.Method != "POST" {
		return false
	}
	if v.op, ok = f.ops[v.claim.Path]; ok {
		return true
	}
	for _, o := range f.templates {
		if v.vars, ok = profile.MatchOperation(o.Path, v.claim.Path); ok {
			v.op = o
			return true
		}
	}
	return false
}

// claim uses the evidence up at this door, one of as many times as it is good
// for.
func (f *Firewall) claim(ctx context.Context, door string, v *verified, e audit.Event, times int) error {
	if err := f.extend(ctx, v); err != nil {
		return f.deny(ctx, e, "dated-ahead", ErrReplayed)
	}
	if !f.shares.take(e.Tenant, v.claim.end(), v.now) {
		f.counted(ctx, f.limits, e, "over-the-share")
		return ErrLimited
	}
	reason := "replayed"
	key := onceKey(door, v.scheme, v.claim.Once, 0)
	for nth := f.spent.of(key); nth < times; nth++ {
		first, fresh, err := f.replay.Claim(ctx, onceKey(door, v.scheme, v.claim.Once, nth), v.now, v.claim.end())
		if err != nil {
			reason = "replay-store"
			break
		}
		f.spent.upTo(key, nth+1, times)
		if fresh {
			v.watch.lap("replay")
			return nil
		}
		if !v.once && v.now.Sub(first) <= f.c.ReadReplay {
			f.shares.back(e.Tenant, v.claim.end())
			v.watch.lap("replay")
			return nil
		}
	}
	f.shares.back(e.Tenant, v.claim.end())
	return f.deny(ctx, e, reason, ErrReplayed)
}

// authorize asks the policies.
func (f *Firewall) authorize(ctx context.Context, v *verified, e *audit.Event, target tenant.CustomizationID) error {
	if v.op.OnCustomization == target.IsZero() {
		return f.deny(ctx, *e, "wrong-target", ErrDenied)
	}
	permit, err := f.c.Authorizer.Authorize(ctx, v.caller, v.op.Action, authz.Resource{Tenant: v.caller.Tenant(), Customization: target})
	if err != nil {
		return f.deny(ctx, *e, "not-authorized", ErrDenied)
	}
	e.PolicyRevision = string(permit.Revision())
	v.watch.lap("authorize")
	return nil
}

// repeated gives a lost answer again. Keys are not kept: whoever disabled one
// since is heard.
func (f *Firewall) repeated(ctx context.Context, key [32]byte, v *verified, e audit.Event) (*Session, error) {
	if !v.once {
		return nil, nil
	}
	s := f.answers.again(e.Tenant, key, v.now)
	if s == nil {
		return nil, nil
	}
	e.Session, e.Collection, e.Snapshot = s.id, s.collection, s.snapshot
	err := f.refuseRevoked(ctx, e, s.id, v.claim.made())
	if err == nil && !s.snapshot.IsZero() {
		was := s.snapshot
		if kerr := f.openActive(ctx, s, &v.watch); kerr != nil {
			err = f.deny(ctx, e, keyReason(kerr), ErrDenied)
		} else if s.snapshot != was {
			err = f.deny(ctx, e, "replayed", ErrReplayed) // another version is active
		}
	}
	if err == nil {
		detail(&e, "repeated", "true")
		err = f.allow(ctx, e, true)
	}
	if err != nil {
		_ = s.Close()
		return nil, err
	}
	return s, nil
}

// AssumeOwn implements [Gate]: a session on the service's own resource.
func (f *Firewall) AssumeOwn(ctx context.Context, ev Evidence, req Request) (*Session, error) {
	v, e, err := f.identify(ctx, "assume-own", ev, req)
	if err != nil {
		return nil, err
	}
	defer f.limits.leave(v.caller.Tenant())
	if err := f.authorize(ctx, &v, &e, req.Customization); err != nil {
		return nil, err
	}
	retry := v.retry(ctx, "assume-own", req)
	if s, err := f.repeated(ctx, retry, &v, e); s != nil || err != nil {
		return s, err
	}
	if err := f.claim(ctx, "assume-own", &v, e, 1); err != nil {
		return nil, err
	}
	s := &Session{id: tenant.NewSessionID(), tenant: v.caller.Tenant(), user: v.caller.User(), customization: req.Customization,
		verbs: v.op.Verbs, expires: time.Now().Add(req.lifetime(f.c.OwnTTL)), keys: map[Verb]tenant.Secret{}}
	e.Session = s.id
	if isCatalog(v.op) {
		f.catalogs.keep(s, catalogSession{caller: v.caller, from: peerOf(ctx).name, evidence: v.claim.Digest, request: req.RequestID, issued: v.now})
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
	if v.once {
		f.answers.keep(retry, s, v.now)
	}
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
