package kmsserver

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cloisterdev/cloister/fas"
	"github.com/cloisterdev/cloister/fas/sigv4"
)

// ErrReplayed reports a signature that was used before, or that may have been,
// by a server that forgot.
var ErrReplayed = errors.New("kmsserver: the signature was used before")

// ReplayEntries is how many signatures a handler without [Options.Replay]
// remembers, at about 40 bytes each; when there are more within their life, it
// refuses all until some have ended. That is some 9,000 requests a second.
const ReplayEntries = 4 << 20

// signatureLife is for how long after it was made a signature is good.
const signatureLife = 5 * time.Minute

// used are the signatures that were used.
type used struct {
	store fas.ReplayStore
	began time.Time // zero for a store that remembers what was before
}

func newUsed(store fas.ReplayStore, now time.Time) (*used, error) {
	if store == nil {
		var err error
		if store, err = fas.MemoryReplay(ReplayEntries); err != nil {
			return nil, err
		}
	}
	u := &used{store: store}
	if !store.Durable() {
		u.began = now.Truncate(time.Second) // signed times have whole seconds
	}
	return u, nil
}

// equal is for how long after the first use of a signature the same one can come
// from an honest client: signed times have whole seconds, and some clients, boto3
// among them, sign nothing that tells two equal calls of one second apart.
const equal = 5 * time.Second

// errAgain is [ErrReplayed] for what may be an honest client's: told so, the SDKs
// sign again.
var errAgain = fmt.Errorf("%w, just now", ErrReplayed)

// claim takes verified evidence: once, or for as long as equal requests may come
// from one client. It is the signature that counts: whatever it does not cover
// can be changed by whoever repeats it. A refusal is to be told after the wait:
// told within the same second, a client would sign the same again.
func (u *used) claim(ctx context.Context, e sigv4.Evidence, now time.Time, once bool) (wait time.Duration, err error) {
	if e.Time().Before(u.began) {
		return 0, ErrReplayed
	}
	first, fresh, err := u.store.Claim(ctx, e.Signature(), now, e.Time().Add(signatureLife+time.Second))
	switch recent := now.Sub(first) < equal; {
	case err != nil:
		return 0, fmt.Errorf("kmsserver: signatures cannot be remembered: %w", err)
	case fresh, recent && !once:
		return 0, nil
	case recent:
		return first.Add(time.Second).Sub(now), errAgain
	}
	return 0, ErrReplayed
}
