package fas

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// generation is how much longer than asked an entry may be kept.
const generation = 2 * time.Minute

// generationEnd is when an entry is forgotten that is needed until then.
func generationEnd(until time.Time) time.Time { return until.Truncate(generation).Add(generation) }

// memory is the store of one process. Entries of about the same end are
// forgotten together, so that none is ever removed alone, and an entry costs
// no more than a shortened key and a time in a table that is well filled. A full store denies: forgetting would let a signature pass twice.
type memory struct {
	max    int64
	kept   atomic.Int64
	shards [64]memoryShard

	mu    sync.Mutex
	swept time.Time
}

type memoryShard struct {
	mu   sync.Mutex
	gens []memoryGen // a handful
}

// memoryGen are entries that end before one moment.
type memoryGen struct {
	end   time.Time
	first *claims
}

// MemoryReplay returns a store of this process for at most max entries, of
// about 31 bytes each. It refuses less than one with [ErrConfig].
func MemoryReplay(max int) (ReplayStore, error) {
	if max < 1 {
		return nil, fmt.Errorf("%w: a replay store for %d entries", ErrConfig, max)
	}
	return &memory{max: int64(max)}, nil
}

// Durable implements [ReplayStore].
func (m *memory) Durable() bool { return false }

// Claim implements [ReplayStore].
func (m *memory) Claim(_ context.Context, key [32]byte, now, until time.Time) (time.Time, bool, error) {
	if until.Before(now) {
		until = now
	}
	if until.Sub(now) > 2*MaxEvidenceLife {
		return time.Time{}, false, errFull // its time would not fit
	}
	first, fresh, err := m.claim(key, now, until)
	if err != nil && m.sweep(now) {
		return m.claim(key, now, until)
	}
	return first, fresh, err
}

func (m *memory) claim(key [32]byte, now, until time.Time) (time.Time, bool, error) {
	s, short := &m.shards[key[31]%64], [16]byte(key[:])
	s.mu.Lock()
	defer s.mu.Unlock()
	m.kept.Add(-s.forget(now))
	for _, g := range s.gens {
		if ms := g.first.get(short); ms != 0 {
			return g.end.Add(-time.Duration(ms) * time.Millisecond), false, nil
		}
	}
	if m.kept.Add(1) > m.max {
		m.kept.Add(-1)
		return time.Time{}, false, errFull
	}
	end := generationEnd(until)
	ms := max(1, uint32(end.Sub(now)/time.Millisecond))
	for _, g := range s.gens {
		if g.end.Equal(end) {
			g.first.add(short, ms)
			return now, true, nil
		}
	}
	g := memoryGen{end, newClaims()}
	g.first.add(short, ms)
	s.gens = append(s.gens, g)
	return now, true, nil
}

// forget drops what has ended and returns how much that was.
func (s *memoryShard) forget(now time.Time) (n int64) {
	live := s.gens[:0]
	for _, g := range s.gens {
		if now.Before(g.end) {
			live = append(live, g)
		} else {
			n += int64(g.first.n)
		}
	}
	clear(s.gens[len(live):])
	s.gens = live
	return n
}

// sweep forgets in every shard, at most once a second, and reports whether it
// did.
func (m *memory) sweep(now time.Time) bool {
	m.mu.Lock()
	if d := now.Sub(m.swept); d >= 0 && d < time.Second {
		m.mu.Unlock()
		return false
	}
	m.swept = now
	m.mu.Unlock()
	for i := range m.shards {
		s := &m.shards[i]
		s.mu.Lock()
		m.kept.Add(-s.forget(now))
		s.mu.Unlock()
	}
	return true
}
