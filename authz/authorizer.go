package authz

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"sort"
	"strings"
	"sync"
	"time"

	"github.com/cedar-policy/cedar-go"
	"github.com/cedar-policy/cedar-go/types"

	"github.com/cloisterdev/cloister/audit"
	"github.com/cloisterdev/cloister/tenant"
)

// Action is the name of an operation, as the schema declares it.
type Action string

// Resource is one customization, or, with a zero Customization, the catalog of
// the tenant.
type Resource struct {
	Tenant        tenant.ID
	Customization tenant.CustomizationID
}

// UserFacts is what the registry knows about a user.
type UserFacts struct {
	Admin, Disabled bool
	Groups          []string
}

// CustomizationFacts is what the registry knows about a customization.
type CustomizationFacts struct {
	Tenant tenant.ID
	State  string
	Users  []tenant.UserID // who may use it
}

// Directory is the trusted registry. Its facts never come from a request.
// Errors for what does not exist wrap [ErrUnknown].
type Directory interface {
	User(context.Context, tenant.ID, tenant.UserID) (UserFacts, error)
	Customization(context.Context, tenant.CustomizationID) (CustomizationFacts, error)
}

// Options tune an authorizer. The zero value is the default.
type Options struct {
	// PermitTTL is the life of a permit; zero means 60 s, at most 5 minutes.
	PermitTTL time.Duration
}

// Revision names a set of policies: the SHA-256 over schema and texts, in hex.
type Revision string

// Authorizer decides. It is safe for concurrent use.
type Authorizer struct {
	schema *Schema
	dir    Directory
	rec    audit.Recorder
	ttl    time.Duration
	base   *set

	mu      sync.RWMutex
	tenants map[tenant.ID]*set
}

// set is one immutable set of policies; the guard is in each.
type set struct {
	policies cedar.PolicyMap
	revision Revision
}

// New makes an authorizer with the service's own policies. It refuses nil
// parts, policies that do not pass, and a guard that does not hold.
func New(schema *Schema, base []Source, dir Directory, rec audit.Recorder, opts *Options) (*Authorizer, error) {
	if schema == nil || dir == nil || rec == nil || len(base) == 0 {
		return nil, fmt.Errorf("%w: schema, policies, directory and recorder are required", ErrRejected)
	}
	if err := ProveGuard(schema, TenantGuard); err != nil {
		return nil, err
	}
	a := &Authorizer{schema: schema, dir: dir, rec: rec, ttl: time.Minute, tenants: map[tenant.ID]*set{}}
	if opts != nil && opts.PermitTTL > 0 {
		a.ttl = min(opts.PermitTTL, 5*time.Minute)
	}
	s, err := a.build(base, nil, nil)
	if err != nil {
		return nil, err
	}
	a.base = s
	return a, nil
}

// build compiles base and own policies together with the guard. IDs carry the
// origin, so that no submitted policy can take the place of another.
func (a *Authorizer) build(base, own []Source, owns func(types.EntityUID) bool) (*set, error) {
	s := &set{policies: cedar.PolicyMap{}}
	h := sha256.New()
	add := func(origin string, src Source, owns func(types.EntityUID) bool) error {
		list, err := a.schema.compile(src, owns)
		if err != nil {
			return err
		}
		fmt.Fprintf(h, "%s\x00%d\x00%s\x00%d\x00%s", origin, len(src.Name), src.Name, len(src.Text), src.Text)
		for i, p := range list {
			id := types.PolicyID(fmt.Sprintf("%s/%s/%d", origin, src.Name, i))
			if _, dup := s.policies[id]; dup {
				return &RejectedError{src.Name, []Finding{{"document", "the name is used twice"}}}
			}
			s.policies[id] = p
		}
		return nil
	}
	if err := add("@guard", Source{"tenant", TenantGuard}, nil); err != nil {
		return nil, err
	}
	for _, src := range base {
		if err := add("@service", src, nil); err != nil {
			return nil, err
		}
	}
	var errs []error
	for _, src := range own {
		errs = append(errs, add("tenant", src, owns))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	s.revision = Revision(hex.EncodeToString(h.Sum(nil)))
	return s, nil
}

// SetTenantPolicies replaces a tenant's own policies, all or none: after an
// error the old set stays in force. A tenant's policies may name only the
// tenant's own entities. They are evaluated for that tenant's callers only.
func (a *Authorizer) SetTenantPolicies(ctx context.Context, t tenant.ID, own []Source) (Revision, error) {
	if t.IsZero() {
		return "", fmt.Errorf("%w: %w", ErrRejected, tenant.ErrZeroID)
	}
	s, err := a.build(nil, own, func(u types.EntityUID) bool { return a.owns(ctx, t, u) })
	if err != nil {
		return "", err
	}
	for id, p := range a.base.policies {
		s.policies[id] = p
	}
	s.revision = Revision(digest(string(a.base.revision), string(s.revision)))
	a.mu.Lock()
	defer a.mu.Unlock()
	a.tenants[t] = s
	return s.revision, nil
}

func digest(parts ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return hex.EncodeToString(sum[:])
}

func (a *Authorizer) owns(ctx context.Context, t tenant.ID, u types.EntityUID) bool {
	id := string(u.ID)
	switch strings.TrimPrefix(string(u.Type), namespace+"::") {
	case "Tenant", "Catalog":
		return id == t.String()
	case "User":
		uid, err := tenant.ParseUserID(id)
		if err != nil {
			return false
		}
		_, err = a.dir.User(ctx, t, uid)
		return err == nil
	case "Customization":
		cid, err := tenant.ParseCustomizationID(id)
		if err != nil {
			return false
		}
		f, err := a.dir.Customization(ctx, cid)
		return err == nil && f.Tenant == t
	case "Group":
		return true // groups are looked up within the caller's tenant only
	}
	return false
}

// Authorize decides whether the caller may act on the resource. Every refusal
// is [ErrDenied] with the same text, recorded with its reason.
func (a *Authorizer) Authorize(ctx context.Context, c tenant.Caller, action Action, r Resource) (Permit, error) {
	reason, s := a.decide(ctx, c, action, r)
	if reason == "" {
		return Permit{caller: c, action: action, resource: r, revision: s.revision, expires: time.Now().Add(a.ttl)}, nil
	}
	e := audit.Event{Kind: "authz.decide", Decision: audit.Deny, Reason: reason,
		Tenant: c.Tenant(), User: c.User(), Customization: r.Customization, Detail: map[string]string{"action": string(action)}}
	if s != nil {
		e.PolicyRevision = string(s.revision)
	}
	// A denial that cannot be recorded is still a denial.
	_ = a.rec.Append(context.WithoutCancel(ctx), e)
	return Permit{}, ErrDenied
}

// decide returns the reason for a refusal, or "".
func (a *Authorizer) decide(ctx context.Context, c tenant.Caller, action Action, r Resource) (string, *set) {
	a.mu.RLock()
	s := a.tenants[c.Tenant()]
	a.mu.RUnlock()
	if s == nil {
		s = a.base
	}
	if c.IsZero() || r.Tenant.IsZero() {
		return "no-caller", s
	}
	if ctx.Err() != nil {
		return "cancelled", s
	}
	user, err := a.dir.User(ctx, c.Tenant(), c.User())
	if err != nil {
		return "unknown-user", s
	}
	if user.Disabled {
		return "user-disabled", s
	}
	own := uidOf("Tenant", c.Tenant().String())
	var groups []types.EntityUID
	for _, g := range user.Groups {
		groups = append(groups, uidOf("Group", c.Tenant().String()+"/"+g))
	}
	who := types.Entity{UID: uidOf("User", c.User().String()), Parents: types.NewEntityUIDSet(groups...),
		Attributes: types.NewRecord(types.RecordMap{"tenant": own, "admin": types.Boolean(user.Admin)})}
	var what types.Entity
	if r.Customization.IsZero() {
		if r.Tenant != c.Tenant() {
			return "foreign-tenant", s
		}
		what = types.Entity{UID: uidOf("Catalog", r.Tenant.String()), Attributes: types.NewRecord(types.RecordMap{"tenant": own})}
	} else {
		f, err := a.dir.Customization(ctx, r.Customization)
		if errors.Is(err, ErrUnknown) {
			return "unknown-customization", s
		}
		if err != nil {
			return "directory-failed", s
		}
		if f.Tenant != c.Tenant() || r.Tenant != c.Tenant() {
			return "foreign-tenant", s
		}
		var users []types.Value
		for _, u := range f.Users {
			users = append(users, uidOf("User", u.String()))
		}
		what = types.Entity{UID: uidOf("Customization", r.Customization.String()), Attributes: types.NewRecord(types.RecordMap{
			"tenant": uidOf("Tenant", f.Tenant.String()), "state": uidOf("State", f.State), "users": types.NewSet(users...)})}
	}
	req := cedar.Request{Principal: who.UID, Action: uidOf("Action", string(action)), Resource: what.UID, Context: types.Record{}}
	if err := a.schema.validator.Request(req); err != nil {
		return "invalid-request", s
	}
	for _, e := range [...]types.Entity{who, what} {
		if err := a.schema.validator.Entity(e); err != nil {
			return "invalid-entity", s
		}
	}
	d, diag := cedar.Authorize(s.policies, scene{a.schema.actions, who, what}, req)
	return verdict(s, d, diag), s
}

// scene is all that a decision knows of: the actions, and two entities.
type scene struct {
	actions   types.EntityMap
	who, what types.Entity
}

// Get implements [types.EntityGetter].
func (s scene) Get(uid types.EntityUID) (types.Entity, bool) {
	switch uid {
	case s.who.UID:
		return s.who, true
	case s.what.UID:
		return s.what, true
	}
	e, ok := s.actions[uid]
	return e, ok
}

// verdict turns Cedar's answer into a reason code. An error in a forbid denies:
// Cedar itself would skip that policy.
func verdict(s *set, d cedar.Decision, diag cedar.Diagnostic) string {
	for _, e := range diag.Errors {
		if p := s.policies[e.PolicyID]; p == nil || p.Effect() == cedar.Forbid {
			return "forbid-failed"
		}
	}
	if d == cedar.Allow {
		return ""
	}
	if len(diag.Reasons) == 0 {
		return "not-permitted"
	}
	ids := make([]string, 0, len(diag.Reasons))
	for _, r := range diag.Reasons {
		ids = append(ids, string(r.PolicyID))
	}
	sort.Strings(ids)
	if strings.HasPrefix(ids[0], "@guard/") {
		return "guard"
	}
	return "forbidden"
}
