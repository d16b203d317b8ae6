package kmsctx

import (
	"context"
	"crypto/ecdsa"
	"encoding/binary"
	"slices"
)

// Open appends the message's plaintext to dst. want is the context that the
// reader believes in, and must be exactly the message's unless [Options] say
// otherwise. Nothing is returned unless the whole message verifies, and what
// was opened before a refusal is wiped. The spare capacity of dst must not
// overlap the message ([ErrOverlap]).
//
// Errors wrap one of the sentinels of this package, the context's error, or
// what the keyring returned.
func (e *Envelope) Open(ctx context.Context, dst, message []byte, want Context) ([]byte, error) {
	h, err := parseHeader(message, e.l)
	if err != nil {
		return nil, at("open", err)
	}
	out, err := e.open(ctx, dst, h, message[h.length:], want)
	return out, at("open", err)
}

// OpenDetached is [Envelope.Open] for a header that is kept apart from its
// body; see [Envelope.NewDetachedWriter].
func (e *Envelope) OpenDetached(ctx context.Context, dst, header, body []byte, want Context) ([]byte, error) {
	h, err := parseDetached(header, e.l)
	if err != nil {
		return nil, at("open", err)
	}
	out, err := e.open(ctx, dst, h, body, want)
	return out, at("open", err)
}

func parseDetached(b []byte, l limits) (*header, error) {
	h, err := parseHeader(b, l)
	if err == nil && h.length != len(b) {
		return nil, fail(ErrTrailing, "after the header")
	}
	return h, err
}

func (e *Envelope) open(ctx context.Context, dst []byte, h *header, body []byte, want Context) ([]byte, error) {
	if overlaps(dst[len(dst):cap(dst)], body) || overlaps(dst[len(dst):cap(dst)], h.authenticated) {
		return nil, fail(ErrOverlap, "")
	}
	w := works.Get().(*work)
	defer w.free()
	o, err := e.authenticate(ctx, h, want, w, nil)
	if err != nil {
		return nil, err
	}
	start := len(dst)
	var rest []byte
	if h.framed {
		dst, rest, err = e.openFrames(ctx, dst, body, h.frameLength, w)
	} else {
		dst, rest, err = openUnframed(w.content.aead, h.messageID, dst, body, int64(e.o.MaxPlaintext))
	}
	if err != nil {
		return nil, err
	}
	if err := o.checkEnd(body[:len(body)-len(rest)], rest); err != nil {
		clear(dst[start:])
		return nil, err
	}
	return dst, nil
}

// checkEnd looks at what follows the body: a signature where there must be
// one, and nothing else.
func (o *opened) checkEnd(body, rest []byte) error {
	if o.verifier == nil {
		if len(rest) > 0 {
			return fail(ErrTrailing, "")
		}
		return nil
	}
	o.sum.Write(body)
	return checkFooter(o.verifier, o.sum.Sum(nil), rest)
}

func checkFooter(key *ecdsa.PublicKey, sum, rest []byte) error {
	if len(rest) < 2 {
		return fail(ErrTruncated, "signature")
	}
	n := int(binary.BigEndian.Uint16(rest))
	if rest = rest[2:]; n > maxFooter {
		return fail(ErrSignature, "of %d bytes", n)
	}
	if n > len(rest) {
		return fail(ErrTruncated, "signature")
	}
	if !ecdsa.VerifyASN1(key, sum, rest[:n]) {
		return fail(ErrSignature, "")
	}
	if n < len(rest) {
		return fail(ErrTrailing, "")
	}
	return nil
}

// layout walks over the heads of all frames and returns how many there are,
// how much plaintext they hold, and where the body ends. Nothing is opened yet
// and nothing is true yet, but a message that does not fit is refused before
// memory is set aside for it.
func layout(body []byte, frame int, most int64) (frames, total, end int, err error) {
	for seq := uint32(1); ; seq++ {
		h, err := parseHead(body[end:], seq, frame)
		if err != nil {
			return 0, 0, 0, err
		}
		if int64(total)+int64(h.n) > most {
			return 0, 0, 0, fail(ErrLimit, "plaintext")
		}
		if len(body)-end-h.size < h.n+gcmTag {
			return 0, 0, 0, &Error{Kind: ErrTruncated, Frame: int64(seq)}
		}
		end += h.size + h.n + gcmTag
		total += h.n
		if h.last {
			return int(seq), total, end, nil
		}
		if seq == maxFrames {
			return 0, 0, 0, fail(ErrMalformed, "no final frame")
		}
	}
}

func (e *Envelope) openFrames(ctx context.Context, dst, body []byte, frame int, w *work) (out, rest []byte, err error) {
	frames, total, end, err := layout(body, frame, int64(e.o.MaxPlaintext))
	if err != nil {
		return nil, nil, err
	}
	start := len(dst)
	dst = slices.Grow(dst, total)[:start+total]
	err = e.spread(ctx, frames, frame, total, w, func(f *framer, i int) error {
		b := body[i*(frame+frameOverhead) : end]
		h, err := parseHead(b, uint32(i)+1, frame)
		if err != nil {
			return err
		}
		to := start + i*frame
		_, err = f.open(dst[to:to:start+total], h.iv, b[h.size:h.size+h.n+gcmTag], uint32(i)+1, h.last)
		return err
	})
	if err != nil {
		clear(dst[start:])
		return nil, nil, err
	}
	return dst, body[end:], nil
}
