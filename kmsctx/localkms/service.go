package localkms

import (
	"context"
	"encoding/base64"
	"fmt"
	"time"

	"github.com/cloisterdev/cloister/fas/policy"
)

// Principal is who calls. Whoever makes one has authenticated it.
type Principal struct {
	// ARN is the caller's, such as "arn:aws:iam::000000000000:user/indexer".
	ARN string
	// Policy is what the account allows the caller, where a key's policy leaves
	// the decision to the account. Nil allows nothing; the account's root needs
	// none.
	Policy *policy.Document
	// RequestID names the call in records.
	RequestID string
	// Peer is where the call came from. Nil means from this process: it has
	// neither aws:SecureTransport nor aws:SourceIp then.
	Peer *Peer
}

// check refuses a caller whom nothing could be decided for.
func (p *Principal) check() error {
	if !validPrincipal(p.ARN) {
		return ErrNotAuthorized
	}
	return CheckPolicy(p.Policy)
}

// Event is one call, as it is recorded.
type Event struct {
	Time      time.Time
	Operation string // AWS's name, such as "Decrypt"
	Principal string
	RequestID string
	KeyID     string            // empty where the call names no key that exists
	Context   map[string]string // the encryption context; ReEncrypt: the source's; CreateGrant: the constraints' pairs
	ToKeyID   string            // ReEncrypt: the destination key
	ToContext map[string]string // ReEncrypt: the destination's encryption context
	GrantID   string            // the grant that permitted the call, or that it is about
	Grantee   string            // CreateGrant: who may use it
	DryRun    bool
	Code      string // the refusal's code; empty when the call succeeded
}

// Recorder keeps events. A call whose event it does not accept is refused.
type Recorder interface {
	// Record's ctx does not end with the call's: what was decided is recorded also
	// for a caller who is gone.
	Record(ctx context.Context, e Event) error
}

// Limits bound what principals can make. Zero values mean AWS KMS's defaults,
// except where this store would grow too slow before.
type Limits struct {
	Keys         int // zero means 10,000
	GrantsPerKey int // zero means 50,000
	Aliases      int // per key; zero means 50
	Tags         int // per key; zero means 50
	Rotations    int // on demand, per key; zero means 25
}

// Options describe the account. The zero value is a usable one.
type Options struct {
	Account string // twelve digits; empty means "000000000000"
	Region  string // empty means "us-east-1"
	Limits  Limits
	// Propagation is how long a new grant is not in force without its token, as
	// on AWS; zero means at once. Retiring and revoking always count at once.
	Propagation time.Duration
}

// Service is a store's face for principals: AWS KMS's operations, decided by
// key policies and grants, every call recorded. Its methods have the names,
// inputs, outputs and error codes of the KMS API. It is safe for concurrent use.
type Service struct {
	kms *KMS
	rec Recorder
	o   Options
}

// NewService refuses a nil store or recorder, and an account or region that is
// none.
func NewService(k *KMS, rec Recorder, opts *Options) (*Service, error) {
	if k == nil || rec == nil {
		return nil, invalid("a service needs a store and a recorder")
	}
	var o Options
	if opts != nil {
		o = *opts
	}
	def := func(p *int, v int) {
		if *p == 0 {
			*p = v
		}
	}
	def(&o.Limits.Keys, 10_000)
	def(&o.Limits.GrantsPerKey, 50_000)
	def(&o.Limits.Aliases, 50)
	def(&o.Limits.Tags, 50)
	def(&o.Limits.Rotations, 25)
	if o.Account == "" {
		o.Account = "000000000000"
	}
	if o.Region == "" {
		o.Region = "us-east-1"
	}
	l := o.Limits
	if !accountID.MatchString(o.Account) || !validName(o.Region) || o.Propagation < 0 || min(l.Keys, l.GrantsPerKey, l.Aliases, l.Tags, l.Rotations) < 0 {
		return nil, invalid("an account has twelve digits, a region a name, and no bound is negative")
	}
	return &Service{k, rec, o}, nil
}

func (s *Service) arn(resource string) string {
	return "arn:aws:kms:" + s.o.Region + ":" + s.o.Account + ":" + resource
}

// call is one call under way.
type call struct {
	s      *Service
	st     *state
	who    Principal
	now    time.Time
	event  Event
	tokens map[string]bool // IDs of the grants whose tokens were sent
	via    string          // alias that the key was named by
}

func (s *Service) begin(op string, who Principal, dry *bool) *call {
	now := time.Now()
	return &call{s: s, who: who, now: now, event: Event{Time: now, Operation: op, Principal: who.ARN, RequestID: who.RequestID, DryRun: dry != nil && *dry}}
}

// finish records the call, and drops what it made if that fails.
func finish[T any](ctx context.Context, c *call, out *T, err error) (*T, error) {
	if err == nil && c.event.DryRun {
		err = ErrDryRun
	}
	if err == nil {
		err = ctx.Err()
	}
	c.event.Code = Code(err)
	// Whoever goes away now does not keep what was decided from being recorded
	// as it was.
	if rerr := c.s.rec.Record(context.WithoutCancel(ctx), c.event); rerr != nil {
		return nil, fmt.Errorf("%w: %w", ErrAudit, rerr)
	}
	if err != nil {
		return nil, err
	}
	return out, nil
}

// read runs a call that changes nothing.
func read[T any](ctx context.Context, c *call, encrypt bool, f func() (*T, error)) (*T, error) {
	var out *T
	err := c.who.check()
	if err == nil {
		c.st, err = c.s.kms.state(encrypt)
	}
	if err == nil {
		out, err = f()
	}
	return finish(ctx, c, out, err)
}

// write runs a call that changes the store. It is recorded before the change
// is, and once more when the change then fails.
func write[T any](ctx context.Context, c *call, f func() (*T, error)) (out *T, err error) {
	recorded := false
	err = c.s.kms.change(func(st *state) (bool, error) {
		c.st = st
		err := c.who.check()
		if err == nil {
			out, err = f()
		}
		out, err = finish(ctx, c, out, err)
		recorded = true
		return err == nil, err
	})
	if err != nil && (!recorded || out != nil) {
		return finish[T](ctx, c, nil, err)
	}
	return out, err
}

// readTokens decodes grant tokens.
func (c *call) readTokens(tokens []string) error {
	if len(tokens) > 10 {
		return invalid("more than 10 grant tokens")
	}
	c.tokens = map[string]bool{}
	for _, t := range tokens {
		id, err := c.s.kms.openToken(t)
		if err != nil {
			return err
		}
		c.tokens[id] = true
	}
	return nil
}

func (k *KMS) newToken(id string) string {
	return base64.RawURLEncoding.EncodeToString(k.token.Seal(nil, nil, []byte(id), nil))
}

func (k *KMS) openToken(t string) (string, error) {
	b, err := base64.RawURLEncoding.Strict().DecodeString(t)
	if err != nil || len(t) > 512 {
		return "", ErrGrantToken
	}
	id, err := k.token.Open(nil, nil, b, nil)
	if err != nil {
		return "", ErrGrantToken
	}
	return string(id), nil
}

// access is one question to policies and grants.
type access struct {
	op      string // as policies name it
	grantOp string // as grants name it; empty: no grant permits it
	pairs   map[string]string
	more    map[string]string // condition keys besides the common ones
	multi   map[string][]string
	child   *grant // CreateGrant: what is to be made
}

// judge is what the policies say of a call about a key, the key's and the
// caller's own. A denial of either is the end.
func (c *call) judge(id string, k *key, a access) (v verdict, own policy.Decision, err error) {
	r, err := c.request(id, k, a)
	if err != nil {
		return v, own, err
	}
	v, own = k.policy.decide(c.who.ARN, c.s.o.Account, r), c.who.Policy.Evaluate(r)
	if v.denied || own == policy.Deny || r.Err() != nil {
		return v, own, ErrNotAuthorized
	}
	return v, own, nil
}

// allow decides a call about a key. A denial wins; then the key's policy, alone
// or with the account's; then grants.
func (c *call) allow(id string, k *key, a access) error {
	v, own, err := c.judge(id, k, a)
	switch {
	case err != nil:
		return err
	case v.allowed, v.delegated && (own == policy.Allow || c.who.ARN == rootARN(c.s.o.Account)):
		return nil
	case a.grantOp == "":
		return ErrNotAuthorized
	}
	for _, g := range c.st.granted[c.who.ARN] {
		if g.KeyID == id && c.inForce(g) && g.permits(a.grantOp, a.pairs) &&
			(a.child == nil || a.child.narrower(g)) {
			c.event.GrantID = g.ID
			return nil
		}
	}
	return ErrNotAuthorized
}

func (c *call) inForce(g *grant) bool {
	return c.tokens[g.ID] || c.now.UnixMilli() >= g.Created+c.s.o.Propagation.Milliseconds()
}

// allowAccount decides a call that is about no key: the account's policy alone.
func (c *call) allowAccount(op string, more map[string]string, multi map[string][]string) error {
	if !c.accountAllows(policy.Request{Action: "kms:" + op, Resource: "*", Context: c.common(more), Multi: multi}) {
		return ErrNotAuthorized
	}
	return nil
}

func (c *call) accountAllows(r policy.Request) bool {
	return c.ofAccount(c.who.Policy.Evaluate(asked(r, c.who.Policy.Keys())))
}

// ofAccount reports whether the account allows, given what the caller's own
// policy says: to its root it need say nothing.
func (c *call) ofAccount(own policy.Decision) bool {
	return accountOf(c.who.ARN) == c.s.o.Account && own != policy.Deny && (own == policy.Allow || c.who.ARN == rootARN(c.s.o.Account))
}

// Region returns the region that the service is in.
func (s *Service) Region() string { return s.o.Region }

// Root returns the ARN of the account's root.
func (s *Service) Root() string { return rootARN(s.o.Account) }
