package kmstest_test

import (
	"bytes"
	"testing"
	"time"

	"github.com/cloisterdev/cloister/kmsctx"
	"github.com/cloisterdev/cloister/kmsctx/kmstest"
	"github.com/cloisterdev/cloister/tenant"
)

func raw(t testing.TB, name string, fill byte) *kmsctx.RawAES {
	t.Helper()
	r, err := kmsctx.NewRawAES("kmstest", name, tenant.NewSecret(bytes.Repeat([]byte{fill}, kmsctx.DataKeyLen)))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func multi(t testing.TB, rings ...kmsctx.Keyring) kmsctx.Keyring {
	t.Helper()
	m, err := kmsctx.Multi(rings[0], rings[1:]...)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestRawAES(t *testing.T) {
	t.Parallel()
	kmstest.Run(t, func(t *testing.T) kmstest.Rings {
		return kmstest.Rings{Ring: raw(t, "same", 1), Other: raw(t, "same", 2)}
	})
}

func TestMulti(t *testing.T) {
	t.Parallel()
	kmstest.Run(t, func(t *testing.T) kmstest.Rings {
		return kmstest.Rings{Ring: multi(t, raw(t, "a", 1), raw(t, "b", 2)), Other: multi(t, raw(t, "a", 3), raw(t, "b", 4))}
	})
}

type session struct{ id tenant.SessionID }

func (s session) ID() tenant.SessionID { return s.id }
func (session) Expires() time.Time     { return time.Now().Add(time.Hour) }
func (session) Err() error             { return nil }

func cached(t testing.TB, r kmsctx.Keyring) kmsctx.Keyring {
	t.Helper()
	c, err := kmsctx.NewCache(kmsctx.CachePolicy{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	k, err := c.Keyring(kmsctx.Partition{Tenant: tenant.NewID(), Key: "key", Session: session{tenant.NewSessionID()}}, r)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestCache(t *testing.T) {
	t.Parallel()
	kmstest.Run(t, func(t *testing.T) kmstest.Rings {
		return kmstest.Rings{Ring: cached(t, raw(t, "same", 1)), Other: cached(t, raw(t, "same", 2))}
	})
}
