package kmstest_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"runtime"
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

func generating(f func(ctx context.Context, r *kmsctx.RawAES, c kmsctx.Context) (*kmsctx.DataKey, error)) func() *broken {
	return func() *broken { return &broken{generate: f} }
}

func lower(m map[string]string) map[string]string {
	out := map[string]string{}
	for k, v := range m {
		out[strings.ToLower(k)] = strings.ToLower(v)
	}
	return out
}

type (
	ctxT  = context.Context
	rawT  = *kmsctx.RawAES
	ecT   = kmsctx.Context
	edkT  = []kmsctx.EncryptedDataKey
	dataT = *kmsctx.DataKey
)

// Each is a way to get a keyring wrong; the named check must say so.
var faults = []struct {
	name  string
	check string
	make  func() *broken
}{
	{"forgets the context", "ContextExact", under(func(map[string]string) map[string]string { return nil })},
	{"compares without case", "ContextExact", under(lower)},
	{"joins pairs without lengths", "ContextExact", under(func(m map[string]string) map[string]string {
		s := ""
		for _, k := range slices.Sorted(maps.Keys(m)) {
			s += k + m[k]
		}
		return map[string]string{"all": s}
	})},
	{"binds keys and not values", "ContextExact", under(func(m map[string]string) map[string]string {
		for k := range m {
			m[k] = ""
		}
		return m
	})},
	{"binds the tenant only", "ContextExact", under(func(m map[string]string) map[string]string {
		return map[string]string{"tenant": m["tenant"]}
	})},
	{"answers without a context", "ZeroContext", decrypting(func(ctx ctxT, r rawT, c ecT, keys edkT) (dataT, error) {
		if c.IsZero() {
			return &kmsctx.DataKey{Plaintext: make([]byte, kmsctx.DataKeyLen)}, nil
		}
		return r.DecryptDataKey(ctx, c, keys)
	})},
	{"makes keys without a context", "ZeroContext", generating(func(ctx ctxT, r rawT, c ecT) (dataT, error) {
		if c.IsZero() {
			c, _ = kmsctx.ForeignContext(nil)
		}
		return r.GenerateDataKey(ctx, c)
	})},
	{"returns a key beside the refusal", "ContextExact", decrypting(func(ctx ctxT, r rawT, c ecT, keys edkT) (dataT, error) {
		dk, err := r.DecryptDataKey(ctx, c, keys)
		if err != nil {
			dk = &kmsctx.DataKey{Plaintext: make([]byte, kmsctx.DataKeyLen)}
		}
		return dk, err
	})},
	{"returns nothing and no error", "NothingToOpen", decrypting(func(ctx ctxT, r rawT, c ecT, keys edkT) (dataT, error) {
		if dk, err := r.DecryptDataKey(ctx, c, keys); err == nil || c.IsZero() || ctx.Err() != nil {
			return dk, err
		}
		return nil, nil
	})},
	{"refuses with an error of its own", "ContextExact", decrypting(func(ctx ctxT, r rawT, c ecT, keys edkT) (dataT, error) {
		dk, err := r.DecryptDataKey(ctx, c, keys)
		if errors.Is(err, kmsctx.ErrNoMatchingKey) {
			err = errors.New("no")
		}
		return dk, err
	})},
	{"looks at the first encrypted key only", "ForeignKeysPassedOver", decrypting(func(ctx ctxT, r rawT, c ecT, keys edkT) (dataT, error) {
		return r.DecryptDataKey(ctx, c, keys[:min(1, len(keys))])
	})},
	{"gives up at a foreign key", "ForeignKeysPassedOver", decrypting(func(ctx ctxT, r rawT, c ecT, keys edkT) (dataT, error) {
		for i := range keys {
			if _, err := r.DecryptDataKey(ctx, c, keys[i:i+1]); err != nil {
				return nil, err
			}
		}
		return r.DecryptDataKey(ctx, c, keys)
	})},
	{"always the same key", "FreshKeys", generating(func(ctx ctxT, r rawT, c ecT) (dataT, error) {
		plain := bytes.Repeat([]byte{9}, kmsctx.DataKeyLen)
		keys, err := r.WrapDataKey(ctx, c, plain)
		if err != nil {
			return nil, err
		}
		return &kmsctx.DataKey{Plaintext: plain, Encrypted: keys}, nil
	})},
	{"wraps another key than it returns", "RoundTrip", generating(func(ctx ctxT, r rawT, c ecT) (dataT, error) {
		dk, err := r.GenerateDataKey(ctx, c)
		if err == nil {
			dk.Plaintext[0] ^= 1
		}
		return dk, err
	})},
	{"keeps the key in its info", "RoundTrip", func() *broken {
		return &broken{
			generate: func(ctx ctxT, r rawT, c ecT) (dataT, error) {
				dk, err := r.GenerateDataKey(ctx, c)
				if err == nil {
					dk.Encrypted[0].Info = append(dk.Encrypted[0].Info, dk.Plaintext...)
				}
				return dk, err
			},
			decrypt: func(ctx ctxT, r rawT, c ecT, keys edkT) (dataT, error) {
				keys = slices.Clone(keys)
				for i := range keys {
					keys[i].Info = keys[i].Info[:max(0, len(keys[i].Info)-kmsctx.DataKeyLen)]
				}
				return r.DecryptDataKey(ctx, c, keys)
			},
		}
	}},
	{"opens once", "RoundTrip", func() *broken {
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
	}},
	{"makes a short key", "RoundTrip", generating(func(ctx ctxT, r rawT, c ecT) (dataT, error) {
		dk, err := r.GenerateDataKey(ctx, c)
		if err == nil {
			dk.Plaintext = dk.Plaintext[:16]
		}
		return dk, err
	})},
	{"does not authenticate", "EveryBitCounts", func() *broken {
		// A stream cipher without a tag: a flipped bit opens to another key.
		pad := bytes.Repeat([]byte{0x33}, kmsctx.DataKeyLen)
		xor := func(b []byte) []byte {
			out := bytes.Clone(b)
			for i := range out {
				out[i] ^= pad[i%len(pad)]
			}
			return out
		}
		return &broken{
			generate: func(ctx ctxT, r rawT, c ecT) (dataT, error) {
				dk, err := r.GenerateDataKey(ctx, c)
				if err != nil {
					return nil, err
				}
				dk.Encrypted = edkT{{Provider: "xor", Info: c.Canonical(), Ciphertext: xor(dk.Plaintext)}}
				return dk, nil
			},
			decrypt: func(ctx ctxT, r rawT, c ecT, keys edkT) (dataT, error) {
				if err := errors.Join(ctx.Err()); err != nil {
					return nil, err
				}
				for _, k := range keys {
					if k.Provider == "xor" && bytes.Equal(k.Info, c.Canonical()) && len(k.Ciphertext) == kmsctx.DataKeyLen {
						return &kmsctx.DataKey{Plaintext: xor(k.Ciphertext)}, nil
					}
				}
				return r.DecryptDataKey(ctx, c, keys)
			},
		}
	}},
	{"does not look at the provider", "EveryBitCounts", decrypting(func(ctx ctxT, r rawT, c ecT, keys edkT) (dataT, error) {
		keys = slices.Clone(keys)
		for i := range keys {
			keys[i].Provider = "kmstest"
		}
		return r.DecryptDataKey(ctx, c, keys)
	})},
	{"reads what it needs and no more", "Lengths", decrypting(func(ctx ctxT, r rawT, c ecT, keys edkT) (dataT, error) {
		keys = slices.Clone(keys)
		for i := range keys {
			keys[i].Ciphertext = keys[i].Ciphertext[:min(48, len(keys[i].Ciphertext))]
		}
		return r.DecryptDataKey(ctx, c, keys)
	})},
	{"makes keys for who has gone", "Cancelled", generating(func(_ ctxT, r rawT, c ecT) (dataT, error) {
		return r.GenerateDataKey(context.Background(), c)
	})},
	{"opens keys for who has gone", "Cancelled", decrypting(func(_ ctxT, r rawT, c ecT, keys edkT) (dataT, error) {
		return r.DecryptDataKey(context.Background(), c, keys)
	})},
	{"hands out its own copy", "PrivateCopies", func() *broken {
		var kept sync.Map
		return &broken{decrypt: func(ctx ctxT, r rawT, c ecT, keys edkT) (dataT, error) {
			dk, err := r.DecryptDataKey(ctx, c, keys)
			if err != nil {
				return nil, err
			}
			plain, _ := kept.LoadOrStore(string(dk.Plaintext), dk.Plaintext)
			return &kmsctx.DataKey{Plaintext: plain.([]byte)}, nil
		}}
	}},
	{"decrypts in place", "InputUntouched", decrypting(func(ctx ctxT, r rawT, c ecT, keys edkT) (dataT, error) {
		dk, err := r.DecryptDataKey(ctx, c, keys)
		if err != nil {
			return nil, err
		}
		for i := range keys {
			copy(keys[i].Ciphertext, dk.Plaintext)
		}
		return dk, nil
	})},
	{"one buffer for all", "Concurrent", func() *broken {
		var mu sync.Mutex
		var buffer []byte
		return &broken{decrypt: func(ctx ctxT, r rawT, c ecT, keys edkT) (dataT, error) {
			dk, err := r.DecryptDataKey(ctx, c, keys)
			if err != nil {
				return nil, err
			}
			mu.Lock()
			buffer = bytes.Clone(dk.Plaintext)
			mu.Unlock()
			for range 100 {
				runtime.Gosched()
			}
			mu.Lock()
			defer mu.Unlock()
			return &kmsctx.DataKey{Plaintext: bytes.Clone(buffer)}, nil
		}}
	}},
	{"says what it was asked", "ErrorsTellNothing", decrypting(func(ctx ctxT, r rawT, c ecT, keys edkT) (dataT, error) {
		dk, err := r.DecryptDataKey(ctx, c, keys)
		if err != nil {
			err = fmt.Errorf("%w under %v", err, c.Pairs())
		}
		return dk, err
	})},
	{"wraps without the context", "Wrapper", func() *broken {
		return &broken{wrap: func(ctx ctxT, r rawT, c ecT, plain []byte) (edkT, error) {
			other, _ := kmsctx.ForeignContext(nil)
			return r.WrapDataKey(ctx, other, plain)
		}}
	}},
	{"wipes what it was lent", "Wrapper", func() *broken {
		return &broken{wrap: func(ctx ctxT, r rawT, c ecT, plain []byte) (edkT, error) {
			defer clear(plain)
			return r.WrapDataKey(ctx, c, plain)
		}}
	}},
}

func TestBrokenKeyringsFail(t *testing.T) {
	t.Parallel()
	if len(faults) < 12 {
		t.Fatalf("only %d faults", len(faults))
	}
	named := map[string]bool{}
	for _, f := range faults {
		named[f.check] = true
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			err := kmstest.Check(t.Context(), func() (kmstest.Rings, error) {
				a, b := f.make(), f.make()
				a.RawAES, b.RawAES = raw(t, "same", 1), raw(t, "same", 2)
				return kmstest.Rings{Ring: a, Other: b}, nil
			})
			if err == nil || !strings.Contains("\n"+err.Error(), "\n"+f.check+": ") {
				t.Errorf("%s did not fail: %v", f.check, err)
			}
		})
	}
	t.Run("two tenants, one key", func(t *testing.T) {
		err := kmstest.Check(t.Context(), func() (kmstest.Rings, error) {
			return kmstest.Rings{Ring: raw(t, "same", 1), Other: raw(t, "same", 1)}, nil
		})
		if err == nil || !strings.Contains(err.Error(), "\nOtherKey: ") {
			t.Errorf("got %v", err)
		}
	})
	named["OtherKey"] = true
	for _, c := range []string{"RoundTrip", "FreshKeys", "ContextExact", "ZeroContext", "ForeignKeysPassedOver", "NothingToOpen", "OtherKey", "EveryBitCounts", "Lengths",
		"Cancelled", "PrivateCopies", "InputUntouched", "Concurrent", "ErrorsTellNothing", "Wrapper"} {
		if !named[c] {
			t.Errorf("no fault makes %s fail", c)
		}
	}
}

// The control: the same wrapping without a fault passes, and so does a call
// outside of a test.
func TestSoundKeyringPasses(t *testing.T) {
	t.Parallel()
	err := kmstest.Check(t.Context(), func() (kmstest.Rings, error) {
		return kmstest.Rings{Ring: &broken{RawAES: raw(t, "same", 1)}, Other: &broken{RawAES: raw(t, "same", 2)}}, nil
	})
	if err != nil {
		t.Error(err)
	}
}

func TestCheckRefuses(t *testing.T) {
	t.Parallel()
	if err := kmstest.Check(t.Context(), func() (kmstest.Rings, error) { return kmstest.Rings{Ring: raw(t, "a", 1)}, nil }); err == nil {
		t.Error("a suite without the other keyring passes")
	}
	down := errors.New("down")
	if err := kmstest.Check(t.Context(), func() (kmstest.Rings, error) { return kmstest.Rings{}, down }); !errors.Is(err, down) {
		t.Errorf("got %v", err)
	}
}
