package httpsig

import (
	"crypto/ed25519"
	"fmt"
	"slices"
	"time"

	"github.com/cloisterdev/cloister/internal/weakkey"
)

// Options bounds what [Verify] accepts.
type Options struct {
	// Authorities are the hosts that callers must have signed for, in the form
	// of [Evidence.Authority]. Required: a signature that another service
	// received must not be good here.
	Authorities []string
	// MaxPast is how old a signature may be: zero means 5 minutes, and it is
	// at most 15. What the caller signed can only shorten it.
	MaxPast time.Duration
	// MaxFuture is how far a caller's clock may be ahead: zero means 30
	// seconds, and it is at most 15 minutes.
	MaxFuture time.Duration
}

const maxWindow = 15 * time.Minute

// Window returns how old and how far ahead a signature may be.
func (o Options) Window() (past, future time.Duration) {
	past, future = o.MaxPast, o.MaxFuture
	if past <= 0 {
		past = 5 * time.Minute
	}
	if future <= 0 {
		future = 30 * time.Second
	}
	return min(past, maxWindow), min(future, maxWindow)
}

// Verify decides whether the evidence was signed with the private key of its
// key id, for one of these hosts, at about now. An unknown key and a wrong
// signature are one error, [ErrSignature], after the same computation; so is a
// key of small order, for which anybody can sign.
func Verify(e Evidence, key func(keyID string) (ed25519.PublicKey, bool), now time.Time, o Options) error {
	if e.IsZero() || key == nil || len(o.Authorities) == 0 {
		return ErrNoSignature
	}
	public, known := key(e.params.keyID)
	if !known || weakkey.Ed25519(public) {
		// The same work is done for a key that nobody has, so that the time
		// does not tell which keys exist.
		public, known = nobody, false
	}
	if !ed25519.Verify(public, []byte(e.base), e.signature[:]) || !known {
		return ErrSignature
	}
	if !slices.Contains(o.Authorities, e.authority) {
		return ErrAuthority
	}
	past, future := o.Window()
	if age := now.Sub(e.Time()); age > past || age < -future {
		return fmt.Errorf("%w: %s off", ErrSkew, age.Round(time.Second))
	}
	if end, ok := e.Expires(); ok && !now.Before(end) {
		return fmt.Errorf("%w: expired", ErrSkew)
	}
	return nil
}

// nobody is the public key of a seed that is public too; it verifies nothing
// that Verify accepts.
var nobody = ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize)).Public().(ed25519.PublicKey)
