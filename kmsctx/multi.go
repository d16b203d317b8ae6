package kmsctx

import (
	"context"
	"errors"
	"slices"
)

type multi struct {
	generator Keyring
	rings     []Keyring // the generator first
	wrappers  []Wrapper // of the children
}

// Multi returns a keyring that makes data keys with generator and lets each
// child wrap them too; any of them opens. It refuses a nil keyring, and a
// child that is no [Wrapper], with [ErrMalformed]. It is a [Wrapper] if the
// generator is.
//
// A message is as safe as the weakest of the keys.
func Multi(generator Keyring, children ...Keyring) (Keyring, error) {
	m := &multi{generator: generator, rings: append([]Keyring{generator}, children...)}
	if slices.Contains(m.rings, nil) {
		return nil, at("new multi keyring", fail(ErrMalformed, "a keyring is nil"))
	}
	for _, c := range children {
		w, ok := c.(Wrapper)
		if !ok {
			return nil, at("new multi keyring", fail(ErrMalformed, "a child cannot wrap a data key"))
		}
		m.wrappers = append(m.wrappers, w)
	}
	if w, ok := generator.(Wrapper); ok {
		return &wrappingMulti{m, append([]Wrapper{w}, m.wrappers...)}, nil
	}
	return m, nil
}

// wrappingMulti is a multi keyring whose generator wraps too.
type wrappingMulti struct {
	*multi
	all []Wrapper
}

// WrapDataKey implements [Wrapper]: every keyring wraps, or none.
func (m *wrappingMulti) WrapDataKey(ctx context.Context, ec Context, plaintext []byte) ([]EncryptedDataKey, error) {
	return wrapAll(ctx, ec, plaintext, m.all)
}

func wrapAll(ctx context.Context, ec Context, plaintext []byte, all []Wrapper) (out []EncryptedDataKey, err error) {
	for _, w := range all {
		keys, err := w.WrapDataKey(ctx, ec, plaintext)
		if err != nil {
			return nil, err
		}
		out = append(out, keys...)
	}
	return out, nil
}

// GenerateDataKey implements [Keyring].
func (m *multi) GenerateDataKey(ctx context.Context, ec Context) (*DataKey, error) {
	dk, err := generate(ctx, m.generator, ec, unknownSize)
	return m.complete(ctx, ec, dk, err)
}

func (m *multi) generateSized(ctx context.Context, ec Context, size int64) (*DataKey, error) {
	dk, err := generate(ctx, m.generator, ec, size)
	return m.complete(ctx, ec, dk, err)
}

func (m *multi) complete(ctx context.Context, ec Context, dk *DataKey, err error) (*DataKey, error) {
	if err != nil {
		return nil, err
	}
	more, err := wrapAll(ctx, ec, dk.Plaintext, m.wrappers)
	if err != nil {
		dk.Destroy()
		return nil, err
	}
	dk.Encrypted = append(slices.Clip(dk.Encrypted), more...)
	return dk, nil
}

// DecryptDataKey implements [Keyring]: the first keyring that opens one. The
// error is all of theirs.
func (m *multi) DecryptDataKey(ctx context.Context, ec Context, keys []EncryptedDataKey) (*DataKey, error) {
	var said []error
	for _, r := range m.rings {
		dk, err := r.DecryptDataKey(ctx, ec, keys)
		if err == nil && dk != nil && len(dk.Plaintext) == DataKeyLen {
			return dk, nil
		}
		dk.Destroy()
		if cause := ctx.Err(); cause != nil {
			return nil, cause
		}
		if ec.IsZero() {
			return nil, fail(ErrContext, "none given")
		}
		said = append(said, err)
	}
	return nil, &Error{Kind: ErrNoMatchingKey, Err: errors.Join(said...)}
}
