package fas

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/cloisterdev/cloister/audit"
	"github.com/cloisterdev/cloister/tenant"
)

// catalogSession is a session on the catalog, kept here: catalog calls name it
// and are checked against it.
type catalogSession struct {
	caller        tenant.Caller
	customization tenant.CustomizationID // zero for operations on the whole catalog
	verbs         []Verb
	issued        time.Time
	expires       time.Time
	request       tenant.RequestID
	from          string // the workload that may name it
	evidence      [32]byte
}

// catalogSessions are the live sessions on the catalog. Those that end at about
// the same time are forgotten together: however many one tenant has, nobody's
// call looks at all of them.
type catalogSessions struct {
	mu   sync.Mutex
	gens []catalogGen // a handful
}

type catalogGen struct {
	end  time.Time
	kept map[tenant.SessionID]catalogSession
}

// catalogGeneration is how much longer than it lives a session may be kept.
const catalogGeneration = 5 * time.Second

func (c *catalogSessions) keep(s *Session, k catalogSession) {
	k.customization, k.verbs, k.expires = s.customization, s.verbs, s.expires
	end := k.expires.Truncate(catalogGeneration).Add(catalogGeneration)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.gens = slices.DeleteFunc(c.gens, func(g catalogGen) bool { return !k.issued.Before(g.end) })
	for _, g := range c.gens {
		if g.end.Equal(end) {
			g.kept[s.id] = k
			return
		}
	}
	c.gens = append(c.gens, catalogGen{end, map[tenant.SessionID]catalogSession{s.id: k}})
}

func (c *catalogSessions) get(id tenant.SessionID) (s catalogSession, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, g := range c.gens {
		if s, ok = g.kept[id]; ok {
			return s, true
		}
	}
	return s, false
}

// catalog finds the session of a catalog call and checks verb and target. A
// refusal is recorded.
func (f *Firewall) catalog(ctx context.Context, id tenant.SessionID, v Verb, target tenant.CustomizationID) (catalogSession, error) {
	s, reason, err := f.kept(id, v, target, peerOf(ctx).name)
	if err != nil {
		return s, f.deny(ctx, s.event(ctx, string(v), id, target), reason, err)
	}
	return s, nil
}

// event starts the record of what is done with the session.
func (s catalogSession) event(ctx context.Context, kind string, id tenant.SessionID, target tenant.CustomizationID) audit.Event {
	e := event(ctx, kind, Request{RequestID: s.request, Customization: target})
	e.Tenant, e.User, e.Session = s.caller.Tenant(), s.caller.User(), id
	return e
}

// enterCatalog takes a call on the catalog into the account of the session's
// tenant. A session that is not there is refused by the call itself.
func (f *Firewall) enterCatalog(ctx context.Context, id tenant.SessionID) (leave func(), err error) {
	s, ok := f.catalogs.get(id)
	if !ok {
		return func() {}, nil
	}
	if err := f.enter(ctx, s.event(ctx, "firewall.catalog", id, tenant.CustomizationID{})); err != nil {
		return nil, err
	}
	return func() { f.limits.leave(s.caller.Tenant()) }, nil
}

func (f *Firewall) kept(id tenant.SessionID, v Verb, target tenant.CustomizationID, from string) (s catalogSession, reason string, err error) {
	s, ok := f.catalogs.get(id)
	switch {
	case !ok:
		return s, "no-session", ErrClosed
	case !time.Now().Before(s.expires):
		return s, "session-expired", ErrExpired
	case s.from != from:
		return s, "session-of-another-workload", ErrRole
	case f.denied.revoked(id, s.evidence, s.caller.Tenant(), s.issued):
		return s, "revoked", ErrRevoked
	case !slices.Contains(s.verbs, v):
		return s, "not-a-verb-of-the-session", ErrVerb
	case s.customization != target:
		return s, "wrong-target", ErrDenied
	}
	return s, "", nil
}
