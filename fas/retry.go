package fas

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"maps"
	"sync"
	"time"

	"github.com/cloisterdev/cloister/tenant"
)

// retryWindow is how long a lost answer is given again.
const retryWindow = 30 * time.Second

// maxAnswers bounds what is kept of a tenant; its oldest goes first. Whoever
// comes back for an answer that went is told ErrReplayed.
const maxAnswers = 1024

// answers keeps the sessions of evidence that is good once, for a front end
// whose answer was lost on the way: the same evidence with the very same
// request gets the same session and not another.
type answers struct {
	mu    sync.Mutex
	of    map[tenant.ID]*tenantAnswers
	swept time.Time
}

type tenantAnswers struct {
	kept  map[[32]byte]*Session
	order []aged // by age
}

type aged struct {
	key [32]byte
	at  time.Time
}

// retryKey names a request to the byte, and who asked.
func retryKey(from peer, door string, once [32]byte, req Request) [32]byte {
	h := sha256.New()
	for _, s := range []string{from.name, door, req.RequestID.String(), idText(req.Customization), req.Profile, string(req.Scope)} {
		h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(s))))
		h.Write([]byte(s))
	}
	h.Write(once[:])
	h.Write(binary.BigEndian.AppendUint64(nil, uint64(req.TTL)))
	return [32]byte(h.Sum(nil))
}

// retry is the key of a call whose evidence is good once; others get a new answer.
func (v *verified) retry(ctx context.Context, door string, req Request) (key [32]byte) {
	if v.once {
		key = retryKey(peerOf(ctx), door, v.claim.Once, req)
	}
	return key
}

// again returns a copy of the session that the same request of the tenant got,
// without keys.
func (a *answers) again(t tenant.ID, key [32]byte, now time.Time) *Session {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.forget(now)
	own := a.of[t]
	if own == nil {
		return nil
	}
	own.forget(now)
	s := own.kept[key]
	if s == nil || s.Err() != nil {
		return nil
	}
	return s.clone()
}

func (a *answers) keep(key [32]byte, s *Session, now time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.forget(now)
	own := a.of[s.tenant]
	if own == nil {
		own = &tenantAnswers{kept: map[[32]byte]*Session{}}
		if a.of == nil {
			a.of = map[tenant.ID]*tenantAnswers{}
		}
		a.of[s.tenant] = own
	}
	if own.kept[key] != nil {
		return
	}
	if len(own.order) == maxAnswers {
		own.drop()
	}
	own.kept[key] = s.clone()
	own.order = append(own.order, aged{key, now})
}

// forget drops what is over, of all tenants, once a second.
func (a *answers) forget(now time.Time) {
	if d := now.Sub(a.swept); d >= 0 && d < time.Second {
		return
	}
	a.swept = now
	maps.DeleteFunc(a.of, func(_ tenant.ID, own *tenantAnswers) bool {
		own.forget(now)
		return len(own.order) == 0
	})
}

func (own *tenantAnswers) forget(now time.Time) {
	for len(own.order) > 0 && now.Sub(own.order[0].at) > retryWindow {
		own.drop()
	}
}

func (own *tenantAnswers) drop() {
	_ = own.kept[own.order[0].key].Close()
	delete(own.kept, own.order[0].key)
	own.order = own.order[1:]
}

// clone is the session without keys, and with credentials of its own.
func (s *Session) clone() *Session {
	c := &Session{id: s.id, tenant: s.tenant, user: s.user, customization: s.customization, collection: s.collection, snapshot: s.snapshot,
		manifest: s.manifest, version: s.version, verbs: s.verbs, expires: s.expires, keys: map[Verb]tenant.Secret{}, spans: s.spans}
	if s.creds != nil {
		creds := *s.creds
		creds.Secret = copySecret(creds.Secret)
		c.creds = &creds
	}
	return c
}

func copySecret(s tenant.Secret) (out tenant.Secret) {
	_ = s.Use(func(b []byte) error { out = tenant.NewSecret(append([]byte(nil), b...)); return nil })
	return out
}
