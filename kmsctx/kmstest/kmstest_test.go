package kmstest_test

import (
	"bytes"
	"testing"

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
