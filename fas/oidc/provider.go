package oidc

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
)

const (
	fetchTimeout = 5 * time.Second
	fetchLimit   = 1 << 20
	// Keys are fetched again when they are keysDue old, and used until they are
	// keysAge old: what a provider withdrew verifies no longer than that, and
	// between the two its outage is nobody's refusal.
	keysDue = 5 * time.Minute
	keysAge = 10 * time.Minute
	// failedFor is how long a fetch that failed is not tried again.
	failedFor = 10 * time.Second
	// For keys that are not known a provider is asked this often at once, and
	// then once in fetchEvery.
	fetchBurst = 2
	fetchEvery = 20 * time.Second
	// So many calls wait for providers at a time, and for one of them. Nobody has
	// verified these calls: they must leave most of the sockets of a front end,
	// of which there are 8, to others.
	maxWaiting     = 4
	maxWaitingEach = 2
)

// provider is an issuer whose keys are fetched and kept.
type provider struct {
	issuer   string
	client   *http.Client
	all, own chan struct{} // places to wait: of the verifier, of this provider

	mu     sync.Mutex
	set    *keySet   // of the last fetch that succeeded
	failed time.Time // when the last one failed
	flight *flight   // the one under way
	budget budget    // of fetches for keys that are not known
}

// flight is a fetch under way. Set and err are written before done is closed.
type flight struct {
	done chan struct{}
	set  *keySet
	err  error
}

func newProvider(issuer string, private bool, all chan struct{}) *provider {
	return &provider{issuer: issuer, client: newClient(private), all: all, own: make(chan struct{}, maxWaitingEach)}
}

// verify returns what a token says that one of the provider's keys signed.
func (p *provider) verify(ctx context.Context, jws *jose.JSONWebSignature) ([]byte, error) {
	set := p.current()
	payload, err := set.verify(jws)
	if !errors.Is(err, errUnknownKey) {
		return payload, err
	}
	if set, err = p.newer(ctx, set); err != nil {
		return nil, err
	}
	return set.verify(jws)
}

// current returns the keys that may be used, and begins to fetch those that are
// due. Nobody waits for these.
func (p *provider) current() *keySet {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.set.older(keysDue) {
		p.fetch()
	}
	return p.usable()
}

func (p *provider) usable() *keySet {
	if p.set.older(keysAge) {
		return nil
	}
	return p.set
}

// newer waits for other keys than these.
func (p *provider) newer(ctx context.Context, than *keySet) (*keySet, error) {
	set, f, err := p.join(than)
	if f == nil {
		return set, err
	}
	// Whoever finds no place leaves a fetch under way: the next call may find
	// its keys.
	for _, places := range []chan struct{}{p.own, p.all} {
		select {
		case places <- struct{}{}:
			defer func() { <-places }()
		default:
			return nil, fmt.Errorf("%w: too many calls wait for them", ErrKeys)
		}
	}
	select {
	case <-f.done:
		return f.set, f.err
	case <-ctx.Done():
		return nil, fmt.Errorf("%w: %w", ErrKeys, ctx.Err())
	}
}

// join returns other keys than these, where they were fetched meanwhile, or the
// flight that may bring them.
func (p *provider) join(than *keySet) (*keySet, *flight, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if set := p.usable(); set != nil && set != than {
		return set, nil, nil
	}
	// For keys that are due there is a flight, or one failed: only new keys, and
	// strangers, need another. What they use up nobody else needs.
	if p.flight == nil && !p.resting() && !p.budget.take(time.Now()) {
		return nil, nil, errUnknownKey
	}
	if f := p.fetch(); f != nil {
		return nil, f, nil
	}
	return nil, nil, fmt.Errorf("%w: the provider failed a moment ago", ErrKeys)
}

func (p *provider) resting() bool { return time.Since(p.failed) < failedFor }

// fetch returns the flight under way, or begins one unless the last failed just
// now. A flight outlives the call that began it: others wait for it, and a
// caller who leaves must not make it fail.
func (p *provider) fetch() *flight {
	if p.flight == nil && !p.resting() {
		p.flight = &flight{done: make(chan struct{})}
		go p.fly(p.flight)
	}
	return p.flight
}

func (p *provider) fly(f *flight) {
	ctx, cancel := context.WithTimeout(context.Background(), fetchTimeout)
	defer cancel()
	set, err := fetchKeys(ctx, p.client, p.issuer)
	p.mu.Lock()
	defer p.mu.Unlock()
	if err != nil {
		f.err, p.failed = fmt.Errorf("%w: %w", ErrKeys, err), time.Now()
	} else {
		f.set, p.set = set, set
	}
	p.flight = nil
	close(f.done)
}

// budget is how often a provider is asked because a token names a key that is
// not known: strangers' tokens name any.
type budget struct {
	left float64
	at   time.Time
}

func (b *budget) take(now time.Time) bool {
	b.left = min(fetchBurst, b.left+float64(now.Sub(b.at))/float64(fetchEvery))
	b.at = now
	if b.left < 1 {
		return false
	}
	b.left--
	return true
}
