package fas

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"fmt"
	"strings"
	"time"

	"github.com/cloisterdev/cloister/audit"
	"github.com/cloisterdev/cloister/authz"
	"github.com/cloisterdev/cloister/fas/profile"
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
	// Profiles are the approved profiles, or ProfileStore finds them at each
	// exchange: one of the two.
	Profiles     []*profile.Verified
	ProfileStore ProfileStore
	Issuer       Issuer
	// Audience is the service that accepts what Issuer makes; empty means
	// [profile.DefaultAudience]. A profile for another one is refused.
	Audience   string
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
	// eight million signatures, of about 31 bytes each.
	Replay ReplayStore
	// Horizons are for a Replay that does not outlive the process. Without them
	// such a firewall refuses evidence that is dated after now, reads by more than
	// ReadReplay, and what is good once in the second in which the firewall started.
	Horizons Horizons
	Limits   Limits
	// Revocations keeps what was revoked; nil means in this process only.
	Revocations Revocations
}

// NewFirewall refuses a nil or missing part with [ErrConfig].
func NewFirewall(c Config) (*Firewall, error) {
	switch {
	case c.Authorizer == nil, (len(c.Profiles) == 0) == (c.ProfileStore == nil), c.Issuer == nil, c.Registry == nil,
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
	if c.Audience == "" {
		c.Audience = profile.DefaultAudience
	}
	c.OwnTTL = min(c.OwnTTL, time.Minute)
	if c.ReadReplay == 0 {
		c.ReadReplay = 5 * time.Second
	}
	f := &Firewall{c: c, ops: map[string]Operation{}, profiles: map[string]*approved{}, replay: c.Replay, verifiers: verifiers, limits: newLimiter(c.Limits), strangers: newLimiter(Limits{Rate: 200, Burst: 2000, Concurrent: 1 << 20}),
		started: time.Now().Truncate(time.Second)}
	f.shares = shares{most: f.limits.l.Remembered, of: map[tenant.ID]*share{}}
	f.spent.uses = map[[32]byte]int{}
	if f.replay == nil {
		f.replay = &memory{max: 1 << 23}
	}
	if !f.replay.Durable() {
		if err := f.openHorizons(); err != nil {
			return nil, err
		}
	}
	if c.Revocations != nil {
		rs, err := c.Revocations.Revoked(context.Background())
		if err != nil {
			return nil, fmt.Errorf("%w: revocations: %w", ErrConfig, err)
		}
		for _, r := range rs {
			f.denied.add(r)
		}
	}
	paths := map[string]bool{}
	for _, o := range c.Operations {
		if o.Path == "" || o.Action == "" || len(o.Verbs) == 0 {
			return nil, fmt.Errorf("%w: an operation is incomplete", ErrConfig)
		}
		if paths[o.Path] {
			return nil, fmt.Errorf("%w: operation %s is there twice", ErrConfig, o.Path)
		}
		paths[o.Path] = true
		if strings.Contains(o.Path, "{") {
			f.templates = append(f.templates, o)
		} else {
			f.ops[o.Path] = o
		}
	}
	for _, v := range c.Profiles {
		p, err := c.approve(v)
		if err != nil {
			return nil, err
		}
		if _, twice := f.profiles[v.Profile().ID]; twice {
			return nil, fmt.Errorf("%w: profile %s is there twice", ErrConfig, v.Profile().ID)
		}
		f.profiles[v.Profile().ID] = p
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
		v, err := newSigV4Verifier(c)
		if err != nil {
			return nil, err
		}
		all[tenant.MethodSigV4] = v
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("%w: nobody verifies", ErrConfig)
	}
	return all, nil
}
