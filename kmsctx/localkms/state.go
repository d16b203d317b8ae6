package localkms

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/cloisterdev/cloister/kmsctx"
)

// Times in the state are milliseconds since 1970.
type state struct {
	Keys    map[string]*key   `json:"keys"`
	Grants  map[string]*grant `json:"grants"`
	Aliases map[string]*alias `json:"aliases"`

	granted map[string][]*grant // by grantee, as of when the state was read
}

func newState() state {
	return state{Keys: map[string]*key{}, Grants: map[string]*grant{}, Aliases: map[string]*alias{}}
}

type key struct {
	Created     int64             `json:"created,omitempty"`
	Description string            `json:"description,omitempty"`
	Disabled    bool              `json:"disabled"`
	Delete      int64             `json:"delete,omitempty"` // when it will be gone
	Window      int               `json:"window,omitempty"` // days, as asked
	Policy      string            `json:"policy,omitempty"` // empty: the default
	Tags        map[string]string `json:"tags,omitempty"`
	Period      int               `json:"period,omitempty"` // days between rotations
	Next        int64             `json:"next,omitempty"`   // the next rotation
	Versions    []version         `json:"versions"`

	policy *keyPolicy
}

// version is one generation of a key's material. Ciphertexts name it by index.
type version struct {
	Material []byte `json:"material"`
	Created  int64  `json:"created,omitempty"`
	OnDemand bool   `json:"ondemand,omitempty"`
}

type alias struct {
	Key     string `json:"key"`
	Created int64  `json:"created"`
	Updated int64  `json:"updated"`
}

// parse reads what a store file holds: exactly the bytes that this package
// writes, and nothing that it would not have accepted.
func parse(plain []byte) (state, error) { return parseAfter(plain, nil) }

// parseAfter is parse, for what a state became: policies that are the same are
// not parsed again.
func parseAfter(plain []byte, before map[string]*key) (state, error) {
	var s state
	if err := json.Unmarshal(plain, &s); err != nil || s.Keys == nil || s.Grants == nil || s.Aliases == nil {
		return state{}, ErrCorrupt
	}
	for id, k := range s.Keys {
		if b := before[id]; k != nil && b != nil && k.Policy == b.Policy {
			k.policy = b.policy
		}
	}
	if !s.valid() {
		return state{}, ErrCorrupt
	}
	again, err := json.Marshal(s)
	defer clear(again)
	if err != nil || !bytes.Equal(again, plain) {
		return state{}, ErrCorrupt
	}
	return s, nil
}

func (s *state) valid() bool {
	for id, k := range s.Keys {
		if !validName(id) || k == nil || len(k.Versions) == 0 {
			return false
		}
		for _, v := range k.Versions {
			if len(v.Material) != kmsctx.DataKeyLen {
				return false
			}
		}
		if k.Policy != "" && k.policy == nil {
			var err error
			if k.policy, err = parsePolicy([]byte(k.Policy)); err != nil {
				return false
			}
		}
	}
	for id, g := range s.Grants {
		if id == "" || g == nil || g.ID != id || s.Keys[g.KeyID] == nil || !g.valid() {
			return false
		}
	}
	for name, a := range s.Aliases {
		if !validAlias(name) || a == nil || s.Keys[a.Key] == nil {
			return false
		}
	}
	return true
}

// live returns the key unless it is not, or is gone by now.
func (s *state) live(id string, now time.Time) *key {
	k := s.Keys[id]
	if k == nil || k.Delete > 0 && now.UnixMilli() >= k.Delete {
		return nil
	}
	return k
}

// usable is live, for a key that may be used.
func (s *state) usable(id string, now time.Time) (*key, error) {
	k := s.live(id, now)
	if k == nil {
		return nil, ErrUnknown
	}
	return k, k.ready()
}

// advance does what time alone does to keys: those whose window is over go,
// with their grants and aliases, and those that are due get new material.
func (s *state) advance(now time.Time) (changed bool) {
	for id, k := range s.Keys {
		switch {
		case s.live(id, now) == nil:
			s.drop(id)
		case k.due(now):
			k.rotate(now, false)
		default:
			continue
		}
		changed = true
	}
	return changed
}

func (s *state) drop(id string) {
	for _, v := range s.Keys[id].Versions {
		clear(v.Material)
	}
	delete(s.Keys, id)
	for g, x := range s.Grants {
		if x.KeyID == id {
			delete(s.Grants, g)
		}
	}
	for a, x := range s.Aliases {
		if x.Key == id {
			delete(s.Aliases, a)
		}
	}
}

// validName accepts what JSON keeps byte for byte and associated data cannot
// confuse.
func validName(s string) bool {
	if s == "" || len(s) > maxName {
		return false
	}
	for i := range len(s) {
		if s[i] < 0x21 || s[i] > 0x7e {
			return false
		}
	}
	return true
}

const aliasPrefix = "alias/"

func validAlias(s string) bool {
	name, ok := strings.CutPrefix(s, aliasPrefix)
	return ok && name != "" && len(s) <= maxName && !strings.HasPrefix(name, "aws/") &&
		strings.IndexFunc(name, func(r rune) bool {
			return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || slices.Contains([]rune("/_-"), r))
		}) < 0
}

// migrate reads the first form of a store file: keys of one generation, and
// grants without grantees.
func migrate(plain []byte) (state, error) {
	var old struct {
		Keys map[string]*struct {
			Material []byte `json:"material"`
			Disabled bool   `json:"disabled"`
		} `json:"keys"`
		Grants map[string]*struct {
			ID     string            `json:"id"`
			KeyID  string            `json:"key"`
			Name   string            `json:"name"`
			Subset map[string]string `json:"subset"`
		} `json:"grants"`
	}
	if err := json.Unmarshal(plain, &old); err != nil || old.Keys == nil || old.Grants == nil {
		return state{}, ErrCorrupt
	}
	again, err := json.Marshal(old)
	defer clear(again)
	if err != nil || !bytes.Equal(again, plain) {
		return state{}, ErrCorrupt
	}
	s := newState()
	for id, k := range old.Keys {
		if k == nil {
			return state{}, ErrCorrupt
		}
		s.Keys[id] = &key{Disabled: k.Disabled, Versions: []version{{Material: k.Material}}}
	}
	for id, g := range old.Grants {
		if g == nil {
			return state{}, ErrCorrupt
		}
		s.Grants[id] = &grant{ID: g.ID, KeyID: g.KeyID, Name: g.Name, Subset: g.Subset}
	}
	if !s.valid() {
		return state{}, ErrCorrupt
	}
	return s, nil
}
