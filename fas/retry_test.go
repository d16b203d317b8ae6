package fas_test

import (
	"bytes"
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/cloisterdev/cloister/audit"
	"github.com/cloisterdev/cloister/fas"
	"github.com/cloisterdev/cloister/fas/firewalld"
	"github.com/cloisterdev/cloister/tenant"
)

// sourceCall is a signed call that names a source, the row that it made, and
// the request that exchanges it.
func (w *world) sourceCall() (fas.Evidence, fas.Request) {
	w.t.Helper()
	row, _ := w.create()
	ev := w.signed("CreateCustomization", []byte(`{"nonce":"`+tenant.NewRequestID().String()+`","dataReference":{"s3Reference":{"uri":"s3://acme/src/"}}}`), time.Now())
	return ev, fas.Request{RequestID: tenant.NewRequestID(), Customization: row.Customization, Profile: firewalld.SourceProfile,
		Scope: []byte(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:GetObject","Resource":"arn:aws:s3:::acme/src/*"}]}`)}
}

// A front end whose answer was lost asks again, to the byte, and gets the very
// same session; whatever differs is a second use.
func TestLostAnswers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := context.Background()
	ev, req := w.sourceCall()
	first, err := w.c.Exchange(ctx, ev, req)
	w.ok(err)
	for name, change := range map[string]func(*fas.Request){
		"another request":       func(r *fas.Request) { r.RequestID = tenant.NewRequestID() },
		"another life":          func(r *fas.Request) { r.TTL = time.Minute },
		"another scope":         func(r *fas.Request) { r.Scope = bytes.Replace(r.Scope, []byte("src/*"), []byte("src/a"), 1) },
		"the same in more text": func(r *fas.Request) { r.Scope = append([]byte(" "), r.Scope...) },
		"another customization": func(r *fas.Request) { row, _ := w.create(); r.Customization = row.Customization },
	} {
		other := req
		change(&other)
		_, err := w.c.Exchange(ctx, ev, other)
		w.refused(name, err, fas.ErrReplayed)
	}
	again, err := w.c.Exchange(ctx, ev, req)
	w.ok(err)
	c1, err1 := first.Credentials()
	c2, err2 := again.Credentials()
	w.ok(errors.Join(err1, err2))
	if again.ID() != first.ID() || !again.Expires().Equal(first.Expires()) || c1.AccessKeyID != c2.AccessKeyID || c1.Token != c2.Token {
		t.Error("the answer to the same request is another session")
	}
	if err := c1.Secret.Use(func(b []byte) error {
		if !c2.Secret.Equal(b) {
			return errors.New("another secret")
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
	if n := w.rec.count(func(e audit.Event) bool { return e.Detail["repeated"] == "true" && e.Session == first.ID() }); n != 1 {
		t.Errorf("%d repetitions are recorded", n)
	}
	// A session that was revoked does not come again.
	w.ok(w.srv.Revoke(ctx, fas.Revocation{Session: first.ID()}))
	_, err = w.c.Exchange(ctx, ev, req)
	w.refused("a revoked session", err, fas.ErrRevoked)
}

// Many who ask at once for the same get one session, or are told that it was
// used: never two.
func TestLostAnswersAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ev, req := w.sourceCall()
	var mu sync.Mutex
	seen := map[tenant.SessionID]bool{}
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			s, err := w.c.Exchange(context.Background(), ev, req)
			if err != nil {
				if !errors.Is(err, fas.ErrReplayed) {
					t.Error(err)
				}
				return
			}
			mu.Lock()
			defer mu.Unlock()
			seen[s.ID()] = true
		})
	}
	wg.Wait()
	if len(seen) != 1 {
		t.Errorf("%d sessions of one call", len(seen))
	}
}
