package kmsserver

import (
	"errors"
	"sync"
	"time"
)

// ErrThrottled reports a principal that asked more often than [Options.Rate].
var ErrThrottled = errors.New("kmsserver: too many requests a second")

// rates bound how often each principal asks. After a pause a principal may make
// the requests of one second at once.
type rates struct {
	perSecond float64 // zero: as often as it likes
	mu        sync.Mutex
	of        map[string]*bucket // by ARN; there are as many as principals
}

type bucket struct {
	left float64
	at   time.Time
}

func (r *rates) take(arn string, now time.Time) bool {
	if r.perSecond == 0 {
		return true
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	b := r.of[arn]
	if b == nil {
		b = &bucket{left: r.perSecond, at: now}
		r.of[arn] = b
	}
	if d := now.Sub(b.at); d > 0 {
		b.left, b.at = min(r.perSecond, b.left+d.Seconds()*r.perSecond), now
	}
	if b.left < 1 {
		return false
	}
	b.left--
	return true
}

// back returns what a request took that was not the principal's: whoever repeats
// one does not ask in its name.
func (r *rates) back(arn string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if b := r.of[arn]; b != nil {
		b.left++
	}
}
