package localsts_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"reflect"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cloisterdev/cloister/fas/localsts"
)

// earlier is a set that was made before the fixed clock of these tests.
func earlier() localsts.Keys {
	k := localsts.NewKeys()
	k.Set[0].From = now.Add(-time.Hour)
	return k
}

func rotate(t testing.TB, k localsts.Keys, at, from time.Time) localsts.Keys {
	t.Helper()
	next, err := k.Rotate(at, from)
	if err != nil {
		t.Fatal(err)
	}
	return next
}

// by is an ordinary token of one pair, at a time.
func by(t testing.TB, p localsts.KeyPair, at time.Time) (key, token string) {
	t.Helper()
	c, key := claims()
	c["exp"] = at.Add(10 * time.Minute).Unix()
	b, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	return key, seal(p.Seed, b)
}

func TestRotateRefuses(t *testing.T) {
	t.Parallel()
	k := rotate(t, earlier(), now, now.Add(time.Minute))
	for name, c := range map[string]struct {
		keys     localsts.Keys
		at, from time.Time
	}{
		"nothing":                         {localsts.Keys{}, now, now.Add(time.Minute)},
		"a pair that begins in the past":  {k, now.Add(time.Hour), now.Add(time.Hour - time.Second)},
		"a pair that begins with another": {k, now, now.Add(time.Minute)},
		"a pair that begins before it":    {k, now, now.Add(time.Second)},
		"a pair without a beginning":      {k, now, time.Time{}},
	} {
		if next, err := c.keys.Rotate(c.at, c.from); !errors.Is(err, localsts.ErrConfig) || next.Version != 0 || next.Set != nil {
			t.Errorf("%s: version %d, %v", name, next.Version, err)
		}
	}
	for i := range 14 {
		k = rotate(t, k, now, now.Add(time.Duration(i+2)*time.Minute))
	}
	if _, err := k.Rotate(now, now.Add(time.Hour)); !errors.Is(err, localsts.ErrConfig) {
		t.Errorf("a 17th pair: %v", err)
	}
	if k = rotate(t, k, now.Add(time.Hour), now.Add(time.Hour)); len(k.Set) != 2 || k.Version != 17 {
		t.Errorf("version %d with %d pairs", k.Version, len(k.Set))
	}
}

// Written and read again, a set is the same, and makes the same sessions.
func TestKeysAreKept(t *testing.T) {
	t.Parallel()
	k := rotate(t, earlier(), now, now.Add(time.Minute))
	b, err := json.Marshal(k)
	if err != nil {
		t.Fatal(err)
	}
	var again localsts.Keys
	if err := json.Unmarshal(b, &again); err != nil || !reflect.DeepEqual(k, again) || !again.Since().Equal(now.Add(time.Minute)) {
		t.Errorf("%v", err)
	}
	if since := localsts.NewKeys().Since(); time.Since(since) > time.Minute || !(localsts.Keys{}).Since().IsZero() {
		t.Error(since)
	}
}

// Before, during and after the change of keys, every session that was made
// verifies until it is over, and none after its key is retired.
func TestRotationHasNoGap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		first, begin := localsts.NewKeys(), time.Now().UTC()
		from := begin.Add(time.Minute)
		second := rotate(t, first, begin, from)
		old, next := second.Set[0], second.Set[1]
		if !bytes.Equal(old.Seed, first.Set[0].Seed) || !old.Until.Equal(from.Add(16*time.Minute)) || !next.From.Equal(from) || !next.Until.IsZero() || second.Version != 2 {
			t.Fatalf("%+v", second)
		}
		material := func(k localsts.Keys) localsts.Material {
			t.Helper()
			a, err := localsts.NewAuthority(k)
			if err != nil {
				t.Fatal(err)
			}
			return a.Material()
		}
		v, err := localsts.NewVerifier(material(first))
		if err != nil {
			t.Fatal(err)
		}
		check := func(p localsts.KeyPair, want error) {
			t.Helper()
			key, token := by(t, p, time.Now())
			if c, _, err := v.Lookup(key, token, time.Now()); !errors.Is(err, want) || (c == nil) == (want == nil) {
				t.Errorf("after %s: %v", time.Since(begin), err)
			}
		}
		check(old, nil)
		check(next, localsts.ErrUnknownKey)
		if err := v.Update(material(second)); err != nil {
			t.Fatal(err)
		}
		for _, at := range []time.Duration{0, 59 * time.Second, time.Minute, 17*time.Minute - time.Second} {
			time.Sleep(time.Until(begin.Add(at)))
			check(old, nil)
			check(next, nil)
		}
		time.Sleep(time.Second)
		check(old, localsts.ErrUnknownKey)
		check(next, nil)
		check(localsts.NewKeys().Set[0], localsts.ErrUnknownKey)

		// The verifier never goes back, and keeps to its audience.
		elsewhere := material(second)
		elsewhere.Audience, elsewhere.Version = "archive", 9
		for name, m := range map[string]localsts.Material{"earlier": material(first), "of another audience": elsewhere, "nothing": {}} {
			if err := v.Update(m); !errors.Is(err, localsts.ErrConfig) {
				t.Errorf("material that is %s: %v", name, err)
			}
		}
		check(next, nil)
		if m := material(second); len(m.Keys) != 1 {
			t.Errorf("a retired key is still given out: %d keys", len(m.Keys))
		}
		// A pair that was seen by somebody else ends at once.
		if err := v.Update(material(second.Renew())); err != nil {
			t.Fatal(err)
		}
		check(next, localsts.ErrUnknownKey)
	})
}

func TestAuthorityUsesLaterSetsOnly(t *testing.T) {
	t.Parallel()
	first := localsts.NewKeys()
	second := rotate(t, first, time.Now(), time.Now().Add(time.Minute))
	a, err := localsts.NewAuthority(first)
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Use(second); err != nil || a.Material().Version != 2 || len(a.Material().Keys) != 2 {
		t.Errorf("%v, %+v", err, a.Material())
	}
	for name, k := range map[string]localsts.Keys{"nothing": {}, "an earlier set": first, "the same again": second} {
		if err := a.Use(k); !errors.Is(err, localsts.ErrConfig) || a.Material().Version != 2 {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A follower hears of new keys by itself, from a source that it does not ask
// too often, and does not believe old news for ever.
func TestFollower(t *testing.T) {
	if f, err := localsts.Follow(nil); !errors.Is(err, localsts.ErrConfig) || f != nil {
		t.Error(err)
	}
	broken := errors.New("broken")
	if f, err := localsts.Follow(func() (localsts.Material, error) { return localsts.Material{}, broken }); !errors.Is(err, broken) || f != nil {
		t.Error(err)
	}
	if f, err := localsts.Follow(func() (localsts.Material, error) { return localsts.Material{}, nil }); !errors.Is(err, localsts.ErrConfig) || f != nil {
		t.Error(err)
	}
	synctest.Test(t, func(t *testing.T) {
		keys := localsts.NewKeys()
		a, err := localsts.NewAuthority(keys)
		if err != nil {
			t.Fatal(err)
		}
		var fail error
		asked := 0
		f, err := localsts.Follow(func() (localsts.Material, error) { asked++; return a.Material(), fail })
		if err != nil {
			t.Fatal(err)
		}
		check := func(p localsts.KeyPair, want error) {
			t.Helper()
			key, token := by(t, p, time.Now())
			if c, _, err := f.Lookup(key, token, time.Now()); !errors.Is(err, want) || (c == nil) == (want == nil) {
				t.Errorf("%v", err)
			}
		}
		old := keys.Set[0]
		for range 100 {
			check(localsts.NewKeys().Set[0], localsts.ErrUnknownKey)
			check(old, nil)
		}
		if asked != 1 {
			t.Errorf("%d questions within a second", asked)
		}
		time.Sleep(2 * time.Second)
		keys = rotate(t, keys, time.Now(), time.Now())
		if err := a.Use(keys); err != nil {
			t.Fatal(err)
		}
		check(keys.Set[1], nil) // of which the follower had not heard
		check(old, nil)
		if asked != 2 {
			t.Errorf("%d questions for a new key", asked)
		}
		time.Sleep(16 * time.Minute)
		check(old, localsts.ErrUnknownKey)
		check(keys.Set[1], nil)

		// A key that is taken back is refused within ten seconds.
		keys = keys.Renew()
		if err := a.Use(keys); err != nil {
			t.Fatal(err)
		}
		time.Sleep(11 * time.Second)
		check(rotate(t, keys, time.Now(), time.Now()).Set[1], localsts.ErrUnknownKey)
		check(keys.Set[0], nil)

		// While nothing is heard, what was heard last counts for a while.
		fail = broken
		time.Sleep(15 * time.Minute)
		check(keys.Set[0], nil)
		time.Sleep(time.Minute)
		check(keys.Set[0], localsts.ErrToken)
		fail = nil
		time.Sleep(11 * time.Second)
		check(keys.Set[0], nil)
	})
}

// Sessions verify in one goroutine while keys change in another.
func TestRotationIsConcurrent(t *testing.T) {
	t.Parallel()
	keys := localsts.NewKeys()
	a, err := localsts.NewAuthority(keys)
	if err != nil {
		t.Fatal(err)
	}
	v, err := localsts.NewVerifier(a.Material())
	if err != nil {
		t.Fatal(err)
	}
	key, token := by(t, keys.Set[0], time.Now())
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 50 {
				if _, _, err := v.Lookup(key, token, time.Now()); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for i := range 10 {
		keys = rotate(t, keys, time.Now(), time.Now().Add(time.Duration(i+1)*time.Second))
		if err := errors.Join(a.Use(keys), v.Update(a.Material())); err != nil {
			t.Error(err)
		}
	}
	wg.Wait()
}

// What is accepted is, character for character, a token of the set, under the
// name of the key that made it.
func FuzzLookupAfterRotation(f *testing.F) {
	k := rotate(f, earlier(), now, now.Add(time.Minute))
	a, err := localsts.NewAuthority(k)
	if err != nil {
		f.Fatal(err)
	}
	m := a.Material()
	if len(m.Keys) != 1 {
		f.Fatal("the fixed clock is not in the past")
	}
	v, err := localsts.NewVerifier(m)
	if err != nil {
		f.Fatal(err)
	}
	key, good := by(f, k.Set[1], now)
	_, retired := by(f, k.Set[0], now)
	for _, s := range []string{good, retired, good + ".", "2...", "2.", "", "2." + kid(k.Set[1].Seed) + ".e30.c2ln"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, token string) {
		c, secret, err := v.Lookup(key, token, now)
		if (err == nil) != (token == good) || (c == nil) != (err != nil) {
			t.Fatalf("%q: %v", token, err)
		}
		if err != nil && (!errors.Is(err, localsts.ErrToken) || secret.Equal(nil)) {
			t.Fatal(err)
		}
	})
}
