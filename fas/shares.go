package fas

import (
	"maps"
	"sync"
	"time"

	"github.com/cloisterdev/cloister/tenant"
)

// shares bounds how many signatures of each tenant the replay store remembers at
// a time: it is one store, and when it is full it is full for all.
type shares struct {
	most int

	mu    sync.Mutex
	of    map[tenant.ID]*share
	swept time.Time
}

// share counts by when the store forgets the signatures, in Unix time.
type share struct {
	n    int
	ends map[int64]int
}

// take counts one more of a tenant's, unless it has as many as it may.
func (s *shares) take(t tenant.ID, until, now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if now.Sub(s.swept) > generation {
		s.swept = now
		maps.DeleteFunc(s.of, func(_ tenant.ID, x *share) bool { x.forget(now); return x.n == 0 })
	}
	x := s.of[t]
	if x == nil {
		x = &share{ends: map[int64]int{}}
		s.of[t] = x
	}
	if x.n >= s.most {
		x.forget(now)
	}
	if x.n >= s.most {
		return false
	}
	x.n++
	x.ends[generationEnd(until).Unix()]++
	return true
}

// back is for what was not remembered after all.
func (s *shares) back(t tenant.ID, until time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	end := generationEnd(until).Unix()
	if x := s.of[t]; x != nil && x.ends[end] > 0 {
		x.n--
		x.ends[end]--
	}
}

func (x *share) forget(now time.Time) {
	maps.DeleteFunc(x.ends, func(end int64, n int) bool {
		if now.Before(time.Unix(end, 0)) {
			return false
		}
		x.n -= n
		return true
	})
}

// spent remembers how often evidence that is good several times was used at
// least, so that the store is not asked again for each of those times. What is
// not here is asked for.
type spent struct {
	mu   sync.Mutex
	uses map[[32]byte]int
}

const maxSpent = 4096

func (s *spent) of(key [32]byte) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.uses[key]
}

func (s *spent) upTo(key [32]byte, n, times int) {
	if times < 2 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.uses) >= maxSpent {
		clear(s.uses)
	}
	s.uses[key] = max(n, s.uses[key])
}
