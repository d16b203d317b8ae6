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
	"sync/atomic"
	"testing"

	"github.com/cloisterdev/cloister/kmsctx"
	"github.com/cloisterdev/cloister/kmsctx/kmstest"
	"github.com/cloisterdev/cloister/tenant"
)

// Each is a way to get a keyring wrong; the named check must say so. Others may
// say so too, so that a demand that nothing else makes stands with its own words.
var faults = []struct {
	name  string
	check string
	says  string // of the demand that it does not meet
	make  func() *broken
}{
	{"forgets the context", "ContextExact", "a key came out", under(func(map[string]string) map[string]string { return nil })},
	{"forgets the context", "ErrorsTellNothing", "no error", under(func(map[string]string) map[string]string { return nil })},
	{"compares keys without case", "ContextExact", "a key in upper case: a key came out", under(func(m map[string]string) map[string]string {
		out := map[string]string{}
		for k, v := range m {
			out[strings.ToLower(k)] = v
		}
		return out
	})},
	{"compares values without case", "ContextExact", "a value in upper case: a key came out", under(func(m map[string]string) map[string]string {
		for k, v := range m {
			m[k] = strings.ToLower(v)
		}
		return m
	})},
	{"takes more than was sealed", "ContextExact", "an extra pair: a key came out", under(func(m map[string]string) map[string]string {
		maps.DeleteFunc(m, func(k, _ string) bool { return k != "tenant" && k != "purpose" && len(m) > 2 })
		return m
	})},
	{"sorts keys and values apart", "ContextExact", "two values swapped: a key came out", under(func(m map[string]string) map[string]string {
		return map[string]string{"keys": fmt.Sprintf("%q", slices.Sorted(maps.Keys(m))), "values": fmt.Sprintf("%q", slices.Sorted(maps.Values(m)))}
	})},
	{"sorts each pair", "ContextExact", "key and value swapped: a key came out", under(func(m map[string]string) map[string]string {
		out := map[string]string{}
		for k, v := range m {
			out[min(k, v)] = max(k, v)
		}
		return out
	})},
	{"joins pairs without lengths", "ContextExact", "a boundary moved: a key came out", under(func(m map[string]string) map[string]string {
		s := ""
		for _, k := range slices.Sorted(maps.Keys(m)) {
			s += k + m[k]
		}
		return map[string]string{"all": s}
	})},
	{"binds keys and not values", "ContextExact", "a key came out", under(func(m map[string]string) map[string]string {
		for k := range m {
			m[k] = ""
		}
		return m
	})},
	{"binds the tenant only", "ContextExact", "a key came out", under(func(m map[string]string) map[string]string {
		return map[string]string{"tenant": m["tenant"]}
	})},
	{"answers without a context", "ZeroContext", "DecryptDataKey: a key came out", decrypting(func(ctx ctxT, r rawT, c ecT, keys edkT) (dataT, error) {
		if c.IsZero() {
			return &kmsctx.DataKey{Plaintext: make([]byte, kmsctx.DataKeyLen)}, nil
		}
		return r.DecryptDataKey(ctx, c, keys)
	})},
	{"makes keys without a context", "ZeroContext", "GenerateDataKey: a key came out", generating(func(ctx ctxT, r rawT, c ecT) (dataT, error) {
		if c.IsZero() {
			c, _ = kmsctx.ForeignContext(nil)
		}
		return r.GenerateDataKey(ctx, c)
	})},
	{"returns a key beside the refusal", "ContextExact", "a key came out", decrypting(func(ctx ctxT, r rawT, c ecT, keys edkT) (dataT, error) {
		dk, err := r.DecryptDataKey(ctx, c, keys)
		if err != nil {
			dk = &kmsctx.DataKey{Plaintext: make([]byte, kmsctx.DataKeyLen)}
		}
		return dk, err
	})},
	{"returns nothing and no error", "NothingToOpen", "no encrypted keys: no error", decrypting(func(ctx ctxT, r rawT, c ecT, keys edkT) (dataT, error) {
		if dk, err := r.DecryptDataKey(ctx, c, keys); err == nil || c.IsZero() || ctx.Err() != nil {
			return dk, err
		}
		return nil, nil
	})},
	{"refuses with an error of its own", "ContextExact", "the error is not", decrypting(func(ctx ctxT, r rawT, c ecT, keys edkT) (dataT, error) {
		dk, err := r.DecryptDataKey(ctx, c, keys)
		if errors.Is(err, kmsctx.ErrNoMatchingKey) {
			err = errors.New("no")
		}
		return dk, err
	})},
	{"refuses foreign keys with nothing", "NothingToOpen", "foreign keys only: no error", decrypting(func(ctx ctxT, r rawT, c ecT, keys edkT) (dataT, error) {
		dk, err := r.DecryptDataKey(ctx, c, keys)
		if errors.Is(err, kmsctx.ErrNoMatchingKey) && len(keys) > 1 {
			err = nil
		}
		return dk, err
	})},
	{"looks at the last encrypted key only", "ForeignKeysPassedOver", "beside a key of provider", decrypting(func(ctx ctxT, r rawT, c ecT, keys edkT) (dataT, error) {
		return r.DecryptDataKey(ctx, c, keys[max(0, len(keys)-1):])
	})},
	{"looks at the first encrypted key only", "ForeignKeysPassedOver", "beside a key of provider", decrypting(func(ctx ctxT, r rawT, c ecT, keys edkT) (dataT, error) {
		return r.DecryptDataKey(ctx, c, keys[:min(1, len(keys))])
	})},
	{"gives up at a foreign key", "ForeignKeysPassedOver", "beside a key of provider", decrypting(func(ctx ctxT, r rawT, c ecT, keys edkT) (dataT, error) {
		for i := range keys {
			if _, err := r.DecryptDataKey(ctx, c, keys[i:i+1]); err != nil {
				return nil, err
			}
		}
		return r.DecryptDataKey(ctx, c, keys)
	})},
	{"always the same key", "FreshKeys", "came twice", generating(func(ctx ctxT, r rawT, c ecT) (dataT, error) {
		plain := bytes.Repeat([]byte{9}, kmsctx.DataKeyLen)
		keys, err := r.WrapDataKey(ctx, c, plain)
		if err != nil {
			return nil, err
		}
		return &kmsctx.DataKey{Plaintext: plain, Encrypted: keys}, nil
	})},
	{"wraps another key than it returns", "RoundTrip", "another key than was made", generating(func(ctx ctxT, r rawT, c ecT) (dataT, error) {
		dk, err := r.GenerateDataKey(ctx, c)
		if err == nil {
			dk.Plaintext[0] ^= 1
		}
		return dk, err
	})},
	{"keeps the key in its info", "RoundTrip", "the encrypted form holds the key", func() *broken {
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
	{"opens once", "RoundTrip", "DecryptDataKey: ", opensOnce},
	{"opens once", "PrivateCopies", "the second time: ", opensOnce},
	{"makes nothing", "RoundTrip", "no key of 32 bytes", generating(func(ctxT, rawT, ecT) (dataT, error) { return nil, nil })},
	{"makes a key of zeros", "RoundTrip", "a key of zeros", generating(func(ctx ctxT, r rawT, c ecT) (dataT, error) {
		plain := make([]byte, kmsctx.DataKeyLen)
		keys, err := r.WrapDataKey(ctx, c, plain)
		return &kmsctx.DataKey{Plaintext: plain, Encrypted: keys}, err
	})},
	{"keeps the encrypted form", "RoundTrip", "no encrypted form", generating(func(ctx ctxT, r rawT, c ecT) (dataT, error) {
		dk, err := r.GenerateDataKey(ctx, c)
		if err == nil {
			dk.Encrypted = nil
		}
		return dk, err
	})},
	{"names no provider", "RoundTrip", "without provider or ciphertext", changing(
		func(k *kmsctx.EncryptedDataKey) { k.Provider = "" },
		func(k *kmsctx.EncryptedDataKey) { k.Provider = "kmstest" })},
	{"has the ciphertext in its info", "RoundTrip", "without provider or ciphertext", changing(
		func(k *kmsctx.EncryptedDataKey) { k.Info, k.Ciphertext = append(k.Info, k.Ciphertext...), nil },
		func(k *kmsctx.EncryptedDataKey) {
			at := max(0, len(k.Info)-kmsctx.DataKeyLen-16)
			k.Info, k.Ciphertext = k.Info[:at], k.Info[at:]
		})},
	{"opens to nothing", "RoundTrip", "another key than was made", decrypting(func(ctx ctxT, r rawT, c ecT, keys edkT) (dataT, error) {
		_, err := r.DecryptDataKey(ctx, c, keys)
		return nil, err
	})},
	{"makes a short key", "RoundTrip", "no key of 32 bytes", generating(func(ctx ctxT, r rawT, c ecT) (dataT, error) {
		dk, err := r.GenerateDataKey(ctx, c)
		if err == nil {
			dk.Plaintext = dk.Plaintext[:16]
		}
		return dk, err
	})},
	{"does not authenticate", "EveryBitCounts", "ciphertext, byte 0, bit 0: a key came out", func() *broken {
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
	{"does not look at the info", "EveryBitCounts", "info, byte 0, bit 0: a key came out", changing(func(*kmsctx.EncryptedDataKey) {}, func(k *kmsctx.EncryptedDataKey) {
		k.Info = append([]byte("same"), k.Info[min(len("same"), len(k.Info)):]...)
	})},
	{"closes after many attempts", "EveryBitCounts", "DecryptDataKey: ", func() *broken {
		var refused atomic.Int32
		return &broken{decrypt: func(ctx ctxT, r rawT, c ecT, keys edkT) (dataT, error) {
			if refused.Load() > 200 {
				return nil, kmsctx.ErrNoMatchingKey
			}
			dk, err := r.DecryptDataKey(ctx, c, keys)
			if err != nil {
				refused.Add(1)
			}
			return dk, err
		}}
	}},
	{"does not look at the provider", "EveryBitCounts", "provider, byte 0, bit 0: a key came out", decrypting(func(ctx ctxT, r rawT, c ecT, keys edkT) (dataT, error) {
		keys = slices.Clone(keys)
		for i := range keys {
			keys[i].Provider = "kmstest"
		}
		return r.DecryptDataKey(ctx, c, keys)
	})},
	{"reads what it needs and no more", "Lengths", "a byte more: a key came out", decrypting(func(ctx ctxT, r rawT, c ecT, keys edkT) (dataT, error) {
		keys = slices.Clone(keys)
		for i := range keys {
			keys[i].Ciphertext = keys[i].Ciphertext[:min(48, len(keys[i].Ciphertext))]
		}
		return r.DecryptDataKey(ctx, c, keys)
	})},
	{"reads no more info than it needs", "Lengths", "a byte more of info: a key came out", changing(func(*kmsctx.EncryptedDataKey) {}, func(k *kmsctx.EncryptedDataKey) {
		k.Info = k.Info[:min(len("same")+20, len(k.Info))]
	})},
	{"does without the last byte", "Lengths", "cut to 48 bytes: a key came out", changing(
		func(k *kmsctx.EncryptedDataKey) { k.Ciphertext = append(k.Ciphertext, 0xaa) },
		func(k *kmsctx.EncryptedDataKey) { k.Ciphertext = bytes.TrimSuffix(k.Ciphertext, []byte{0xaa}) })},
	{"makes keys for who has gone", "Cancelled", "GenerateDataKey: a key came out", generating(func(_ ctxT, r rawT, c ecT) (dataT, error) {
		return r.GenerateDataKey(context.Background(), c)
	})},
	{"opens keys for who has gone", "Cancelled", "DecryptDataKey: a key came out", decrypting(func(_ ctxT, r rawT, c ecT, keys edkT) (dataT, error) {
		return r.DecryptDataKey(context.Background(), c, keys)
	})},
	{"keeps the key that it made", "PrivateCopies", "after the made key was wiped", func() *broken {
		var kept sync.Map
		return &broken{
			generate: func(ctx ctxT, r rawT, c ecT) (dataT, error) {
				dk, err := r.GenerateDataKey(ctx, c)
				if err == nil {
					kept.Store(string(dk.Plaintext), dk.Plaintext)
				}
				return dk, err
			},
			decrypt: func(ctx ctxT, r rawT, c ecT, keys edkT) (dataT, error) {
				dk, err := r.DecryptDataKey(ctx, c, keys)
				if err != nil {
					return nil, err
				}
				if made, ok := kept.Load(string(dk.Plaintext)); ok {
					copy(dk.Plaintext, made.([]byte))
				}
				return dk, nil
			},
		}
	}},
	{"lends its own copy to the first", "PrivateCopies", "after an opened key was wiped", func() *broken {
		var kept sync.Map
		return &broken{decrypt: func(ctx ctxT, r rawT, c ecT, keys edkT) (dataT, error) {
			dk, err := r.DecryptDataKey(ctx, c, keys)
			if err != nil {
				return nil, err
			}
			if own, again := kept.LoadOrStore(string(dk.Plaintext), dk.Plaintext); again {
				copy(dk.Plaintext, own.([]byte))
			}
			return dk, nil
		}}
	}},
	{"hands out its own copy", "PrivateCopies", "two openings share memory", func() *broken {
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
	{"decrypts in place", "InputUntouched", "the message's encrypted keys changed", decrypting(func(ctx ctxT, r rawT, c ecT, keys edkT) (dataT, error) {
		dk, err := r.DecryptDataKey(ctx, c, keys)
		if err != nil {
			return nil, err
		}
		for i := range keys {
			copy(keys[i].Ciphertext, dk.Plaintext)
		}
		return dk, nil
	})},
	{"changes the info", "InputUntouched", "the message's encrypted keys changed", decrypting(func(ctx ctxT, r rawT, c ecT, keys edkT) (dataT, error) {
		dk, err := r.DecryptDataKey(ctx, c, keys)
		if err == nil {
			clear(keys[0].Info)
		}
		return dk, err
	})},
	{"changes the provider", "InputUntouched", "the message's encrypted keys changed", decrypting(func(ctx ctxT, r rawT, c ecT, keys edkT) (dataT, error) {
		dk, err := r.DecryptDataKey(ctx, c, keys)
		if err == nil {
			keys[0].Provider = ""
		}
		return dk, err
	})},
	{"changes the context", "InputUntouched", "the context changed", func() *broken {
		var mu sync.Mutex // for the detector of races
		return &broken{
			generate: func(ctx ctxT, r rawT, c ecT) (dataT, error) {
				mu.Lock()
				defer mu.Unlock()
				return r.GenerateDataKey(ctx, c)
			},
			decrypt: func(ctx ctxT, r rawT, c ecT, keys edkT) (dataT, error) {
				mu.Lock()
				defer mu.Unlock()
				dk, err := r.DecryptDataKey(ctx, c, keys)
				if err == nil {
					c.Canonical()[0] ^= 1
				}
				return dk, err
			},
		}
	}},
	{"hands out the message's memory", "InputUntouched", "the key lies in the message's memory", func() *broken {
		return &broken{
			generate: func(ctx ctxT, r rawT, c ecT) (dataT, error) {
				dk, err := r.GenerateDataKey(ctx, c)
				if err == nil {
					dk.Encrypted[0].Ciphertext = append(dk.Encrypted[0].Ciphertext, dk.Plaintext...)
				}
				return dk, err
			},
			decrypt: func(ctx ctxT, r rawT, c ecT, keys edkT) (dataT, error) {
				for _, k := range keys {
					at := max(0, len(k.Ciphertext)-kmsctx.DataKeyLen)
					inside := k.Ciphertext[at:]
					k.Ciphertext = k.Ciphertext[:at]
					if dk, err := r.DecryptDataKey(ctx, c, edkT{k}); err == nil && bytes.Equal(dk.Plaintext, inside) {
						dk.Plaintext = inside
						return dk, nil
					}
				}
				return r.DecryptDataKey(ctx, c, keys)
			},
		}
	}},
	{"keeps the message's memory", "InputUntouched", "DecryptDataKey: ", func() *broken {
		var kept sync.Map
		return &broken{decrypt: func(ctx ctxT, r rawT, c ecT, keys edkT) (dataT, error) {
			mine := slices.Clone(keys)
			for i, k := range mine {
				b, _ := kept.LoadOrStore(string(k.Info)+string(k.Ciphertext), k.Ciphertext)
				mine[i].Ciphertext = b.([]byte)
			}
			return r.DecryptDataKey(ctx, c, mine)
		}}
	}},
	{"one buffer for all", "Concurrent", "another key than was made", func() *broken {
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
	{"says the key", "ErrorsTellNothing", "holds a context value or a key", func() *broken {
		var mu sync.Mutex
		var last string
		return &broken{
			generate: func(ctx ctxT, r rawT, c ecT) (dataT, error) {
				dk, err := r.GenerateDataKey(ctx, c)
				if err == nil {
					mu.Lock()
					last = fmt.Sprintf("%x", dk.Plaintext)
					mu.Unlock()
				}
				return dk, err
			},
			decrypt: func(ctx ctxT, r rawT, c ecT, keys edkT) (dataT, error) {
				dk, err := r.DecryptDataKey(ctx, c, keys)
				if err != nil {
					mu.Lock()
					defer mu.Unlock()
					err = fmt.Errorf("%w, it is not for %s", err, last)
				}
				return dk, err
			},
		}
	}},
	{"says what it was asked", "ErrorsTellNothing", "holds a context value", decrypting(func(ctx ctxT, r rawT, c ecT, keys edkT) (dataT, error) {
		dk, err := r.DecryptDataKey(ctx, c, keys)
		if err != nil {
			err = fmt.Errorf("%w under %v", err, c.Pairs())
		}
		return dk, err
	})},
	{"wraps for another context", "Wrapper", "DecryptDataKey: ", wrapping(func(ctx ctxT, r rawT, c ecT, plain []byte) (edkT, error) {
		other, _ := kmsctx.ForeignContext(nil)
		return r.WrapDataKey(ctx, other, plain)
	})},
	{"wraps without the context", "Wrapper", ": a key came out", func() *broken {
		none, _ := kmsctx.ForeignContext(nil)
		return &broken{
			wrap: func(ctx ctxT, r rawT, c ecT, plain []byte) (edkT, error) {
				if c.IsZero() {
					return nil, kmsctx.ErrContext
				}
				return r.WrapDataKey(ctx, none, plain)
			},
			decrypt: func(ctx ctxT, r rawT, c ecT, keys edkT) (dataT, error) {
				dk, err := r.DecryptDataKey(ctx, c, keys)
				if errors.Is(err, kmsctx.ErrNoMatchingKey) {
					return r.DecryptDataKey(ctx, none, keys)
				}
				return dk, err
			},
		}
	}},
	{"wraps with everybody's key", "Wrapper", "by another key: a key came out", func() *broken {
		shared, err := kmsctx.NewRawAES("kmstest", "shared", tenant.NewSecret(bytes.Repeat([]byte{3}, kmsctx.DataKeyLen)))
		if err != nil {
			panic(err)
		}
		return &broken{
			wrap: func(ctx ctxT, _ rawT, c ecT, plain []byte) (edkT, error) { return shared.WrapDataKey(ctx, c, plain) },
			decrypt: func(ctx ctxT, r rawT, c ecT, keys edkT) (dataT, error) {
				dk, err := r.DecryptDataKey(ctx, c, keys)
				if errors.Is(err, kmsctx.ErrNoMatchingKey) {
					return shared.DecryptDataKey(ctx, c, keys)
				}
				return dk, err
			},
		}
	}},
	{"wipes what it was lent", "Wrapper", "wrapping changed the key", wrapping(func(ctx ctxT, r rawT, c ecT, plain []byte) (edkT, error) {
		defer clear(plain)
		return r.WrapDataKey(ctx, c, plain)
	})},
	{"keeps what it was lent", "Wrapper", "another key than was made", func() *broken {
		var kept sync.Map
		return &broken{
			wrap: func(ctx ctxT, r rawT, c ecT, plain []byte) (edkT, error) {
				keys, err := r.WrapDataKey(ctx, c, plain)
				if err == nil {
					kept.Store(string(plain), plain)
				}
				return keys, err
			},
			decrypt: func(ctx ctxT, r rawT, c ecT, keys edkT) (dataT, error) {
				dk, err := r.DecryptDataKey(ctx, c, keys)
				if err != nil {
					return nil, err
				}
				if plain, ok := kept.Load(string(dk.Plaintext)); ok {
					copy(dk.Plaintext, plain.([]byte))
				}
				return dk, nil
			},
		}
	}},
	{"wraps for nobody", "Wrapper", "without a context: ", wrapsBeside(forNobody)},
	{"refuses nobody with nothing", "Wrapper", "without a context: ", refusesWithNothing(forNobody)},
	{"wraps for who has gone", "Wrapper", "after cancelling: ", wrapsBeside(gone)},
	{"refuses who has gone with nothing", "Wrapper", "after cancelling: ", refusesWithNothing(gone)},
	{"wraps a short key beside the refusal", "Wrapper", "a key of 31 bytes was wrapped", wrapsBeside(short)},
	{"refuses a short key with nothing", "Wrapper", "a key of 31 bytes was wrapped", refusesWithNothing(short)},
	{"wraps nothing", "Wrapper", "a key of 0 bytes was wrapped", wrapsOf(0)},
	{"wraps a short key", "Wrapper", "a key of 31 bytes was wrapped", wrapsOf(31)},
	{"wraps a part of a key", "Wrapper", "a key of 33 bytes was wrapped", wrapsOf(33)},
}

// says reports whether an error of the suite holds the text in a line of the
// check.
func says(err error, check, text string) bool {
	if err == nil {
		return false
	}
	return slices.ContainsFunc(strings.Split(err.Error(), "\n"), func(line string) bool {
		return strings.HasPrefix(line, check+": ") && strings.Contains(line, text)
	})
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
			if !says(err, f.check, f.says) {
				t.Errorf("%s did not say %q: %v", f.check, f.says, err)
			}
		})
	}
	t.Run("two tenants, one key", func(t *testing.T) {
		err := kmstest.Check(t.Context(), func() (kmstest.Rings, error) {
			return kmstest.Rings{Ring: raw(t, "same", 1), Other: raw(t, "same", 1)}, nil
		})
		if !says(err, "OtherKey", "a key came out") {
			t.Errorf("got %v", err)
		}
	})
	// One key for all, and the name in a record is all that tells them apart.
	t.Run("two tenants, two names", func(t *testing.T) {
		named := func(name string) kmsctx.Keyring {
			b := changing(
				func(k *kmsctx.EncryptedDataKey) { k.Info, k.Ciphertext = []byte(name), append(k.Ciphertext, k.Info...) },
				func(k *kmsctx.EncryptedDataKey) {
					if at := max(0, len(k.Ciphertext)-len("same")-20); string(k.Info) == name {
						k.Ciphertext, k.Info = k.Ciphertext[:at], k.Ciphertext[at:]
					}
				})()
			b.RawAES = raw(t, "same", 1)
			return b
		}
		err := kmstest.Check(t.Context(), func() (kmstest.Rings, error) {
			return kmstest.Rings{Ring: named("a"), Other: named("b")}, nil
		})
		if !says(err, "OtherKey", "under this key's name: a key came out") {
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
