package profile

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// The sentinel errors of a [Store].
var (
	ErrStore   = errors.New("profile: store not accepted")
	ErrUnknown = errors.New("profile: none of that ID in force")
)

// Change is what a store did, or refused to do, with one file.
type Change struct {
	// File is the base name of the file; empty for the directory as a whole.
	File string
	// ID, Version and Hash are those of the approved profile that the file holds
	// or held; what was not approved has no name here.
	ID      string
	Version int
	Hash    string
	// Err is nil where the profile came into force. Otherwise it wraps a
	// sentinel of this package, and what was in force before still is;
	// [ErrUnknown] says that a profile is in force no more, since its file is
	// gone.
	Err error
}

// Store holds the profiles of a directory, each file "*.json" an envelope, and
// looks at them again and again. For each ID the highest version is in force.
// A file that is malformed, unapproved, not valid now or older leaves in force
// what was; a profile whose file is gone is not in force any more. It is safe
// for concurrent use.
type Store struct {
	dir, state string
	keys       Keyring
	notify     func(Change)
	check      func(*Verified) error
	unlock     func() error

	mu     sync.Mutex // one reload at a time
	seen   map[string]look
	marks  map[string]mark
	holder map[string]string // the file of what is in force, by ID
	force  atomic.Pointer[map[string]*Verified]

	stop chan struct{}
	done sync.WaitGroup
	once sync.Once
}

// look is what a store said about a file when it last said something.
type look struct {
	sum  [32]byte
	said string
}

// StoreOptions are the options of [OpenStore].
type StoreOptions struct {
	// Every is how often the directory is read. Zero means 10 s; negative means
	// only when [Store.Reload] is called.
	Every time.Duration
	// Check is what must hold besides for a profile to come into force, such as
	// that those who enforce it can decide by its conditions. Nil means nothing.
	Check func(*Verified) error
}

// OpenStore reads the profiles of a directory. The state file, outside of that
// directory, remembers the highest version of each profile that was ever in
// force, so that no restart brings an older one back; [InitStore] makes it
// once, and a store whose state is lost does not open: whoever can remove a
// file must not be able to roll a profile back.
//
// What happens to each file is told to notify, from one goroutine at a time,
// once for each thing that happens; nil is refused. It may ask the store with
// Get and All, and must not call Reload or Close. A profile that is not accepted
// is no error of OpenStore: the others must come into force. An error wraps [ErrStore] or [ErrKeyring]. A nil opts means the defaults.
//
// One store at a time may use a state file: another gets an error that wraps
// [ErrStore]. The lock is an empty folder beside it, whose name ends in .lock;
// systems without such locks do not notice. Close the store to stop it.
func OpenStore(dir, state string, keys Keyring, notify func(Change), opts *StoreOptions) (*Store, error) {
	if opts == nil {
		opts = &StoreOptions{}
	}
	if notify == nil || dir == "" || state == "" {
		return nil, fmt.Errorf("%w: directory, state and notify are required", ErrStore)
	}
	if err := keys.check(); err != nil {
		return nil, err
	}
	unlock, err := lockState(state)
	if err != nil {
		return nil, err
	}
	marks, err := readState(state)
	if err != nil {
		return nil, errors.Join(err, unlock())
	}
	own := Keyring{}
	for r, k := range keys {
		own[r] = slices.Clone(k)
	}
	s := &Store{dir: dir, state: state, keys: own, notify: notify, check: opts.Check, seen: map[string]look{}, marks: marks, holder: map[string]string{}, stop: make(chan struct{})}
	s.force.Store(&map[string]*Verified{})
	if err := s.Reload(); err != nil {
		return nil, errors.Join(err, unlock())
	}
	s.unlock = unlock
	every := opts.Every
	if every == 0 {
		every = 10 * time.Second
	}
	if every > 0 {
		s.done.Go(func() { s.poll(every) })
	}
	return s, nil
}

func (s *Store) poll(every time.Duration) {
	t := time.NewTicker(every)
	defer t.Stop()
	for {
		select {
		case <-s.stop:
			return
		case <-t.C:
			_ = s.Reload() // notified
		}
	}
}

// Close stops reading the directory, waits for a reload under way and lets go of
// the state file. What was in force stays so. Closing twice is harmless.
func (s *Store) Close() (err error) {
	s.once.Do(func() {
		close(s.stop)
		s.done.Wait()
		err = s.unlock()
	})
	return err
}

// Get returns the profile in force. An error wraps [ErrUnknown], or
// [ErrExpired] for one whose validity is over.
func (s *Store) Get(id string) (*Verified, error) {
	v, ok := (*s.force.Load())[id]
	if !ok {
		return nil, ErrUnknown
	}
	if err := v.Err(time.Now()); err != nil {
		return nil, err
	}
	return v, nil
}

// All returns the profiles in force, in the order of their IDs.
func (s *Store) All() []*Verified {
	force, now := *s.force.Load(), time.Now()
	var out []*Verified
	for _, id := range slices.Sorted(maps.Keys(force)) {
		if v := force[id]; v.Err(now) == nil {
			out = append(out, v)
		}
	}
	return out
}

// found is a file of the directory.
type found struct {
	name string
	body []byte
	v    *Verified
	err  error
}

// Reload reads the directory now. An error wraps [ErrStore] and says that the
// directory cannot be read, which leaves everything as it was.
func (s *Store) Reload() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	files, err := s.list()
	if err != nil {
		s.say("", nil, Change{Err: err})
		return err
	}
	next, holder, marks := maps.Clone(*s.force.Load()), maps.Clone(s.holder), maps.Clone(s.marks)
	changes := map[string]Change{}
	// The highest version first, so that an older one beside it is refused at
	// the first look as at every other.
	slices.SortStableFunc(files, func(a, b found) int { return b.version() - a.version() })
	for _, f := range files {
		c := Change{File: f.name, Err: f.err}
		if f.v != nil {
			c.ID, c.Version, c.Hash = f.v.p.ID, f.v.p.Version, f.v.hash
		}
		if c.Err == nil {
			c.Err = marks[c.ID].allows(f.v)
		}
		if c.Err == nil {
			marks[c.ID] = mark{c.Version, c.Hash}
			next[c.ID], holder[c.ID] = f.v, f.name
		}
		changes[f.name] = c
	}
	var gone []Change
	for id, name := range holder {
		kept := slices.ContainsFunc(files, func(f found) bool { return f.name == name && (f.v == nil || f.v.p.ID == id) })
		if !kept {
			v := next[id]
			gone = append(gone, Change{File: name, ID: id, Version: v.p.Version, Hash: v.hash, Err: ErrUnknown})
			delete(next, id)
			delete(holder, id)
		}
	}
	// What is remembered is durable before it is in force.
	if !maps.Equal(marks, s.marks) {
		if err := writeState(s.state, marks); err != nil {
			s.say("", nil, Change{Err: err})
			return err
		}
	}
	s.marks, s.holder = marks, holder
	s.force.Store(&next)
	maps.DeleteFunc(s.seen, func(name string, _ look) bool {
		return !slices.ContainsFunc(files, func(f found) bool { return f.name == name })
	})
	for _, f := range files {
		s.say(f.name, f.body, changes[f.name])
	}
	for _, c := range gone {
		s.notify(c)
	}
	return nil
}

func (f found) version() int {
	if f.v == nil {
		return 0
	}
	return f.v.p.Version
}

// say notifies, once for each content of a file and each thing said of it.
func (s *Store) say(name string, body []byte, c Change) {
	now := look{sha256.Sum256(body), "in force"}
	if c.Err != nil {
		now.said = c.Err.Error()
	}
	if s.seen[name] != now {
		s.seen[name] = now
		s.notify(c)
	}
}

func (s *Store) list() ([]found, error) {
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrStore, err)
	}
	var out []found
	for _, e := range entries {
		// A name that begins with a point is a file in the making.
		if !strings.HasSuffix(e.Name(), ".json") || strings.HasPrefix(e.Name(), ".") || e.IsDir() {
			continue
		}
		f := found{name: e.Name()}
		if f.body, f.err = readSmall(filepath.Join(s.dir, e.Name())); f.err == nil {
			if f.v, f.err = approved(f.body, s.keys); f.err == nil {
				f.err = f.v.Err(time.Now())
			}
			if f.err == nil && s.check != nil {
				f.err = s.check(f.v)
			}
		}
		out = append(out, f)
	}
	return out, nil
}

// readSmall reads a file of at most [MaxSize] bytes.
func readSmall(path string) ([]byte, error) {
	// A pipe must not be waited for, and what is asked of a name may be true of
	// another file by the time that it is opened.
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrStore, err)
	}
	defer f.Close()
	if st, err := f.Stat(); err != nil || !st.Mode().IsRegular() {
		return nil, fmt.Errorf("%w: not a regular file", ErrStore)
	}
	b, err := io.ReadAll(io.LimitReader(f, MaxSize+1))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrStore, err)
	}
	return b, nil
}
