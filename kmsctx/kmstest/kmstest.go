package kmstest

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/cloisterdev/cloister/kmsctx"
)

// Rings are the keyrings under test. The suite uses them and does not close
// them.
type Rings struct {
	// Ring is the keyring under test. Required.
	Ring kmsctx.Keyring
	// Other is one of the same kind, and of the same service where there is
	// one, with another key: another tenant's. Required.
	Other kmsctx.Keyring
	// Context is one that Ring may use; zero means the suite's own. The suite
	// makes others from it that must be refused.
	Context kmsctx.Context
	// OtherContext is one that Other may use; zero means Context.
	OtherContext kmsctx.Context
}

// check is one demand. Why says what a tenant loses without it.
type check struct {
	name, why string
	run       func(ctx context.Context, r Rings) error
}

var checks = []check{
	{"RoundTrip", "what was sealed must open", roundTrip},
	{"FreshKeys", "one key for two messages lets one open the other", freshKeys},
	{"ContextExact", "a key opened under another context is another tenant's data", contextExact},
	{"ZeroContext", "a reader that names no context must get nothing", zeroContext},
	{"ForeignKeysPassedOver", "a message for several keyrings must open with one of them", foreignKeys},
	{"NothingToOpen", "no key must never become some key", nothingToOpen},
	{"OtherKey", "one tenant's key must not open another's data", otherKey},
	{"EveryBitCounts", "an altered key record must not open", everyBit},
	{"Lengths", "a cut or longer key record must not open", lengths},
	{"Cancelled", "a request that is over must cost the key service nothing", cancelled},
	{"PrivateCopies", "wiping one message's key must not change another's", privateCopies},
	{"InputUntouched", "a keyring must not change the message that it reads", inputUntouched},
	{"Concurrent", "keys of concurrent requests must not mix", concurrent},
	{"ErrorsTellNothing", "a log must hold neither keys nor context values", errorsTellNothing},
	{"Wrapper", "a second wrapping must hold the same key, for its context alone", wrapper},
}

// Run runs the suite as subtests, each with rings of its own.
func Run(t *testing.T, open func(t *testing.T) Rings) {
	for _, c := range checks {
		t.Run(c.name, func(t *testing.T) {
			r, err := complete(open(t))
			if err == nil {
				err = c.run(t.Context(), r)
			}
			if err != nil {
				t.Errorf("%s: %v", c.why, err)
			}
		})
	}
}

// Check runs the suite and returns all failures, each with the name of its
// check, or nil. open is called once for every check.
func Check(ctx context.Context, open func() (Rings, error)) error {
	var all []error
	for _, c := range checks {
		r, err := open()
		if err == nil {
			r, err = complete(r)
		}
		if err == nil {
			err = c.run(ctx, r)
		}
		if err != nil {
			all = append(all, fmt.Errorf("%s: %s: %w", c.name, c.why, err))
		}
	}
	return errors.Join(all...)
}

func complete(r Rings) (Rings, error) {
	if r.Ring == nil || r.Other == nil {
		return r, errors.New("the suite needs Ring and Other")
	}
	if r.Context.IsZero() {
		c, err := kmsctx.NewContext(map[string]string{"tenant": "tn-conformance", "purpose": "kmstest"})
		if err != nil {
			return r, err
		}
		r.Context = c
	}
	if r.OtherContext.IsZero() {
		r.OtherContext = r.Context
	}
	return r, nil
}

// made is a data key that a keyring made, with the suite's own copies.
func made(ctx context.Context, r kmsctx.Keyring, ec kmsctx.Context) (plain []byte, keys []kmsctx.EncryptedDataKey, err error) {
	dk, err := r.GenerateDataKey(ctx, ec)
	if err != nil {
		return nil, nil, fmt.Errorf("GenerateDataKey: %w", err)
	}
	if dk == nil || len(dk.Plaintext) != kmsctx.DataKeyLen {
		return nil, nil, errors.New("GenerateDataKey: no key of 32 bytes")
	}
	if len(dk.Encrypted) == 0 {
		return nil, nil, errors.New("GenerateDataKey: no encrypted form")
	}
	if string(dk.Plaintext) == string(make([]byte, kmsctx.DataKeyLen)) {
		return nil, nil, errors.New("GenerateDataKey: a key of zeros")
	}
	return append([]byte(nil), dk.Plaintext...), copies(dk.Encrypted), nil
}

func copies(keys []kmsctx.EncryptedDataKey) (out []kmsctx.EncryptedDataKey) {
	for _, k := range keys {
		out = append(out, kmsctx.EncryptedDataKey{Provider: k.Provider,
			Info: append([]byte(nil), k.Info...), Ciphertext: append([]byte(nil), k.Ciphertext...)})
	}
	return out
}

// opens demands that keys open to plain.
func opens(ctx context.Context, r kmsctx.Keyring, ec kmsctx.Context, keys []kmsctx.EncryptedDataKey, plain []byte) error {
	dk, err := r.DecryptDataKey(ctx, ec, keys)
	if err != nil {
		return fmt.Errorf("DecryptDataKey: %w", err)
	}
	if dk == nil || string(dk.Plaintext) != string(plain) {
		return errors.New("DecryptDataKey: another key than was made")
	}
	return nil
}

// refused demands an error that is want, and no key beside it.
func refused(dk *kmsctx.DataKey, err, want error) error {
	if dk != nil && len(dk.Plaintext) > 0 {
		return errors.New("a key came out")
	}
	if err == nil {
		return errors.New("no error")
	}
	if !errors.Is(err, want) {
		return fmt.Errorf("the error is not %q: %w", want, err)
	}
	return nil
}

func closed(ctx context.Context, r kmsctx.Keyring, ec kmsctx.Context, keys []kmsctx.EncryptedDataKey) error {
	dk, err := r.DecryptDataKey(ctx, ec, keys)
	return refused(dk, err, kmsctx.ErrNoMatchingKey)
}
