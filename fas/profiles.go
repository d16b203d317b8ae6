package fas

import (
	"fmt"
	"sync"
	"time"

	"github.com/cloisterdev/cloister/fas/policy"
	"github.com/cloisterdev/cloister/fas/profile"
)

// ProfileStore finds the profile that is in force now; [profile.Store] is one.
// An error means that there is none. It is called concurrently.
type ProfileStore interface {
	Get(id string) (*profile.Verified, error)
	All() []*profile.Verified
}

// approved is a profile with its parts parsed.
type approved struct {
	*profile.Verified
	doc  *policy.Document
	bind profile.Binding
}

// approve parses a profile that is in force now and for this issuer.
func (c *Config) approve(v *profile.Verified) (*approved, error) {
	if err := v.Err(time.Now()); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrConfig, err)
	}
	p := v.Profile()
	doc, err := policy.Parse(p.Allow)
	if err != nil {
		return nil, fmt.Errorf("%w: profile %s: %w", ErrConfig, p.ID, err)
	}
	if p.Audience != c.Audience {
		return nil, fmt.Errorf("%w: profile %s is for %q, and the issuer for %q", ErrConfig, p.ID, p.Audience, c.Audience)
	}
	bind, err := profile.ParseBind(p.Bind)
	if err != nil {
		return nil, fmt.Errorf("%w: profile %s: %w", ErrConfig, p.ID, err)
	}
	return &approved{v, doc, bind}, nil
}

// parsed keeps what approve made of the profiles of a store, by their hashes.
type parsed struct {
	mu   sync.Mutex
	kept map[string]*approved
}

// approved returns the profile that is in force, or nil.
func (f *Firewall) approved(id string) *approved {
	if f.c.ProfileStore == nil {
		if p := f.profiles[id]; p != nil && p.Err(time.Now()) == nil {
			return p
		}
		return nil
	}
	v, err := f.c.ProfileStore.Get(id)
	if err != nil || v.Err(time.Now()) != nil || v.Profile().ID != id {
		return nil
	}
	f.parsed.mu.Lock()
	defer f.parsed.mu.Unlock()
	if p := f.parsed.kept[v.Hash()]; p != nil {
		return p
	}
	p, err := f.c.approve(v)
	if err != nil {
		return nil
	}
	if f.parsed.kept == nil || len(f.parsed.kept) > 1000 {
		f.parsed.kept = map[string]*approved{}
	}
	f.parsed.kept[v.Hash()] = p
	return p
}
