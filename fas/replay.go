package fas

import (
	"crypto/sha256"
	"sync"
	"time"
)

// replayStore remembers signatures for as long as they verify. A full store
// denies: forgetting would let a signature pass twice.
type replayStore struct {
	mu    sync.Mutex
	max   int
	seen  map[[32]byte]time.Time // first sight
	swept time.Time
}

// replayHorizon is longer than any evidence verifies.
const replayHorizon = 31 * time.Minute

func newReplayStore(max int) *replayStore {
	return &replayStore{max: max, seen: map[[32]byte]time.Time{}, swept: time.Now()}
}

// claim reports whether the evidence may be used at this door now: at first
// sight, and again within the window after it.
func (s *replayStore) claim(door string, ev Evidence, now time.Time, window time.Duration) bool {
	sig := ev.Signature()
	key := sha256.Sum256(append([]byte(door+"\x00"), sig[:]...))
	s.mu.Lock()
	defer s.mu.Unlock()
	if first, ok := s.seen[key]; ok {
		return window > 0 && now.Sub(first) <= window
	}
	if len(s.seen) >= s.max || now.Sub(s.swept) > time.Minute {
		for k, t := range s.seen {
			if now.Sub(t) > replayHorizon {
				delete(s.seen, k)
			}
		}
		s.swept = now
		if len(s.seen) >= s.max {
			return false
		}
	}
	s.seen[key] = now
	return true
}
