package fas

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"time"

	"github.com/cloisterdev/cloister/tenant"
)

// ReplayStore remembers what was used. It is what makes a signature good once,
// so it is asked before anything leaves, and an error of it is a refusal.
type ReplayStore interface {
	// Claim keeps key until the given time, or longer, unless it is kept
	// already. It returns when the key was first claimed, which is now for the
	// one call of all for which fresh is true: of two calls at the same moment,
	// in whatever process, one is fresh. A store without room returns an error.
	// It is called concurrently.
	Claim(ctx context.Context, key [32]byte, now, until time.Time) (first time.Time, fresh bool, err error)
	// Durable reports whether the store outlives the firewall's process. With
	// one that does not, evidence from before the firewall's start is refused
	// where it is good once.
	Durable() bool
}

// onceKey names a use of evidence in the replay store. The doors are apart: what
// was good for one does not open another twice.
func onceKey(door string, scheme tenant.Method, once [32]byte, nth int) [32]byte {
	b := append([]byte(door+"\x00"+string(scheme)+"\x00"), once[:]...)
	return sha256.Sum256(binary.BigEndian.AppendUint32(b, uint32(nth)))
}
