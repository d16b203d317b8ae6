package kmstest

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/cloisterdev/cloister/kmsctx"
)

func roundTrip(ctx context.Context, r Rings) error {
	plain, keys, err := made(ctx, r.Ring, r.Context)
	if err != nil {
		return err
	}
	for _, k := range keys {
		if k.Provider == "" || len(k.Ciphertext) == 0 {
			return errors.New("an encrypted key without provider or ciphertext")
		}
		if bytes.Contains(append(bytes.Clone(k.Info), k.Ciphertext...), plain) {
			return errors.New("the encrypted form holds the key")
		}
	}
	// Twice: opening must not use anything up.
	return errors.Join(opens(ctx, r.Ring, r.Context, keys, plain), opens(ctx, r.Ring, r.Context, keys, plain))
}

func freshKeys(ctx context.Context, r Rings) error {
	seen := map[string]bool{}
	for range 16 {
		plain, keys, err := made(ctx, r.Ring, r.Context)
		if err != nil {
			return err
		}
		for _, b := range [][]byte{plain, keys[0].Ciphertext} {
			if seen[string(b)] {
				return errors.New("a key or its encrypted form came twice")
			}
			seen[string(b)] = true
		}
	}
	return nil
}

// others are contexts that resemble c and are not c.
func others(c kmsctx.Context) (out map[string]kmsctx.Context, err error) {
	out = map[string]kmsctx.Context{}
	add := func(name string, change func(m map[string]string)) {
		m := c.Pairs()
		change(m)
		o, e := kmsctx.ForeignContext(m)
		if err = errors.Join(err, e); e == nil && !o.Equal(c) {
			out[name] = o
		}
	}
	add("an extra pair", func(m map[string]string) { m["kmstest-extra"] = "x" })
	add("no pairs", func(m map[string]string) { clear(m) })
	for k, v := range c.Pairs() {
		add("a pair less", func(m map[string]string) { delete(m, k) })
		add("another value", func(m map[string]string) { m[k] = v + "x" })
		add("a shorter value", func(m map[string]string) { m[k] = v[:max(0, len(v)-1)] })
		add("a value in upper case", func(m map[string]string) { m[k] = strings.ToUpper(v) })
		add("a key in upper case", func(m map[string]string) { delete(m, k); m[strings.ToUpper(k)] = v })
		add("a boundary moved", func(m map[string]string) {
			if delete(m, k); v != "" {
				m[k+v[:1]] = v[1:]
			}
		})
		add("key and value swapped", func(m map[string]string) {
			if delete(m, k); v != "" {
				m[v] = k
			}
		})
		for k2, v2 := range c.Pairs() {
			add("two values swapped", func(m map[string]string) { m[k], m[k2] = v2, v })
		}
	}
	return out, err
}

func contextExact(ctx context.Context, r Rings) error {
	plain, keys, err := made(ctx, r.Ring, r.Context)
	if err != nil {
		return err
	}
	more, err := others(r.Context)
	if err != nil {
		return err
	}
	for name, c := range more {
		if err := closed(ctx, r.Ring, c, keys); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return opens(ctx, r.Ring, r.Context, keys, plain)
}

func zeroContext(ctx context.Context, r Rings) error {
	_, keys, err := made(ctx, r.Ring, r.Context)
	if err != nil {
		return err
	}
	dk, err := r.Ring.GenerateDataKey(ctx, kmsctx.Context{})
	if err := refused(dk, err, kmsctx.ErrContext); err != nil {
		return fmt.Errorf("GenerateDataKey: %w", err)
	}
	dk, err = r.Ring.DecryptDataKey(ctx, kmsctx.Context{}, keys)
	if err := refused(dk, err, kmsctx.ErrContext); err != nil {
		return fmt.Errorf("DecryptDataKey: %w", err)
	}
	return nil
}

func foreign(keys []kmsctx.EncryptedDataKey) []kmsctx.EncryptedDataKey {
	renamed := copies(keys)
	for i := range renamed {
		renamed[i].Provider += "-of-somebody-else"
	}
	return append(renamed,
		kmsctx.EncryptedDataKey{Provider: "kmstest-unknown", Info: []byte("x"), Ciphertext: make([]byte, 48)},
		kmsctx.EncryptedDataKey{Provider: keys[0].Provider},
		kmsctx.EncryptedDataKey{Provider: keys[0].Provider, Info: []byte("another key"), Ciphertext: make([]byte, 48)})
}

func foreignKeys(ctx context.Context, r Rings) error {
	plain, keys, err := made(ctx, r.Ring, r.Context)
	if err != nil {
		return err
	}
	_, theirs, err := made(ctx, r.Other, r.OtherContext)
	if err != nil {
		return err
	}
	for _, f := range append(foreign(keys), theirs...) {
		for _, list := range [][]kmsctx.EncryptedDataKey{append(copies(keys), f), append([]kmsctx.EncryptedDataKey{f}, keys...)} {
			if err := opens(ctx, r.Ring, r.Context, list, plain); err != nil {
				return fmt.Errorf("beside a key of provider %q: %w", f.Provider, err)
			}
		}
	}
	return nil
}

func nothingToOpen(ctx context.Context, r Rings) error {
	_, keys, err := made(ctx, r.Ring, r.Context)
	if err != nil {
		return err
	}
	if err := closed(ctx, r.Ring, r.Context, nil); err != nil {
		return fmt.Errorf("no encrypted keys: %w", err)
	}
	if err := closed(ctx, r.Ring, r.Context, foreign(keys)); err != nil {
		return fmt.Errorf("foreign keys only: %w", err)
	}
	return nil
}

func otherKey(ctx context.Context, r Rings) error {
	_, mine, err := made(ctx, r.Ring, r.Context)
	if err != nil {
		return err
	}
	_, theirs, err := made(ctx, r.Other, r.OtherContext)
	if err != nil {
		return err
	}
	for _, c := range []kmsctx.Context{r.Context, r.OtherContext} {
		if err := errors.Join(closed(ctx, r.Ring, c, theirs), closed(ctx, r.Other, c, mine)); err != nil {
			return err
		}
		// A record under the name of the key that it was not made with.
		forged := copies(mine)
		forged[0].Ciphertext = theirs[0].Ciphertext
		if err := closed(ctx, r.Ring, c, forged[:1]); err != nil {
			return fmt.Errorf("under this key's name: %w", err)
		}
	}
	return nil
}

func everyBit(ctx context.Context, r Rings) error {
	plain, keys, err := made(ctx, r.Ring, r.Context)
	if err != nil {
		return err
	}
	try := func(part string, n int, flip func(k *kmsctx.EncryptedDataKey, i int, bit byte)) error {
		for i := range n {
			for b := range 8 {
				x := copies(keys[:1])
				flip(&x[0], i, 1<<b)
				if err := closed(ctx, r.Ring, r.Context, x); err != nil {
					return fmt.Errorf("%s, byte %d, bit %d: %w", part, i, b, err)
				}
			}
		}
		return nil
	}
	k := keys[0]
	return errors.Join(
		try("ciphertext", len(k.Ciphertext), func(k *kmsctx.EncryptedDataKey, i int, bit byte) { k.Ciphertext[i] ^= bit }),
		try("info", len(k.Info), func(k *kmsctx.EncryptedDataKey, i int, bit byte) { k.Info[i] ^= bit }),
		try("provider", len(k.Provider), func(k *kmsctx.EncryptedDataKey, i int, bit byte) {
			p := []byte(k.Provider)
			p[i] ^= bit
			k.Provider = string(p)
		}),
		opens(ctx, r.Ring, r.Context, keys[:1], plain))
}

func lengths(ctx context.Context, r Rings) error {
	_, keys, err := made(ctx, r.Ring, r.Context)
	if err != nil {
		return err
	}
	for n := range len(keys[0].Ciphertext) {
		x := copies(keys[:1])
		x[0].Ciphertext = x[0].Ciphertext[:n]
		if err := closed(ctx, r.Ring, r.Context, x); err != nil {
			return fmt.Errorf("cut to %d bytes: %w", n, err)
		}
	}
	longer := copies(keys[:1])
	longer[0].Ciphertext = append(longer[0].Ciphertext, 0)
	if err := closed(ctx, r.Ring, r.Context, longer); err != nil {
		return fmt.Errorf("a byte more: %w", err)
	}
	longer = copies(keys[:1])
	longer[0].Info = append(longer[0].Info, 0)
	if err := closed(ctx, r.Ring, r.Context, longer); err != nil {
		return fmt.Errorf("a byte more of info: %w", err)
	}
	return nil
}

func cancelled(ctx context.Context, r Rings) error {
	_, keys, err := made(ctx, r.Ring, r.Context)
	if err != nil {
		return err
	}
	over, cancel := context.WithCancel(ctx)
	cancel()
	dk, err := r.Ring.GenerateDataKey(over, r.Context)
	if err := refused(dk, err, context.Canceled); err != nil {
		return fmt.Errorf("GenerateDataKey: %w", err)
	}
	dk, err = r.Ring.DecryptDataKey(over, r.Context, keys)
	if err := refused(dk, err, context.Canceled); err != nil {
		return fmt.Errorf("DecryptDataKey: %w", err)
	}
	return nil
}

func privateCopies(ctx context.Context, r Rings) error {
	first, err := r.Ring.GenerateDataKey(ctx, r.Context)
	if err != nil {
		return err
	}
	if first == nil {
		return errors.New("no key")
	}
	plain, keys := bytes.Clone(first.Plaintext), copies(first.Encrypted)
	spoil := func(dk *kmsctx.DataKey) {
		for i := range dk.Encrypted {
			clear(dk.Encrypted[i].Info)
			clear(dk.Encrypted[i].Ciphertext)
		}
		dk.Destroy()
	}
	spoil(first)
	a, err := r.Ring.DecryptDataKey(ctx, r.Context, keys)
	if err != nil || a == nil || !bytes.Equal(a.Plaintext, plain) {
		return fmt.Errorf("after the made key was wiped: %w", errors.Join(err, errWrongKey))
	}
	b, err := r.Ring.DecryptDataKey(ctx, r.Context, keys)
	if err != nil || b == nil {
		return fmt.Errorf("the second time: %w", errors.Join(err, errWrongKey))
	}
	spoil(a)
	if !bytes.Equal(b.Plaintext, plain) {
		return errors.New("two openings share memory")
	}
	if err := opens(ctx, r.Ring, r.Context, keys, plain); err != nil {
		return fmt.Errorf("after an opened key was wiped: %w", err)
	}
	return nil
}

var errWrongKey = errors.New("no or another key")

func inputUntouched(ctx context.Context, r Rings) error {
	plain, keys, err := made(ctx, r.Ring, r.Context)
	if err != nil {
		return err
	}
	given := copies(keys)
	before, canonical := copies(given), bytes.Clone(r.Context.Canonical())
	dk, err := r.Ring.DecryptDataKey(ctx, r.Context, given)
	if err != nil || dk == nil {
		return fmt.Errorf("DecryptDataKey: %w", errors.Join(err, errWrongKey))
	}
	for i := range given {
		if given[i].Provider != before[i].Provider || !bytes.Equal(given[i].Info, before[i].Info) || !bytes.Equal(given[i].Ciphertext, before[i].Ciphertext) {
			return errors.New("the message's encrypted keys changed")
		}
		// The message's memory is used for something else.
		clear(given[i].Info)
		clear(given[i].Ciphertext)
	}
	if !bytes.Equal(canonical, r.Context.Canonical()) {
		return errors.New("the context changed")
	}
	if !bytes.Equal(dk.Plaintext, plain) {
		return errors.New("the key lies in the message's memory")
	}
	return opens(ctx, r.Ring, r.Context, keys, plain)
}

func concurrent(ctx context.Context, r Rings) error {
	var wg sync.WaitGroup
	errs := make([]error, 16)
	for i := range errs {
		wg.Go(func() {
			for range 8 {
				plain, keys, err := made(ctx, r.Ring, r.Context)
				if err == nil {
					err = opens(ctx, r.Ring, r.Context, keys, plain)
				}
				if err != nil {
					errs[i] = err
					return
				}
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

func errorsTellNothing(ctx context.Context, r Rings) error {
	plain, keys, err := made(ctx, r.Ring, r.Context)
	if err != nil {
		return err
	}
	const secret = "kmstest-secret-value"
	m := r.Context.Pairs()
	m["kmstest-extra"] = secret
	wrong, err := kmsctx.ForeignContext(m)
	if err != nil {
		return err
	}
	_, err = r.Ring.DecryptDataKey(ctx, wrong, keys)
	if err == nil {
		return errors.New("no error")
	}
	for _, s := range []string{secret, string(plain), hex.EncodeToString(plain), base64.StdEncoding.EncodeToString(plain)} {
		if strings.Contains(err.Error(), s) {
			return errors.New("an error holds a context value or a key")
		}
	}
	return nil
}

func wrapper(ctx context.Context, r Rings) error {
	w, ok := r.Ring.(kmsctx.Wrapper)
	if !ok {
		return nil
	}
	plain := bytes.Repeat([]byte{0x5a}, kmsctx.DataKeyLen)
	given := bytes.Clone(plain)
	keys, err := w.WrapDataKey(ctx, r.Context, given)
	if err != nil {
		return err
	}
	if !bytes.Equal(given, plain) {
		return errors.New("wrapping changed the key")
	}
	clear(given)
	if err := opens(ctx, r.Ring, r.Context, keys, plain); err != nil {
		return err
	}
	more, err := others(r.Context)
	if err != nil {
		return err
	}
	for name, c := range more {
		if err := closed(ctx, r.Ring, c, keys); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	if err := closed(ctx, r.Other, r.OtherContext, keys); err != nil {
		return fmt.Errorf("by another key: %w", err)
	}
	if keys, err := w.WrapDataKey(ctx, kmsctx.Context{}, plain); !errors.Is(err, kmsctx.ErrContext) || len(keys) > 0 {
		return fmt.Errorf("without a context: %w", errors.Join(err, errWrongKey))
	}
	for _, n := range []int{0, kmsctx.DataKeyLen - 1, kmsctx.DataKeyLen + 1} {
		if keys, err := w.WrapDataKey(ctx, r.Context, make([]byte, n)); err == nil || len(keys) > 0 {
			return fmt.Errorf("a key of %d bytes was wrapped", n)
		}
	}
	over, cancel := context.WithCancel(ctx)
	cancel()
	if keys, err := w.WrapDataKey(over, r.Context, plain); !errors.Is(err, context.Canceled) || len(keys) > 0 {
		return fmt.Errorf("after cancelling: %w", errors.Join(err, errWrongKey))
	}
	return nil
}
