package profile_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cloisterdev/cloister/fas/profile"
)

// shelf is a directory of envelopes, a state file and what was notified.
type shelf struct {
	t          testing.TB
	dir, state string
	keys       profile.Keyring
	s          *profile.Store

	mu   sync.Mutex
	said []profile.Change
}

func newShelf(t testing.TB) *shelf {
	t.Helper()
	tmp := t.TempDir()
	h := &shelf{t: t, dir: filepath.Join(tmp, "profiles"), state: filepath.Join(tmp, "state"), keys: keyring()}
	if err := errors.Join(os.Mkdir(h.dir, 0o700), profile.InitStore(h.state)); err != nil {
		t.Fatal(err)
	}
	return h
}

func (h *shelf) notify(c profile.Change) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.said = append(h.said, c)
}

// heard returns what was notified since it was last asked.
func (h *shelf) heard() []profile.Change {
	h.mu.Lock()
	defer h.mu.Unlock()
	out := h.said
	h.said = nil
	return out
}

// one expects that one thing was said, of this file.
func (h *shelf) one(file string, want error) profile.Change {
	h.t.Helper()
	got := h.heard()
	if len(got) != 1 || got[0].File != file || !errors.Is(got[0].Err, want) || want == nil && got[0].Err != nil {
		h.t.Errorf("said %v; want %v of %s", got, want, file)
		return profile.Change{}
	}
	return got[0]
}

func (h *shelf) open() *profile.Store {
	h.t.Helper()
	if h.s != nil {
		_ = h.s.Close()
	}
	var err error
	if h.s, err = profile.OpenStore(h.dir, h.state, h.keys, h.notify, &profile.StoreOptions{Every: -1}); err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { _ = h.s.Close() })
	return h.s
}

// at is the ordinary profile, valid today, of a version.
func at(version int, changes ...func(*profile.Profile)) profile.Profile {
	p := ordinary()
	p.Version, p.NotBefore, p.NotAfter = version, time.Now().Add(-time.Hour).UTC().Truncate(time.Second), time.Now().Add(time.Hour).UTC().Truncate(time.Second)
	for _, c := range changes {
		c(&p)
	}
	return p
}

func (h *shelf) put(name string, env []byte) {
	h.t.Helper()
	if err := os.WriteFile(filepath.Join(h.dir, name), env, 0o600); err != nil {
		h.t.Fatal(err)
	}
}

func (h *shelf) reload() {
	h.t.Helper()
	if err := h.s.Reload(); err != nil {
		h.t.Fatal(err)
	}
}

// inForce expects the version of the ordinary profile; zero is none.
func (h *shelf) inForce(version int) {
	h.t.Helper()
	v, err := h.s.Get("source")
	switch {
	case version == 0 && (v != nil || !errors.Is(err, profile.ErrUnknown) || len(h.s.All()) != 0):
		h.t.Errorf("%v, %v; want none", v, err)
	case version > 0 && (err != nil || v.Profile().Version != version || len(h.s.All()) != 1):
		h.t.Errorf("%v, %v; want version %d", v, err, version)
	}
}

func TestOpenStoreRefuses(t *testing.T) {
	t.Parallel()
	h := newShelf(t)
	open := func(change func(h *shelf) error) error {
		c := &shelf{t: t, dir: h.dir, state: filepath.Join(t.TempDir(), "state"), keys: h.keys}
		if err := errors.Join(profile.InitStore(c.state), change(c)); err != nil {
			t.Fatal(err)
		}
		s, err := profile.OpenStore(c.dir, c.state, c.keys, c.notify, nil)
		if (s == nil) == (err == nil) {
			t.Errorf("%v beside %v", s, err)
		}
		if s != nil {
			_ = s.Close()
		}
		return err
	}
	for name, c := range map[string]struct {
		change func(*shelf) error
		want   error
	}{
		"no keys":            {func(c *shelf) error { c.keys = nil; return nil }, profile.ErrKeyring},
		"a lost state":       {func(c *shelf) error { return os.Remove(c.state) }, profile.ErrStore},
		"an empty state":     {func(c *shelf) error { return os.WriteFile(c.state, nil, 0o600) }, profile.ErrStore},
		"half a state":       {func(c *shelf) error { return os.WriteFile(c.state, []byte(`{"profiles":{"a":`), 0o600) }, profile.ErrStore},
		"a state of nothing": {func(c *shelf) error { return os.WriteFile(c.state, []byte(`{"profiles":null}`), 0o600) }, profile.ErrStore},
		"version zero": {func(c *shelf) error {
			return os.WriteFile(c.state, []byte(`{"profiles":{"a":{"version":0,"hash":"`+strings.Repeat("0", 64)+`"}}}`), 0o600)
		}, profile.ErrStore},
		"no state file":  {func(c *shelf) error { c.state = ""; return nil }, profile.ErrStore},
		"no directory":   {func(c *shelf) error { c.dir = ""; return nil }, profile.ErrStore},
		"a missing one":  {func(c *shelf) error { c.dir += "-not"; return nil }, profile.ErrStore},
		"all that it is": {func(*shelf) error { return nil }, nil},
	} {
		if err := open(c.change); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if s, err := profile.OpenStore(h.dir, h.state, h.keys, nil, nil); s != nil || !errors.Is(err, profile.ErrStore) {
		t.Errorf("nobody to tell: %v, %v", s, err)
	}
	if err := profile.InitStore(h.state); !errors.Is(err, profile.ErrStore) {
		t.Errorf("a state made anew: %v", err)
	}
}

// Whatever a file becomes, what was in force stays in force, and somebody hears
// of it once.
func TestStoreKeepsWhatWasInForce(t *testing.T) {
	t.Parallel()
	over := func(p *profile.Profile) { p.NotAfter = time.Now().Add(-time.Second).UTC().Truncate(time.Second) }
	early := func(p *profile.Profile) { p.NotBefore = time.Now().Add(time.Minute).UTC().Truncate(time.Second) }
	for name, c := range map[string]struct {
		file func(t *testing.T) []byte
		want error
		says string
	}{
		"empty":                {func(*testing.T) []byte { return nil }, profile.ErrMalformed, "not JSON"},
		"half written":         {func(t *testing.T) []byte { b := approved(t, at(4)); return b[:len(b)/2] }, profile.ErrMalformed, "not JSON"},
		"too long":             {func(*testing.T) []byte { return make([]byte, profile.MaxSize+1) }, profile.ErrMalformed, "more than"},
		"approved by two":      {func(t *testing.T) []byte { return signed(t, unsigned(t, at(4)), "service", "identity") }, profile.ErrUnapproved, "missing: security"},
		"one key, three times": {func(t *testing.T) []byte { return signed(t, unsigned(t, at(4)), "service", "service", "service") }, profile.ErrUnapproved, "missing: security, identity"},
		"over":                 {func(t *testing.T) []byte { return approved(t, at(4, over)) }, profile.ErrExpired, "over since"},
		"not yet":              {func(t *testing.T) []byte { return approved(t, at(4, early)) }, profile.ErrExpired, "not before"},
		"older":                {func(t *testing.T) []byte { return approved(t, at(2)) }, profile.ErrRollback, "version 2, where 3 was in force"},
		"the same version, changed": {func(t *testing.T) []byte {
			return approved(t, at(3, func(p *profile.Profile) { p.TTL = 900 }))
		}, profile.ErrRollback, "another version 3 was in force"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newShelf(t)
			h.put("source.json", approved(t, at(3)))
			h.open()
			h.one("source.json", nil)
			h.inForce(3)
			h.put("source.json", c.file(t))
			for range 3 {
				h.reload()
				h.inForce(3)
			}
			if got := h.one("source.json", c.want); got.Err == nil || !strings.Contains(got.Err.Error(), c.says) {
				t.Errorf("said %v", got)
			}
			h.put("source.json", approved(t, at(5)))
			h.reload()
			h.inForce(5)
			if got := h.one("source.json", nil); got.ID != "source" || got.Version != 5 || len(got.Hash) != 64 {
				t.Errorf("%+v", got)
			}
		})
	}
}

func TestNoRestartRollsBack(t *testing.T) {
	t.Parallel()
	h := newShelf(t)
	h.put("a.json", approved(t, at(3)))
	h.open()
	h.inForce(3)
	// Built once: one made in the next second is another version 4.
	four := approved(t, at(4))
	h.put("a.json", four)
	h.reload()
	h.inForce(4)
	h.heard()
	// Somebody stops the process, brings the old file back and starts it.
	for _, v := range []int{3, 1} {
		h.put("a.json", approved(t, at(v)))
		h.open()
		h.inForce(0)
		h.one("a.json", profile.ErrRollback)
	}
	// Under another name, and beside the right one, the same.
	h.put("a.json", four)
	h.put("z.json", approved(t, at(3)))
	h.open()
	h.inForce(4)
	if said := h.heard(); len(said) != 2 || said[0].File != "a.json" || said[0].Err != nil || said[1].File != "z.json" || !errors.Is(said[1].Err, profile.ErrRollback) {
		t.Errorf("%v", said)
	}
	// Without the state, nothing.
	if err := os.Remove(h.state); err != nil {
		t.Fatal(err)
	}
	if _, err := profile.OpenStore(h.dir, h.state, h.keys, h.notify, nil); !errors.Is(err, profile.ErrStore) {
		t.Error(err)
	}
}

func TestStoreWithdraws(t *testing.T) {
	t.Parallel()
	h := newShelf(t)
	// Built once: one made in the next second is another version 3.
	three := approved(t, at(3))
	h.put("a.json", three)
	h.put(".b.json", approved(t, at(4)))
	h.put("c.json.tmp", approved(t, at(4)))
	if err := os.Mkdir(filepath.Join(h.dir, "d.json"), 0o700); err != nil {
		t.Fatal(err)
	}
	h.open()
	h.inForce(3)
	h.one("a.json", nil)
	if err := os.Remove(filepath.Join(h.dir, "a.json")); err != nil {
		t.Fatal(err)
	}
	h.reload()
	h.reload()
	h.inForce(0)
	if got := h.one("a.json", profile.ErrUnknown); got.ID != "source" || got.Version != 3 {
		t.Errorf("%+v", got)
	}
	h.put("a.json", three)
	h.reload()
	h.inForce(3)
	h.one("a.json", nil)
	// A file that becomes another profile is gone as what it was.
	h.put("a.json", approved(t, at(1, func(p *profile.Profile) { p.ID = "other" })))
	h.reload()
	if _, err := h.s.Get("source"); !errors.Is(err, profile.ErrUnknown) {
		t.Error(err)
	}
	if v, err := h.s.Get("other"); err != nil || v.Profile().Version != 1 {
		t.Errorf("%v, %v", v, err)
	}
	if said := h.heard(); len(said) != 2 || said[0].ID != "other" || said[0].Err != nil || said[1].ID != "source" || !errors.Is(said[1].Err, profile.ErrUnknown) {
		t.Errorf("%+v", said)
	}
	// A profile that moves to another file stays.
	h.put("b.json", approved(t, at(2, func(p *profile.Profile) { p.ID = "other" })))
	if err := os.Remove(filepath.Join(h.dir, "a.json")); err != nil {
		t.Fatal(err)
	}
	h.reload()
	if v, err := h.s.Get("other"); err != nil || v.Profile().Version != 2 {
		t.Errorf("%v, %v", v, err)
	}
}

// A version that cannot be remembered does not come into force, and a directory
// that cannot be read changes nothing.
func TestStoreFailsClosed(t *testing.T) {
	t.Parallel()
	h := newShelf(t)
	h.put("a.json", approved(t, at(3)))
	h.open()
	h.heard()
	if err := os.Mkdir(h.state+".tmp", 0o700); err != nil {
		t.Fatal(err)
	}
	h.put("a.json", approved(t, at(4)))
	for range 3 {
		if err := h.s.Reload(); !errors.Is(err, profile.ErrStore) {
			t.Error(err)
		}
	}
	h.inForce(3)
	h.one("", profile.ErrStore)
	if err := os.Remove(h.state + ".tmp"); err != nil {
		t.Fatal(err)
	}
	h.reload()
	h.inForce(4)
	h.one("a.json", nil)
	if err := os.Rename(h.dir, h.dir+"-away"); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if err := h.s.Reload(); !errors.Is(err, profile.ErrStore) {
			t.Error(err)
		}
	}
	h.inForce(4)
	h.one("", profile.ErrStore)
	if err := os.Rename(h.dir+"-away", h.dir); err != nil {
		t.Fatal(err)
	}
	h.reload()
	h.inForce(4)
	if said := h.heard(); len(said) != 0 {
		t.Errorf("%v", said)
	}
}

// The store looks by itself, and by the clock: a profile comes into force when
// its time comes, and is over when it is over.
func TestStoreInTime(t *testing.T) {
	h := newShelf(t)
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now().UTC()
		h.put("a.json", approved(t, at(1, func(p *profile.Profile) { p.NotBefore, p.NotAfter = begin, begin.Add(90*time.Second) })))
		h.put("b.json", approved(t, at(2, func(p *profile.Profile) { p.NotBefore, p.NotAfter = begin.Add(time.Minute), begin.Add(2*time.Minute) })))
		s, err := profile.OpenStore(h.dir, h.state, h.keys, h.notify, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		h.s = s
		h.inForce(1)
		time.Sleep(59 * time.Second)
		synctest.Wait()
		h.inForce(1)
		time.Sleep(2 * time.Second)
		synctest.Wait()
		h.inForce(2)
		time.Sleep(time.Minute)
		if v, err := s.Get("source"); v != nil || !errors.Is(err, profile.ErrExpired) || len(s.All()) != 0 {
			t.Errorf("%v, %v", v, err)
		}
		synctest.Wait()
		var said []string
		for _, c := range h.heard() {
			said = append(said, fmt.Sprintf("%s %d %v", c.File, c.Version, errors.Is(c.Err, profile.ErrExpired)))
		}
		if want := []string{"b.json 2 true", "a.json 1 false", "b.json 2 false"}; len(said) < 3 || !slices.Equal(said[:3], want) {
			t.Errorf("%q", said)
		}
		if err := errors.Join(s.Close(), s.Close()); err != nil {
			t.Error(err)
		}
	})
}

// Whoever asks while files change gets a whole profile, and versions never go
// back.
func TestStoreIsConcurrent(t *testing.T) {
	t.Parallel()
	h := newShelf(t)
	h.put("a.json", approved(t, at(1)))
	s := h.open()
	var envs [][]byte
	for v := range 20 {
		envs = append(envs, approved(t, at(v+2)), approved(t, at(1)))
	}
	var wg sync.WaitGroup
	stop := make(chan struct{})
	for range 4 {
		wg.Go(func() {
			last := 0
			for {
				select {
				case <-stop:
					return
				default:
				}
				v, err := s.Get("source")
				if err != nil || v.Profile().Version < last || v.Profile().TTL != 600 {
					t.Errorf("%v, %v after %d", v, err, last)
					return
				}
				last = v.Profile().Version
				s.All()
			}
		})
	}
	for _, env := range envs {
		h.put("a.json", env)
		if err := s.Reload(); err != nil {
			t.Error(err)
		}
	}
	close(stop)
	wg.Wait()
	h.inForce(21)
}

// A state that is accepted is one that the package writes, and what it says
// holds.
func FuzzState(f *testing.F) {
	h := newShelf(f)
	h.put("a.json", approved(f, at(3, func(p *profile.Profile) { p.NotAfter = p.NotBefore.Add(300 * 24 * time.Hour) })))
	in, err := h.open().Get("source")
	if err != nil {
		f.Fatal(err)
	}
	written, err := os.ReadFile(h.state)
	if err != nil {
		f.Fatal(err)
	}
	for _, s := range []string{string(written), `{"profiles":{}}`, `{"profiles":{"source":{"version":4,"hash":"` + strings.Repeat("0", 64) + `"}}}`, `{"profiles":{"source":{"version":3,"hash":"` + strings.Repeat("0", 64) + `"}}}`, `{}`, ``, `{"profiles":{"source":{"version":1}}}`} {
		f.Add([]byte(s))
	}
	dir, keys := h.dir, h.keys
	f.Fuzz(func(t *testing.T, b []byte) {
		state := filepath.Join(t.TempDir(), "state")
		if err := os.WriteFile(state, b, 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := profile.OpenStore(dir, state, keys, func(profile.Change) {}, &profile.StoreOptions{Every: -1})
		if err != nil {
			if s != nil || !errors.Is(err, profile.ErrStore) {
				t.Fatal(err)
			}
			return
		}
		defer s.Close()
		var said struct {
			Profiles map[string]struct {
				Version int
				Hash    string
			}
		}
		if err := json.Unmarshal(b, &said); err != nil {
			t.Fatal(err)
		}
		_, err = s.Get("source")
		was, there := said.Profiles["source"]
		if (err == nil) != (!there || was.Version < 3 || was.Version == 3 && was.Hash == in.Hash()) {
			t.Fatalf("%s: %v", b, err)
		}
	})
}

// Of many that make a state file at once, one does: what another store
// remembered by then is not overwritten.
func TestInitStoreIsForOne(t *testing.T) {
	t.Parallel()
	for range 40 {
		dir := t.TempDir()
		var made atomic.Int32
		var all sync.WaitGroup
		for range 64 {
			all.Go(func() {
				err := profile.InitStore(filepath.Join(dir, "state"))
				if err == nil {
					made.Add(1)
				} else if !errors.Is(err, profile.ErrStore) {
					t.Error(err)
				}
			})
		}
		all.Wait()
		if n := made.Load(); n != 1 {
			t.Errorf("%d made it", n)
		}
		if left, err := os.ReadDir(dir); err != nil || len(left) != 1 {
			t.Errorf("%v is left, %v", left, err)
		}
	}
	if err := profile.InitStore(filepath.Join(t.TempDir(), "none", "state")); !errors.Is(err, profile.ErrStore) {
		t.Errorf("in a directory that is not there: %v", err)
	}
}

// Of two stores with one memory each would forget what the other remembers.
func TestStoreIsAlone(t *testing.T) {
	t.Parallel()
	h := newShelf(t)
	h.put("a.json", approved(t, at(5)))
	h.open()
	if s, err := profile.OpenStore(h.dir, h.state, h.keys, func(profile.Change) {}, nil); !errors.Is(err, profile.ErrStore) || s != nil {
		t.Fatalf("a second store: %v", err)
	}
	h.inForce(5)
	if err := h.s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := h.s.Close(); err != nil {
		t.Errorf("closed twice: %v", err)
	}
	s, err := profile.OpenStore(h.dir, h.state, h.keys, func(profile.Change) {}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}
