package firewalld_test

import (
	"context"
	"testing"
	"time"

	"github.com/cloisterdev/cloister/fas"
	"github.com/cloisterdev/cloister/tenant"
)

// A front end may shorten the life of a session and never lengthen it.
func TestLifetime(t *testing.T) {
	w := newWorld(t)
	w.serve()
	assume := func(ttl time.Duration) (*fas.Session, error) {
		return w.c.AssumeOwn(context.Background(), w.evidence(w.dev, "GetRetrievals", ""), fas.Request{RequestID: tenant.NewRequestID(), Customization: w.row.Customization, TTL: ttl})
	}
	_, err := assume(-time.Second)
	w.refused("a life that ended before it began", err, fas.ErrDenied)
	if s := w.must(assume(24 * time.Hour)); time.Until(s.Expires()) > time.Minute {
		t.Errorf("a session until %v", s.Expires())
	}
	s := w.must(assume(50 * time.Millisecond))
	w.ok(s.Err())
	time.Sleep(60 * time.Millisecond)
	w.refused("after its end", s.Err(), fas.ErrExpired)
	w.refused("its key after its end", s.WithKey(fas.VerbQuery, func([]byte) error { return nil }), fas.ErrExpired)
}
