package hierarchy_test

import (
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cloisterdev/cloister/kmsctx"
	"github.com/cloisterdev/cloister/kmsctx/hierarchy"
	"github.com/cloisterdev/cloister/kmsctx/kmstest"
)

func TestConformance(t *testing.T) {
	t.Parallel()
	w := testWorld(t)
	create(t, w.admin, "tn-1")
	create(t, w.admin, "tn-2")
	for name, rings := range map[string]kmstest.Rings{
		// The context names the branch key, as it should; each keyring stands for
		// one tenant, since the suite has one's context used with the other's.
		"by pair": {Ring: ring(t, w.store, only("tn-1"), nil), Other: ring(t, w.store, only("tn-2"), nil),
			Context: pairs(t, "tenant", "tn-1", "purpose", "kmstest"), OtherContext: pairs(t, "tenant", "tn-2", "purpose", "kmstest")},
		// The cryptography alone, for a supplier that always gives the same.
		"one branch key": {Ring: ring(t, w.store, always("tn-1"), &hierarchy.Options{IgnoreBoundPairs: true}),
			Other: ring(t, w.store, always("tn-2"), &hierarchy.Options{IgnoreBoundPairs: true})},
	} {
		t.Run(name, func(t *testing.T) {
			kmstest.Run(t, func(*testing.T) kmstest.Rings { return rings })
		})
	}
}

func made(t testing.TB, r *hierarchy.Keyring, ec kmsctx.Context) *kmsctx.DataKey {
	t.Helper()
	dk, err := r.GenerateDataKey(t.Context(), ec)
	if err != nil {
		t.Fatal(err)
	}
	return dk
}

// opens demands that the data key opens, and that it is the same.
func opens(t testing.TB, r *hierarchy.Keyring, ec kmsctx.Context, dk *kmsctx.DataKey) {
	t.Helper()
	got, err := r.DecryptDataKey(t.Context(), ec, dk.Encrypted)
	if err != nil || string(got.Plaintext) != string(dk.Plaintext) {
		t.Fatalf("control: %v", err)
	}
}

func closed(t testing.TB, r *hierarchy.Keyring, ec kmsctx.Context, keys []kmsctx.EncryptedDataKey, want ...error) {
	t.Helper()
	got, err := r.DecryptDataKey(t.Context(), ec, keys)
	if got != nil {
		t.Fatal("a key came out")
	}
	for _, w := range append(want, kmsctx.ErrNoMatchingKey) {
		if !errors.Is(err, w) {
			t.Errorf("%v is not %q", err, w)
		}
	}
}

func TestNewRefuses(t *testing.T) {
	t.Parallel()
	w := testWorld(t)
	by := hierarchy.ByPair("tenant")
	for name, f := range map[string]func() (*hierarchy.Keyring, error){
		"no store":        func() (*hierarchy.Keyring, error) { return hierarchy.New(nil, time.Minute, by, nil) },
		"no supplier":     func() (*hierarchy.Keyring, error) { return hierarchy.New(w.store, time.Minute, nil, nil) },
		"no time to live": func() (*hierarchy.Keyring, error) { return hierarchy.New(w.store, 0, by, nil) },
		"below a second":  func() (*hierarchy.Keyring, error) { return hierarchy.New(w.store, time.Second-1, by, nil) },
		"negative":        func() (*hierarchy.Keyring, error) { return hierarchy.New(w.store, -time.Minute, by, nil) },
		"over an hour":    func() (*hierarchy.Keyring, error) { return hierarchy.New(w.store, time.Hour+1, by, nil) },
		"negative entries": func() (*hierarchy.Keyring, error) {
			return hierarchy.New(w.store, time.Hour, by, &hierarchy.Options{MaxEntries: -1})
		},
	} {
		if r, err := f(); !errors.Is(err, kmsctx.ErrMalformed) || r != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, ttl := range []time.Duration{time.Second, time.Hour} {
		r, err := hierarchy.New(w.store, ttl, by, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Close()
	}
}

// The message names a branch key, and its owner's context is stolen with it:
// the keyring asks its supplier, which knows the caller's.
func TestOtherTenantsBranchKey(t *testing.T) {
	t.Parallel()
	w := testWorld(t)
	create(t, w.admin, "tn-1")
	create(t, w.admin, "tn-2")
	r := ring(t, w.store, hierarchy.ByPair("tenant"), nil)
	one := made(t, r, of(t, "tn-1"))
	opens(t, r, of(t, "tn-1"), one)
	closed(t, r, of(t, "tn-2"), one.Encrypted)

	// Renamed to the other tenant's, with the version that it has.
	two := made(t, r, of(t, "tn-2"))
	forged := one.Encrypted[0]
	forged.Info = []byte("tn-2")
	closed(t, r, of(t, "tn-2"), []kmsctx.EncryptedDataKey{forged}, kmsctx.ErrKeyNotFound)
	copy(forged.Ciphertext[28:44], two.Encrypted[0].Ciphertext[28:44])
	closed(t, r, of(t, "tn-2"), []kmsctx.EncryptedDataKey{forged}, kmsctx.ErrInvalidCiphertext)
	opens(t, r, of(t, "tn-2"), two)
}

// A supplier that confuses two tenants is found out by what the branch key was
// created for.
func TestConfusedSupplier(t *testing.T) {
	t.Parallel()
	w := testWorld(t)
	create(t, w.admin, "tn-1")
	confused := ring(t, w.store, always("tn-1"), nil)
	one := made(t, confused, of(t, "tn-1"))
	for name, ec := range map[string]kmsctx.Context{"another tenant": of(t, "tn-2"), "no tenant": pairs(t, "purpose", "x"), "longer": of(t, "tn-12")} {
		if dk, err := confused.GenerateDataKey(t.Context(), ec); !errors.Is(err, hierarchy.ErrForeign) || dk != nil {
			t.Errorf("%s: %v", name, err)
		}
		closed(t, confused, ec, one.Encrypted, hierarchy.ErrForeign)
	}
	opens(t, confused, of(t, "tn-1"), one)
	careless := ring(t, w.store, always("tn-1"), &hierarchy.Options{IgnoreBoundPairs: true})
	opens(t, careless, of(t, "tn-2"), made(t, careless, of(t, "tn-2")))
}

func TestSupplierNamesNone(t *testing.T) {
	t.Parallel()
	w := testWorld(t)
	create(t, w.admin, "tn-1")
	dk := made(t, ring(t, w.store, hierarchy.ByPair("tenant"), nil), of(t, "tn-1"))
	own := errors.New("unknown tenant")
	for name, s := range map[string]hierarchy.Supplier{
		"error":      func(kmsctx.Context) (string, error) { return "tn-1", own },
		"empty":      always(""),
		"newline":    always("tn-1\n"),
		"not ASCII":  always("tñ-1"),
		"other pair": hierarchy.ByPair("customization"),
	} {
		r := ring(t, w.store, s, nil)
		if got, err := r.GenerateDataKey(t.Context(), of(t, "tn-1")); !errors.Is(err, hierarchy.ErrNoBranchKey) || got != nil {
			t.Errorf("%s: %v", name, err)
		}
		closed(t, r, of(t, "tn-1"), dk.Encrypted, hierarchy.ErrNoBranchKey)
		if _, err := r.GenerateDataKey(t.Context(), of(t, "tn-1")); name == "error" && !errors.Is(err, own) {
			t.Errorf("the supplier's error is lost: %v", err)
		}
	}
}

// A version swapped for another of the same branch key, and one that is none.
func TestVersionSwapped(t *testing.T) {
	t.Parallel()
	w := testWorld(t)
	first := create(t, w.admin, "tn-1")
	r := ring(t, w.store, hierarchy.ByPair("tenant"), nil)
	old := made(t, r, of(t, "tn-1"))
	second, err := w.admin.Rotate(t.Context(), "tn-1")
	if err != nil {
		t.Fatal(err)
	}
	r.Forget("tn-1")
	fresh := made(t, r, of(t, "tn-1"))
	if string(old.Encrypted[0].Ciphertext[28:44]) != string(first[:]) || string(fresh.Encrypted[0].Ciphertext[28:44]) != string(second[:]) {
		t.Fatal("the records do not name the versions that made them")
	}
	for name, c := range map[string]struct {
		version hierarchy.Version
		want    error
	}{
		"the other": {second, kmsctx.ErrInvalidCiphertext},
		"unknown":   {hierarchy.Version{6: 0x40, 8: 0x80}, kmsctx.ErrKeyNotFound},
	} {
		k := old.Encrypted[0]
		k.Ciphertext = append([]byte(nil), k.Ciphertext...)
		copy(k.Ciphertext[28:44], c.version[:])
		t.Run(name, func(t *testing.T) { closed(t, r, of(t, "tn-1"), []kmsctx.EncryptedDataKey{k}, c.want) })
	}
	opens(t, r, of(t, "tn-1"), old)
	opens(t, r, of(t, "tn-1"), fresh)

	// What is no version 4 UUID is passed over, and the table is not asked.
	k := old.Encrypted[0]
	k.Ciphertext = append([]byte(nil), k.Ciphertext...)
	k.Ciphertext[28+6] = 0x10
	reads := w.table.reads.Load()
	closed(t, r, of(t, "tn-1"), []kmsctx.EncryptedDataKey{k})
	if w.table.reads.Load() != reads {
		t.Error("the table was asked for a version that cannot be")
	}
}

func TestDisabledKeyAfterTimeToLive(t *testing.T) {
	t.Parallel()
	w := testWorld(t)
	create(t, w.admin, "tn-1")
	synctest.Test(t, func(t *testing.T) {
		r := ring(t, w.store, hierarchy.ByPair("tenant"), nil)
		dk := made(t, r, of(t, "tn-1"))
		opens(t, r, of(t, "tn-1"), dk)
		w.disable(t, true)
		time.Sleep(time.Minute - 1)
		opens(t, r, of(t, "tn-1"), dk) // the price of a cache, and its bound
		made(t, r, of(t, "tn-1"))
		time.Sleep(time.Nanosecond)
		closed(t, r, of(t, "tn-1"), dk.Encrypted, kmsctx.ErrKeyDisabled)
		if got, err := r.GenerateDataKey(t.Context(), of(t, "tn-1")); !errors.Is(err, kmsctx.ErrKeyDisabled) || got != nil {
			t.Errorf("wrapping: %v", err)
		}
		w.disable(t, false)
		opens(t, r, of(t, "tn-1"), dk)
	})
}

// A refusal ends the life of what was opened before it, in every version.
func TestRefusalForgets(t *testing.T) {
	t.Parallel()
	w := testWorld(t)
	create(t, w.admin, "tn-1")
	synctest.Test(t, func(t *testing.T) {
		r := ring(t, w.store, hierarchy.ByPair("tenant"), nil)
		dk := made(t, r, of(t, "tn-1")) // keeps the active one
		time.Sleep(time.Second)
		w.disable(t, true)
		closed(t, r, of(t, "tn-1"), dk.Encrypted, kmsctx.ErrKeyDisabled) // a version, not kept yet
		if _, err := r.GenerateDataKey(t.Context(), of(t, "tn-1")); !errors.Is(err, kmsctx.ErrKeyDisabled) {
			t.Errorf("the active one is still used: %v", err)
		}
		w.disable(t, false)
		opens(t, r, of(t, "tn-1"), dk)
	})
}

func TestForget(t *testing.T) {
	t.Parallel()
	w := testWorld(t)
	create(t, w.admin, "tn-1")
	create(t, w.admin, "tn-2")
	r := ring(t, w.store, hierarchy.ByPair("tenant"), nil)
	one, two := made(t, r, of(t, "tn-1")), made(t, r, of(t, "tn-2"))
	opens(t, r, of(t, "tn-1"), one)
	opens(t, r, of(t, "tn-2"), two)
	w.disable(t, true)
	opens(t, r, of(t, "tn-1"), one)
	r.Forget("tn-1")
	closed(t, r, of(t, "tn-1"), one.Encrypted, kmsctx.ErrKeyDisabled)
	opens(t, r, of(t, "tn-2"), two)
	r.Close()
	closed(t, r, of(t, "tn-2"), two.Encrypted, kmsctx.ErrClosed)
	r.Close()
}

// What was under way when it was forgotten is used by nobody.
func TestForgetUnderWay(t *testing.T) {
	t.Parallel()
	w := testWorld(t)
	create(t, w.admin, "tn-1")
	synctest.Test(t, func(t *testing.T) {
		r := ring(t, w.store, hierarchy.ByPair("tenant"), nil)
		w.keys.delay = 2 * time.Second
		var wg sync.WaitGroup
		wg.Go(func() {
			if _, err := r.GenerateDataKey(t.Context(), of(t, "tn-1")); err != nil {
				t.Error(err)
			}
		})
		time.Sleep(time.Second)
		r.Forget("tn-1")
		wg.Wait()
		if n := w.keys.opened.Load(); n != 2 {
			t.Errorf("%d calls of KMS, want a second one", n)
		}
		w.keys.delay = 0
	})
}

func TestSingleFlight(t *testing.T) {
	t.Parallel()
	w := testWorld(t)
	create(t, w.admin, "tn-1")
	synctest.Test(t, func(t *testing.T) {
		w.keys.delay = time.Second
		r := ring(t, w.store, hierarchy.ByPair("tenant"), nil)
		var wg sync.WaitGroup
		got := make([]*kmsctx.DataKey, 32)
		for i := range got {
			wg.Go(func() { got[i], _ = r.GenerateDataKey(t.Context(), of(t, "tn-1")) })
		}
		wg.Wait()
		if n := w.keys.opened.Load(); n != 1 {
			t.Errorf("%d calls of KMS", n)
		}
		seen := map[string]bool{}
		for _, dk := range got {
			if dk == nil || seen[string(dk.Plaintext)] {
				t.Fatal("none, or one key twice")
			}
			seen[string(dk.Plaintext)] = true
		}
		w.keys.delay = 0
	})
}

// What KMS allowed so long ago that it may not be kept is not used either.
func TestSlowerThanTimeToLive(t *testing.T) {
	t.Parallel()
	w := testWorld(t)
	create(t, w.admin, "tn-1")
	synctest.Test(t, func(t *testing.T) {
		r := ring(t, w.store, hierarchy.ByPair("tenant"), nil)
		w.keys.delay = time.Minute
		if got, err := r.GenerateDataKey(t.Context(), of(t, "tn-1")); !errors.Is(err, kmsctx.ErrUnavailable) || got != nil {
			t.Error(err)
		}
		w.keys.delay = time.Minute - time.Second
		made(t, r, of(t, "tn-1"))
		time.Sleep(time.Second) // kept from before the call on
		n := w.keys.opened.Load()
		w.keys.delay = 0
		made(t, r, of(t, "tn-1"))
		if w.keys.opened.Load() != n+1 {
			t.Error("the age does not count from before KMS was asked")
		}
	})
}

func TestMaxEntries(t *testing.T) {
	t.Parallel()
	w := testWorld(t)
	for _, id := range []string{"tn-1", "tn-2", "tn-3"} {
		create(t, w.admin, id)
	}
	r := ring(t, w.store, hierarchy.ByPair("tenant"), &hierarchy.Options{MaxEntries: 2})
	calls := func(id string) int64 {
		before := w.keys.opened.Load()
		made(t, r, of(t, id))
		return w.keys.opened.Load() - before
	}
	for i, c := range []struct {
		id   string
		want int64
	}{{"tn-1", 1}, {"tn-2", 1}, {"tn-1", 0}, {"tn-3", 1}, {"tn-1", 0}, {"tn-2", 1}, {"tn-3", 1}} {
		if got := calls(c.id); got != c.want {
			t.Errorf("use %d of %s: %d calls", i, c.id, got)
		}
	}
}

func BenchmarkKeptBranchKey(b *testing.B) {
	w := testWorld(b)
	create(b, w.admin, "tn-1")
	r := ring(b, w.store, hierarchy.ByPair("tenant"), nil)
	ec := of(b, "tn-1")
	dk := made(b, r, ec)
	b.Run("wrap", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := r.GenerateDataKey(b.Context(), ec); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("unwrap", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := r.DecryptDataKey(b.Context(), ec, dk.Encrypted); err != nil {
				b.Fatal(err)
			}
		}
	})
}
