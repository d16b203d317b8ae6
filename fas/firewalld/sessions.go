package firewalld

import (
	"context"
	"fmt"
	"path/filepath"
	"sync"
	"time"

	"github.com/cloisterdev/cloister/audit"
	"github.com/cloisterdev/cloister/fas/localsts"
)

const authorityFile = "authority"

// sessionKeys are the keys of the authority and where they are kept.
type sessionKeys struct {
	mu        sync.Mutex // one change at a time
	v         *vault
	keys      localsts.Keys
	authority *localsts.Authority
}

func openSessionKeys(v *vault) (*sessionKeys, error) {
	k := &sessionKeys{v: v}
	if err := v.once(authorityFile, &k.keys, func() any { return localsts.NewKeys() }); err != nil {
		return nil, err
	}
	if k.keys.Version == 0 {
		// Keys of another form: their sessions are over in minutes.
		k.keys = localsts.NewKeys()
		if err := k.keep(k.keys); err != nil {
			return nil, err
		}
	}
	var err error
	k.authority, err = localsts.NewAuthority(k.keys)
	return k, err
}

func (k *sessionKeys) keep(keys localsts.Keys) error {
	return k.v.put(filepath.Join(k.v.dir, authorityFile+".sealed"), authorityFile, keys)
}

// change makes the next set durable, then puts it into force.
func (s *Server) changeSessionKeys(ctx context.Context, kind string, next func(localsts.Keys) (localsts.Keys, error)) error {
	k := s.sessions
	k.mu.Lock()
	defer k.mu.Unlock()
	keys, err := next(k.keys)
	if err != nil {
		return err
	}
	if err := s.recorder.Record(ctx, audit.Event{Time: time.Now(), Kind: kind, Decision: audit.Allow, Reason: "asked-for", Detail: map[string]string{"version": fmt.Sprint(keys.Version)}}); err != nil {
		return err
	}
	if err := k.keep(keys); err != nil {
		return err
	}
	if err := k.authority.Use(keys); err != nil {
		return err
	}
	k.keys = keys
	return nil
}

// leastLead is what a localsts.Follower needs, which asks at most once a second,
// and the part of a second that the keys' times leave out.
const leastLead = 2 * time.Second

// RotateSessionKeys changes the keys of sessions without a gap: new ones sign
// after lead, and the old ones verify until their last session is over. Give
// bucket servers the new [Server.VerifierMaterial] before lead is over; less
// than two seconds, which are enough for a localsts.Follower that can read it,
// becomes two. It is recorded before it happens, and returns an error, with
// nothing changed, where it cannot be recorded or kept.
func (s *Server) RotateSessionKeys(ctx context.Context, lead time.Duration) error {
	return s.changeSessionKeys(ctx, "firewall.session-keys.rotate", func(k localsts.Keys) (localsts.Keys, error) {
		now := time.Now()
		return k.Rotate(now, now.Add(max(lead, leastLead)))
	})
}

// RenewSessionKeys changes the keys of sessions and forgets the old ones, which
// ends every session as soon as the bucket servers know: for keys that somebody
// has seen. Errors are those of RotateSessionKeys.
func (s *Server) RenewSessionKeys(ctx context.Context) error {
	return s.changeSessionKeys(ctx, "firewall.session-keys.renew", func(k localsts.Keys) (localsts.Keys, error) { return k.Renew(), nil })
}

// SessionKeysSince is when the newest keys of sessions begin to sign.
func (s *Server) SessionKeysSince() time.Time {
	s.sessions.mu.Lock()
	defer s.sessions.mu.Unlock()
	return s.sessions.keys.Since()
}

// VerifierMaterial is what a bucket server needs to check sessions. It changes
// with the keys of sessions.
func (s *Server) VerifierMaterial() localsts.Material { return s.sessions.authority.Material() }
