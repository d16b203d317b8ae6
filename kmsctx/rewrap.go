package kmsctx

import (
	"context"
)

// Rewrap returns another header for the same body: it opens the data key under
// want and wraps it with w, under the context to. It is for messages of suite
// 0x0478 whose header is kept apart ([Envelope.NewDetachedWriter]) or can be
// replaced ([Unverified] tells its length): the body stays as it is, however
// large. A nil w means the envelope's own keyring, which must then be a
// [Wrapper].
//
// # What it costs
//
// The format gives every header of a message the same key and the same IV. Two
// headers of one message are therefore a repeated GCM nonce: whoever has both
// can compute the key that authenticates, and then change frames of that
// message, and its headers, without being noticed. They read nothing that they
// could not read before. So the old header must be gone, backups included,
// from wherever somebody who can write the body could see it. Where that
// cannot be said, seal the plaintext anew: NewReader into NewWriter. Because of
// this it needs [Options].AllowRewrap, and is refused with [ErrUnsupported]
// without.
//
// Whoever kept the old header still opens the message with the old key.
//
// Errors are those of [Envelope.Open], and w's.
func (e *Envelope) Rewrap(ctx context.Context, header []byte, want Context, w Wrapper, to Context) ([]byte, error) {
	out, err := e.rewrap(ctx, header, want, w, to)
	return out, at("rewrap", err)
}

func (e *Envelope) rewrap(ctx context.Context, head []byte, want Context, w Wrapper, to Context) (out []byte, err error) {
	if !e.o.AllowRewrap {
		return nil, fail(ErrUnsupported, "AllowRewrap is not set")
	}
	if w == nil {
		var ok bool
		if w, ok = e.ring.(Wrapper); !ok {
			return nil, fail(ErrUnsupported, "the keyring cannot wrap a data key")
		}
	}
	if err := e.writes(to); err != nil {
		return nil, err
	}
	h, err := parseDetached(head, e.l)
	if err != nil {
		return nil, err
	}
	if h.suite.signed() || !h.framed {
		return nil, fail(ErrUnsupported, "only framed messages of suite %v can be rewrapped", Committing)
	}
	s := works.Get().(*work)
	defer s.free()
	_, err = e.authenticate(ctx, h, want, s, func(dataKey []byte) error {
		keys, err := w.WrapDataKey(ctx, to, dataKey)
		if err != nil {
			return err
		}
		stored, required := e.split(to)
		out, err = appendHeader(nil, h.suite, h.messageID, stored, keys, h.frameLength, h.commit)
		if err != nil {
			return err
		}
		if len(keys) > e.l.keys || len(out)+gcmTag > e.l.header {
			return fail(ErrLimit, "header of %d bytes, %d encrypted data keys", len(out), len(keys))
		}
		out = s.content.aead.Seal(out, s.zero[:], nil, join(out, required))
		return nil
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}
