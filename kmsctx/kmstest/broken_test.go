package kmstest_test

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/cloisterdev/cloister/kmsctx"
	"github.com/cloisterdev/cloister/kmsctx/kmstest"
)

// broken is a good keyring with one fault.
type broken struct {
	*kmsctx.RawAES
	generate func(ctx context.Context, r *kmsctx.RawAES, c kmsctx.Context) (*kmsctx.DataKey, error)
	decrypt  func(ctx context.Context, r *kmsctx.RawAES, c kmsctx.Context, keys []kmsctx.EncryptedDataKey) (*kmsctx.DataKey, error)
	wrap     func(ctx context.Context, r *kmsctx.RawAES, c kmsctx.Context, plain []byte) ([]kmsctx.EncryptedDataKey, error)
}

func (b *broken) GenerateDataKey(ctx context.Context, c kmsctx.Context) (*kmsctx.DataKey, error) {
	if b.generate != nil {
		return b.generate(ctx, b.RawAES, c)
	}
	return b.RawAES.GenerateDataKey(ctx, c)
}

func (b *broken) DecryptDataKey(ctx context.Context, c kmsctx.Context, keys []kmsctx.EncryptedDataKey) (*kmsctx.DataKey, error) {
	if b.decrypt != nil {
		return b.decrypt(ctx, b.RawAES, c, keys)
	}
	return b.RawAES.DecryptDataKey(ctx, c, keys)
}

func (b *broken) WrapDataKey(ctx context.Context, c kmsctx.Context, plain []byte) ([]kmsctx.EncryptedDataKey, error) {
	if b.wrap != nil {
		return b.wrap(ctx, b.RawAES, c, plain)
	}
	return b.RawAES.WrapDataKey(ctx, c, plain)
}

// under makes a keyring that uses another context than it was given.
func under(change func(m map[string]string) map[string]string) func() *broken {
	other := func(c kmsctx.Context) kmsctx.Context {
		if c.IsZero() {
			return c
		}
		o, err := kmsctx.ForeignContext(change(c.Pairs()))
		if err != nil {
			panic(err)
		}
		return o
	}
	return func() *broken {
		return &broken{
			generate: func(ctx context.Context, r *kmsctx.RawAES, c kmsctx.Context) (*kmsctx.DataKey, error) {
				return r.GenerateDataKey(ctx, other(c))
			},
			decrypt: func(ctx context.Context, r *kmsctx.RawAES, c kmsctx.Context, keys []kmsctx.EncryptedDataKey) (*kmsctx.DataKey, error) {
				return r.DecryptDataKey(ctx, other(c), keys)
			},
			wrap: func(ctx context.Context, r *kmsctx.RawAES, c kmsctx.Context, plain []byte) ([]kmsctx.EncryptedDataKey, error) {
				return r.WrapDataKey(ctx, other(c), plain)
			},
		}
	}
}

func decrypting(f func(ctx context.Context, r *kmsctx.RawAES, c kmsctx.Context, keys []kmsctx.EncryptedDataKey) (*kmsctx.DataKey, error)) func() *broken {
	return func() *broken { return &broken{decrypt: f} }
}

// changing makes a keyring whose encrypted keys look otherwise outside.
func changing(seal, open func(k *kmsctx.EncryptedDataKey)) func() *broken {
	return func() *broken {
		return &broken{
			generate: func(ctx ctxT, r rawT, c ecT) (dataT, error) {
				dk, err := r.GenerateDataKey(ctx, c)
				if err == nil {
					seal(&dk.Encrypted[0])
				}
				return dk, err
			},
			decrypt: func(ctx ctxT, r rawT, c ecT, keys edkT) (dataT, error) {
				keys = slices.Clone(keys)
				for i := range keys {
					open(&keys[i])
				}
				return r.DecryptDataKey(ctx, c, keys)
			},
		}
	}
}

func wrapping(f func(ctx ctxT, r rawT, c ecT, plain []byte) (edkT, error)) func() *broken {
	return func() *broken { return &broken{wrap: f} }
}

func forNobody(_ ctxT, c ecT, _ []byte) bool { return c.IsZero() }
func gone(ctx ctxT, _ ecT, _ []byte) bool    { return ctx.Err() != nil }
func short(_ ctxT, _ ecT, plain []byte) bool { return len(plain) == kmsctx.DataKeyLen-1 }

// wrapsBeside makes a keyring that refuses, and wraps all the same.
func wrapsBeside(when func(ctxT, ecT, []byte) bool) func() *broken {
	return wrapping(func(ctx ctxT, r rawT, c ecT, plain []byte) (edkT, error) {
		keys, err := r.WrapDataKey(ctx, c, plain)
		if when(ctx, c, plain) {
			keys = edkT{{Provider: "kmstest", Ciphertext: plain}}
		}
		return keys, err
	})
}

// refusesWithNothing makes a keyring whose refusal is no error.
func refusesWithNothing(when func(ctxT, ecT, []byte) bool) func() *broken {
	return wrapping(func(ctx ctxT, r rawT, c ecT, plain []byte) (edkT, error) {
		if when(ctx, c, plain) {
			return nil, nil
		}
		return r.WrapDataKey(ctx, c, plain)
	})
}

// wrapsOf makes a keyring that wraps keys of n bytes too.
func wrapsOf(n int) func() *broken {
	return wrapping(func(ctx ctxT, r rawT, c ecT, plain []byte) (edkT, error) {
		if len(plain) == n {
			plain = append(bytes.Clone(plain), make([]byte, kmsctx.DataKeyLen)...)[:kmsctx.DataKeyLen]
		}
		return r.WrapDataKey(ctx, c, plain)
	})
}

func generating(f func(ctx context.Context, r *kmsctx.RawAES, c kmsctx.Context) (*kmsctx.DataKey, error)) func() *broken {
	return func() *broken { return &broken{generate: f} }
}

func opensOnce() *broken {
	var used sync.Map
	return &broken{decrypt: func(ctx ctxT, r rawT, c ecT, keys edkT) (dataT, error) {
		dk, err := r.DecryptDataKey(ctx, c, keys)
		if err != nil {
			return nil, err
		}
		if _, again := used.LoadOrStore(string(dk.Plaintext), true); again {
			return nil, kmsctx.ErrNoMatchingKey
		}
		return dk, nil
	}}
}

type (
	ctxT  = context.Context
	rawT  = *kmsctx.RawAES
	ecT   = kmsctx.Context
	edkT  = []kmsctx.EncryptedDataKey
	dataT = *kmsctx.DataKey
)

// The control: the same wrapping without a fault passes, and so does a call
// outside of a test.
func TestSoundKeyringPasses(t *testing.T) {
	t.Parallel()
	type noWrapper struct{ kmsctx.Keyring }
	a, b := &broken{RawAES: raw(t, "same", 1)}, &broken{RawAES: raw(t, "same", 2)}
	for _, r := range []kmstest.Rings{{Ring: a, Other: b}, {Ring: noWrapper{a}, Other: noWrapper{b}}} {
		if err := kmstest.Check(t.Context(), func() (kmstest.Rings, error) { return r, nil }); err != nil {
			t.Errorf("%T: %v", r.Ring, err)
		}
	}
}

func TestCheckRefuses(t *testing.T) {
	t.Parallel()
	for _, r := range []kmstest.Rings{{Ring: raw(t, "a", 1)}, {Other: raw(t, "a", 1)}} {
		if err := kmstest.Check(t.Context(), func() (kmstest.Rings, error) { return r, nil }); err == nil || !strings.Contains(err.Error(), "Ring and Other") {
			t.Errorf("a suite with one keyring: %v", err)
		}
	}
	down := errors.New("down")
	if err := kmstest.Check(t.Context(), func() (kmstest.Rings, error) { return kmstest.Rings{}, down }); !errors.Is(err, down) {
		t.Errorf("got %v", err)
	}
}
