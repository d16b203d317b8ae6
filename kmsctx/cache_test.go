package kmsctx_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cloisterdev/cloister/kmsctx"
	"github.com/cloisterdev/cloister/tenant"
)

// session is a credential of a test.
type session struct {
	id      tenant.SessionID
	expires time.Time
	mu      sync.Mutex
	err     error
}

func newSession(life time.Duration) *session {
	return &session{id: tenant.NewSessionID(), expires: time.Now().Add(life)}
}
func (s *session) ID() tenant.SessionID { return s.id }
func (s *session) Expires() time.Time   { return s.expires }
func (s *session) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}
func (s *session) end(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err = err
}

// service is a key service that counts, can be slow and can say no.
type service struct {
	kmsctx.Keyring
	generated, decrypted atomic.Int64
	delay                time.Duration
	deaf                 bool // to its context
	refuse               atomic.Pointer[error]
	handed               sync.Map // *kmsctx.DataKey, true
}

func (s *service) say(err error) { s.refuse.Store(&err) }

func (s *service) call(ctx context.Context, n *atomic.Int64, f func(ctx context.Context) (*kmsctx.DataKey, error)) (*kmsctx.DataKey, error) {
	n.Add(1)
	if s.deaf {
		ctx = context.WithoutCancel(ctx)
		time.Sleep(s.delay)
	} else if s.delay > 0 {
		select {
		case <-time.After(s.delay):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	if err := s.refuse.Load(); err != nil && *err != nil {
		return nil, *err
	}
	dk, err := f(ctx)
	if err == nil {
		s.handed.Store(dk, true)
	}
	return dk, err
}

func (s *service) GenerateDataKey(ctx context.Context, c kmsctx.Context) (*kmsctx.DataKey, error) {
	return s.call(ctx, &s.generated, func(ctx context.Context) (*kmsctx.DataKey, error) { return s.Keyring.GenerateDataKey(ctx, c) })
}

func (s *service) DecryptDataKey(ctx context.Context, c kmsctx.Context, keys []kmsctx.EncryptedDataKey) (*kmsctx.DataKey, error) {
	return s.call(ctx, &s.decrypted, func(ctx context.Context) (*kmsctx.DataKey, error) { return s.Keyring.DecryptDataKey(ctx, c, keys) })
}

func newCache(t testing.TB, p kmsctx.CachePolicy) *kmsctx.Cache {
	t.Helper()
	c, err := kmsctx.NewCache(p)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func view(t testing.TB, c *kmsctx.Cache, p kmsctx.Partition, r kmsctx.Keyring, o *kmsctx.Options) *kmsctx.Envelope {
	t.Helper()
	k, err := c.Keyring(p, r)
	if err != nil {
		t.Fatal(err)
	}
	e, err := kmsctx.New(k, o)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func partition(s kmsctx.Session) kmsctx.Partition {
	return kmsctx.Partition{Tenant: tenant.NewID(), Key: "key-1", Session: s}
}

func seal(t testing.TB, e *kmsctx.Envelope, c kmsctx.Context) []byte {
	t.Helper()
	m, err := e.Seal(context.Background(), nil, []byte("x"), c)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// open expects that m opens, or the error.
func open(t testing.TB, e *kmsctx.Envelope, m []byte, c kmsctx.Context, want error) {
	t.Helper()
	got, err := e.Open(context.Background(), nil, m, c)
	if want == nil && (err != nil || string(got) != "x") || want != nil && (!errors.Is(err, want) || got != nil) {
		t.Errorf("got %q and %v, want %v", got, err, want)
	}
}

func TestColdCacheAsksOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &service{Keyring: ring(t, 1), delay: time.Second}
		cache := newCache(t, kmsctx.CachePolicy{})
		e := view(t, cache, partition(newSession(time.Hour)), s, nil)
		c := ec(t, "tenant", "a")
		var wg sync.WaitGroup
		messages := make([][]byte, 32)
		for i := range messages {
			wg.Go(func() { messages[i] = seal(t, e, c) })
		}
		wg.Wait()
		if n := s.generated.Load(); n != 1 {
			t.Errorf("%d calls of GenerateDataKey by 32 goroutines", n)
		}
		ids := map[[32]byte]bool{}
		for _, m := range messages {
			u, err := kmsctx.InspectUnverified(m)
			if err != nil || ids[u.MessageID] {
				t.Fatal("two messages with one ID", err)
			}
			ids[u.MessageID] = true
		}
		for range 3 {
			for _, m := range messages {
				wg.Go(func() { open(t, e, m, c, nil) })
			}
		}
		wg.Wait()
		// One data key: the messages' encrypted keys are the same.
		if n := s.decrypted.Load(); n != 1 {
			t.Errorf("%d calls of DecryptDataKey by 96 goroutines", n)
		}
		if st := cache.Stats(); st.Calls != 2 || st.Entries != 2 || st.Hits+st.Misses != 128 {
			t.Errorf("%+v", st)
		}
	})
}

func TestCacheBounds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := ec(t, "tenant", "a")
		for _, tc := range []struct {
			name  string
			p     kmsctx.CachePolicy
			seals int
			size  int
			calls int64
		}{
			{"messages", kmsctx.CachePolicy{MaxMessages: 3}, 9, 1, 3},
			{"bytes", kmsctx.CachePolicy{MaxBytes: 100}, 9, 50, 5},
			{"larger than any", kmsctx.CachePolicy{MaxBytes: 100}, 4, 101, 4},
			{"control", kmsctx.CachePolicy{}, 9, 50, 1},
		} {
			s := &service{Keyring: ring(t, 1)}
			e := view(t, newCache(t, tc.p), partition(newSession(time.Hour)), s, nil)
			for range tc.seals {
				if _, err := e.Seal(t.Context(), nil, make([]byte, tc.size), c); err != nil {
					t.Fatal(err)
				}
				synctest.Wait()
			}
			if n := s.generated.Load(); n != tc.calls {
				t.Errorf("%s: %d calls, want %d", tc.name, n, tc.calls)
			}
		}
		// Streams without a bound, and callers that are no envelope, get a key
		// of their own.
		s := &service{Keyring: ring(t, 1)}
		cache := newCache(t, kmsctx.CachePolicy{})
		p := partition(newSession(time.Hour))
		e := view(t, cache, p, s, nil)
		for range 3 {
			if _, err := e.NewWriter(t.Context(), io.Discard, c); err != nil {
				t.Fatal(err)
			}
		}
		k, err := cache.Keyring(p, s)
		if err != nil {
			t.Fatal(err)
		}
		seen := map[string]bool{}
		for range 3 {
			dk, err := k.GenerateDataKey(t.Context(), c)
			if err != nil || seen[string(dk.Plaintext)] {
				t.Fatal("a data key came twice", err)
			}
			seen[string(dk.Plaintext)] = true
		}
		if n := s.generated.Load(); n != 6 {
			t.Errorf("%d calls", n)
		}
		bounded := view(t, cache, p, s, &kmsctx.Options{MaxStream: 1 << 20})
		for range 3 {
			if _, err := bounded.NewWriter(t.Context(), io.Discard, c); err != nil {
				t.Fatal(err)
			}
		}
		if n := s.generated.Load(); n != 7 {
			t.Errorf("bounded streams: %d calls", n-6)
		}
	})
}

// A disabled key stops working within MaxAge although the cache is warm, and
// at once for who invalidates.
func TestDisabledKeyWithWarmCache(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &service{Keyring: ring(t, 1)}
		cache := newCache(t, kmsctx.CachePolicy{MaxAge: time.Minute})
		e := view(t, cache, partition(newSession(time.Hour)), s, nil)
		c := ec(t, "tenant", "a")
		m := seal(t, e, c)
		open(t, e, m, c, nil)
		s.say(kmsctx.ErrKeyDisabled)
		time.Sleep(30 * time.Second)
		open(t, e, m, c, nil) // warm, as documented
		time.Sleep(30 * time.Second)
		open(t, e, m, c, kmsctx.ErrKeyDisabled)
		if _, err := e.Seal(t.Context(), nil, nil, c); !errors.Is(err, kmsctx.ErrKeyDisabled) {
			t.Errorf("seal: %v", err)
		}
		if n := cache.Stats().Entries; n != 0 {
			t.Errorf("%d keys kept", n)
		}
		s.say(nil)
		open(t, e, m, c, nil)
		s.say(kmsctx.ErrKeyDisabled)
		cache.Invalidate("another key")
		open(t, e, m, c, nil)
		cache.Invalidate("key-1")
		open(t, e, m, c, kmsctx.ErrKeyDisabled)
	})
}

// Asked ahead of need, a key service that says no ends the entry early; one
// that is only slow does not.
func TestRefreshAhead(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &service{Keyring: ring(t, 1)}
		e := view(t, newCache(t, kmsctx.CachePolicy{MaxAge: time.Minute}), partition(newSession(time.Hour)), s, nil)
		c := ec(t, "tenant", "a")
		m := seal(t, e, c)
		open(t, e, m, c, nil)
		s.delay = 5 * time.Second
		for range 20 { // a use every 3 s of more than a minute: nobody waits
			time.Sleep(3 * time.Second)
			start := time.Now()
			open(t, e, m, c, nil)
			if d := time.Since(start); d > 0 {
				t.Errorf("waited %v", d)
			}
		}
		if n := s.decrypted.Load(); n < 2 || n > 4 {
			t.Errorf("%d calls in a minute", n)
		}

		s = &service{Keyring: ring(t, 1)}
		e = view(t, newCache(t, kmsctx.CachePolicy{MaxAge: time.Minute}), partition(newSession(time.Hour)), s, nil)
		m = seal(t, e, c)
		open(t, e, m, c, nil)
		s.say(kmsctx.ErrThrottled)
		time.Sleep(55 * time.Second)
		open(t, e, m, c, nil)
		synctest.Wait()
		open(t, e, m, c, nil)
		s.say(kmsctx.ErrNotAuthorized)
		time.Sleep(3 * time.Second)
		open(t, e, m, c, nil) // starts the call that says no
		synctest.Wait()
		open(t, e, m, c, kmsctx.ErrNotAuthorized)
	})
}

func TestExpiredSessionWithWarmCache(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &service{Keyring: ring(t, 1)}
		cache := newCache(t, kmsctx.CachePolicy{MaxAge: time.Hour})
		short, ended := newSession(10*time.Second), newSession(time.Hour)
		c := ec(t, "tenant", "a")
		e1, e2 := view(t, cache, partition(short), s, nil), view(t, cache, partition(ended), s, nil)
		m1, m2 := seal(t, e1, c), seal(t, e2, c)
		open(t, e1, m1, c, nil)
		open(t, e2, m2, c, nil)
		time.Sleep(10 * time.Second)
		open(t, e1, m1, c, kmsctx.ErrSession)
		if _, err := e1.Seal(t.Context(), nil, nil, c); !errors.Is(err, kmsctx.ErrSession) {
			t.Errorf("seal: %v", err)
		}
		if _, err := e1.NewWriter(t.Context(), io.Discard, c); !errors.Is(err, kmsctx.ErrSession) {
			t.Errorf("stream: %v", err)
		}
		synctest.Wait()
		if n := cache.Stats().Entries; n != 2 {
			t.Errorf("%d entries: those of the expired session are not wiped", n)
		}
		open(t, e2, m2, c, nil)
		revoked := errors.New("revoked")
		ended.end(revoked)
		open(t, e2, m2, c, kmsctx.ErrSession)
		open(t, e2, m2, c, revoked)
		ended.end(nil)
		open(t, e2, m2, c, nil)
		calls := cache.Stats().Calls
		cache.EndSession(ended.ID())
		open(t, e2, m2, c, nil)
		if cache.Stats().Calls != calls+1 {
			t.Error("EndSession kept a key")
		}
	})
}

func TestPartitionsDoNotMeet(t *testing.T) {
	t.Parallel()
	c := ec(t, "tenant", "a")
	base := partition(newSession(time.Hour))
	for name, change := range map[string]func(p *kmsctx.Partition){
		"tenant":  func(p *kmsctx.Partition) { p.Tenant = tenant.NewID() },
		"key":     func(p *kmsctx.Partition) { p.Key = "key-2" },
		"session": func(p *kmsctx.Partition) { p.Session = newSession(time.Hour) },
	} {
		cache := newCache(t, kmsctx.CachePolicy{})
		mine, theirs := &service{Keyring: ring(t, 1)}, &service{Keyring: ring(t, 2)}
		other := base
		change(&other)
		e := view(t, cache, base, mine, nil)
		m := seal(t, e, c)
		open(t, e, m, c, nil)
		open(t, view(t, cache, other, theirs, nil), m, c, kmsctx.ErrNoMatchingKey)
		if mine.decrypted.Load() != 1 || theirs.decrypted.Load() != 1 {
			t.Errorf("another %s: the other's key service was not asked", name)
		}
		// The control: the same partition shares.
		again := &service{Keyring: ring(t, 2)}
		open(t, view(t, cache, base, again, nil), m, c, nil)
		if again.decrypted.Load() != 0 {
			t.Errorf("the same partition asked again")
		}
	}
}

// Every plaintext that the cache took from the key service is wiped in the end.
func TestCacheWipes(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(*kmsctx.Cache){
		"close": (*kmsctx.Cache).Close, "invalidate": func(c *kmsctx.Cache) { c.Invalidate("key-1") },
		"evict": func(*kmsctx.Cache) {},
	} {
		s := &service{Keyring: ring(t, 1)}
		p := kmsctx.CachePolicy{}
		if name == "evict" {
			p.MaxEntries = 1
		}
		cache := newCache(t, p)
		e := view(t, cache, partition(newSession(time.Hour)), s, nil)
		var held [][]byte
		for _, v := range []string{"a", "b"} {
			c := ec(t, "tenant", v)
			open(t, e, seal(t, e, c), c, nil)
		}
		s.handed.Range(func(k, _ any) bool { held = append(held, k.(*kmsctx.DataKey).Plaintext); return true })
		end(cache)
		alive := 0
		for _, b := range held {
			if !bytes.Equal(b, make([]byte, len(b))) {
				alive++
			}
		}
		if want := p.MaxEntries; alive != want || len(held) != 4 {
			t.Errorf("%s: %d of %d keys are not wiped", name, alive, len(held))
		}
		if name == "close" {
			if _, err := e.Seal(t.Context(), nil, nil, ec(t, "tenant", "a")); !errors.Is(err, kmsctx.ErrClosed) {
				t.Errorf("after Close: %v", err)
			}
		}
	}
}

// The caller that began a call may leave; those who wait do not notice, and
// when all have left the call ends.
func TestWaitersDoNotDependOnEachOther(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &service{Keyring: ring(t, 1), delay: 10 * time.Second}
		cache := newCache(t, kmsctx.CachePolicy{})
		e := view(t, cache, partition(newSession(time.Hour)), s, nil)
		c := ec(t, "tenant", "a")
		ctx, cancel := context.WithCancel(t.Context())
		first := make(chan error, 1)
		go func() {
			_, err := e.Seal(ctx, nil, nil, c)
			first <- err
		}()
		synctest.Wait()
		second := make(chan error, 1)
		go func() {
			_, err := e.Seal(t.Context(), nil, nil, c)
			second <- err
		}()
		synctest.Wait()
		start := time.Now()
		cancel()
		if err := <-first; !errors.Is(err, context.Canceled) || time.Since(start) > 0 {
			t.Errorf("the first: %v", err)
		}
		if err := <-second; err != nil || s.generated.Load() != 1 {
			t.Errorf("the second: %v, %d calls", err, s.generated.Load())
		}
		cache.Invalidate("key-1")
		ctx, cancel = context.WithCancel(t.Context())
		go func() {
			_, err := e.Seal(ctx, nil, nil, c)
			first <- err
		}()
		synctest.Wait()
		cancel()
		<-first
		// A new caller does not wait for the one that was given up.
		if _, err := e.Seal(t.Context(), nil, nil, c); err != nil || s.generated.Load() != 3 {
			t.Errorf("afterwards: %v, %d calls", err, s.generated.Load())
		}
	})
}

// What was under way when a key was invalidated is handed to nobody.
func TestInvalidateDuringACall(t *testing.T) {
	t.Parallel()
	for _, deaf := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			s := &service{Keyring: ring(t, 1), delay: 10 * time.Second, deaf: deaf}
			cache := newCache(t, kmsctx.CachePolicy{})
			e := view(t, cache, partition(newSession(time.Hour)), s, nil)
			c := ec(t, "tenant", "a")
			done := make(chan []byte, 1)
			go func() {
				m, err := e.Seal(t.Context(), nil, []byte("x"), c)
				if err != nil {
					t.Error(err)
				}
				done <- m
			}()
			synctest.Wait()
			time.Sleep(5 * time.Second)
			cache.Invalidate("key-1")
			m := <-done
			if n := s.generated.Load(); n != 2 {
				t.Errorf("%d calls", n)
			}
			if n := cache.Stats().Entries; n != 1 {
				t.Errorf("%d entries", n)
			}
			// Whatever answer comes late, the key in use is the second one.
			time.Sleep(time.Minute / 2)
			first, err1 := kmsctx.InspectUnverified(m)
			again, err2 := kmsctx.InspectUnverified(seal(t, e, c))
			if err := errors.Join(err1, err2); err != nil || !bytes.Equal(first.Keys[0].Ciphertext, again.Keys[0].Ciphertext) {
				t.Errorf("another key: %v", err)
			}
		})
	}
}

func TestCacheRefusals(t *testing.T) {
	t.Parallel()
	for name, p := range map[string]kmsctx.CachePolicy{
		"MaxAge": {MaxAge: -1}, "MaxAge of": {MaxAge: time.Hour + 1}, "MaxMessages": {MaxMessages: -1}, "MaxMessages of": {MaxMessages: 1<<32 + 1},
		"MaxBytes": {MaxBytes: -1}, "MaxEntries": {MaxEntries: -1},
	} {
		if c, err := kmsctx.NewCache(p); !errors.Is(err, kmsctx.ErrLimit) || c != nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
	good := partition(newSession(time.Hour))
	cache, r := newCache(t, kmsctx.CachePolicy{}), ring(t, 1)
	for name, change := range map[string]func(p *kmsctx.Partition){
		"no tenant": func(p *kmsctx.Partition) { p.Tenant = tenant.ID{} }, "no key": func(p *kmsctx.Partition) { p.Key = "" },
		"no session": func(p *kmsctx.Partition) { p.Session = nil }, "no session ID": func(p *kmsctx.Partition) { p.Session = &session{} },
	} {
		p := good
		change(&p)
		if k, err := cache.Keyring(p, r); !errors.Is(err, kmsctx.ErrMalformed) || k != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if k, err := cache.Keyring(good, nil); !errors.Is(err, kmsctx.ErrMalformed) || k != nil {
		t.Errorf("no keyring: %v", err)
	}
}
