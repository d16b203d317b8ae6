package localsts_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cloisterdev/cloister/audit"
	"github.com/cloisterdev/cloister/fas"
	"github.com/cloisterdev/cloister/fas/localsts"
	"github.com/cloisterdev/cloister/tenant"
)

// recorder keeps the kinds of what was recorded, and fails on demand.
type recorder struct {
	mu    sync.Mutex
	kinds []string
	fails atomic.Bool
}

var errSink = errors.New("the sink is down")

func (r *recorder) Append(ctx context.Context, e audit.Event) error { return r.Record(ctx, e) }
func (r *recorder) Record(_ context.Context, e audit.Event) error {
	if r.fails.Load() {
		return errSink
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.kinds = append(r.kinds, e.Kind)
	return nil
}

func (r *recorder) last() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.kinds[len(r.kinds)-1]
}

// The firewall changes its keys while it runs: sessions of before and after are
// served, by a bucket that only follows, and over a restart.
func TestFirewallRotates(t *testing.T) {
	t.Parallel()
	rec := &recorder{}
	o := newOffice(t, rec)
	ctx := context.Background()
	bucket, err := localsts.Follow(func() (localsts.Material, error) { return o.wall.VerifierMaterial(), nil })
	o.ok(err)
	still, err := localsts.NewVerifier(o.wall.VerifierMaterial())
	o.ok(err)
	check := func(name string, v interface {
		Lookup(string, string, time.Time) (*localsts.Claims, tenant.Secret, error)
	}, s *fas.Session, want error) {
		t.Helper()
		creds, err := s.Credentials()
		o.ok(err)
		if c, _, err := v.Lookup(creds.AccessKeyID, creds.Token, time.Now()); !errors.Is(err, want) || (c == nil) == (want == nil) {
			t.Errorf("%s: %v", name, err)
		}
	}
	before := o.issue(0)
	check("before", bucket, before, nil)

	rec.fails.Store(true)
	if err := o.wall.RotateSessionKeys(ctx, 0); !errors.Is(err, errSink) || o.wall.VerifierMaterial().Version != 1 {
		t.Errorf("unrecorded: version %d, %v", o.wall.VerifierMaterial().Version, err)
	}
	rec.fails.Store(false)
	if since := o.wall.SessionKeysSince(); time.Since(since) > time.Minute {
		t.Error(since)
	}
	o.ok(o.wall.RotateSessionKeys(ctx, 4*time.Second))
	if m := o.wall.VerifierMaterial(); m.Version != 2 || len(m.Keys) != 2 || rec.last() != "firewall.session-keys.rotate" {
		t.Errorf("%d, %d, %q", m.Version, len(m.Keys), rec.last())
	}
	check("made before, asked for after", bucket, before, nil)
	check("made while the new keys wait, where nobody said so", still, o.issue(0), nil)
	time.Sleep(time.Until(o.wall.SessionKeysSince()) + 10*time.Millisecond)
	after := o.issue(0)
	check("with the new keys, where nobody said so", still, after, localsts.ErrUnknownKey)
	check("with the new keys", bucket, after, nil)
	check("with the old keys", bucket, before, nil)
	o.open()
	reopened, err := localsts.NewVerifier(o.wall.VerifierMaterial())
	o.ok(err)
	check("after a restart, the new keys", reopened, after, nil)
	check("after a restart, the old keys", reopened, before, nil)

	o.ok(o.wall.RenewSessionKeys(ctx))
	o.ok(reopened.Update(o.wall.VerifierMaterial()))
	check("taken back", reopened, after, localsts.ErrUnknownKey)
	check("taken back too", reopened, before, localsts.ErrUnknownKey)
	check("made with the last keys", reopened, o.issue(0), nil)
}
