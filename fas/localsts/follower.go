package localsts

import (
	"fmt"
	"sync"
	"time"

	"github.com/cloisterdev/cloister/tenant"
)

const (
	// askEvery is how long a follower is content with what it has.
	askEvery = 10 * time.Second
	// askAgain is how long it waits before it asks again, whatever tokens come.
	askAgain = time.Second
)

// Follower is a [Verifier] that asks for new [Material]: every ten seconds while
// it is used, and when a token names a key that it does not know, at most once
// a second. It is safe for concurrent use.
//
// What it has counts for 16 minutes after it was last confirmed. No session
// made before is valid by then, and a key that was taken back in the meantime
// must not be accepted for ever.
type Follower struct {
	v      *Verifier
	source func() (Material, error)

	mu        sync.Mutex // one question at a time
	asked     time.Time
	confirmed time.Time
}

// Follow returns a follower of a source, such as a file that the firewall
// writes. The source is called in Lookup, one call at a time, and should answer
// soon. An error of the first call is returned, and [ErrConfig] without a
// source.
func Follow(source func() (Material, error)) (*Follower, error) {
	if source == nil {
		return nil, fmt.Errorf("%w: no source", ErrConfig)
	}
	m, err := source()
	if err != nil {
		return nil, err
	}
	v, err := NewVerifier(m)
	if err != nil {
		return nil, err
	}
	now := time.Now()
	return &Follower{v: v, source: source, asked: now, confirmed: now}, nil
}

// Lookup is [Verifier.Lookup]. What the source refuses to say, and what
// [Verifier.Update] refuses, is as if it had not been asked.
func (f *Follower) Lookup(accessKeyID, token string, now time.Time) (*Claims, tenant.Secret, error) {
	if !f.fresh(askEvery) {
		return nil, tenant.Secret{}, fmt.Errorf("%w: nothing was heard of its keys for %s", ErrToken, maxLife)
	}
	c, s, err := f.v.Lookup(accessKeyID, token, now)
	if err == ErrUnknownKey && f.fresh(askAgain) {
		return f.v.Lookup(accessKeyID, token, now)
	}
	return c, s, err
}

// fresh asks the source where it was not asked for so long, and reports
// whether what there is still counts.
func (f *Follower) fresh(after time.Duration) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if now := time.Now(); now.Sub(f.asked) >= after {
		f.asked = now
		if m, err := f.source(); err == nil && f.v.Update(m) == nil {
			f.confirmed = now
		}
	}
	return time.Since(f.confirmed) < maxLife
}
