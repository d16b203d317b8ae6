package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"

	"github.com/cloisterdev/cloister/kmsctx"
)

// rewrap seals the plaintext anew, or makes another header for the same body.
// What the new message needs, such as a grant, is made after the old header has
// verified: nobody gets a grant for sending what is no message.
func (a *envelopeArgs) rewrap(ctx context.Context, env *kmsctx.Envelope, o kmsctx.Options, ec, to kmsctx.Context, r io.Reader, w io.Writer) error {
	if a.headerOnly {
		return a.rewrapHeader(ctx, env, ec, to, r, w)
	}
	plain, err := a.open(ctx, env, ec, r)
	if err != nil {
		return err
	}
	target, err := a.to.keyring(ctx, to, true)
	if err != nil {
		return err
	}
	if o.Suite == 0 {
		o.Suite = plain.Suite() // what was signed stays so
	}
	again, err := kmsctx.New(target, &o)
	if err != nil {
		return err
	}
	return seal(ctx, again, to, plain, w)
}

func (a *envelopeArgs) rewrapHeader(ctx context.Context, env *kmsctx.Envelope, ec, to kmsctx.Context, r io.Reader, w io.Writer) error {
	in := bufio.NewReaderSize(r, maxHeader)
	u, err := peekHeader(in)
	if err != nil {
		return err
	}
	old := make([]byte, u.HeaderLength)
	if _, err := io.ReadFull(in, old); err != nil {
		return err
	}
	head, err := env.Rewrap(ctx, old, ec, lateWrapper(func() (kmsctx.Keyring, error) { return a.to.keyring(ctx, to, true) }), to)
	if err != nil {
		return a.explain(err, ec, old)
	}
	if _, err := w.Write(head); err != nil {
		return err
	}
	// The body is copied as it is, and verified on the way: whoever destroys the
	// old message must not be left with half of one.
	body, err := env.NewReader(ctx, io.MultiReader(bytes.NewReader(old), io.TeeReader(in, w)), ec)
	if err != nil {
		return err
	}
	_, err = body.WriteTo(io.Discard)
	return err
}

// lateWrapper makes its keyring when there is a data key to wrap, which is when
// the header has verified.
type lateWrapper func() (kmsctx.Keyring, error)

// WrapDataKey implements [kmsctx.Wrapper].
func (f lateWrapper) WrapDataKey(ctx context.Context, ec kmsctx.Context, key []byte) ([]kmsctx.EncryptedDataKey, error) {
	ring, err := f()
	if err != nil {
		return nil, err
	}
	w, ok := ring.(kmsctx.Wrapper)
	if !ok {
		return nil, errors.New("this kind of --to-kms cannot wrap a data key that it did not make; leave --header-only away")
	}
	return w.WrapDataKey(ctx, ec, key)
}
