package kmsctx

import (
	"context"
	"crypto/ecdsa"
	"crypto/rand"
	"encoding/binary"
	"hash"
	"math"
)

func newMessageID() (id [messageIDLen]byte) {
	_, _ = rand.Read(id[:]) // never fails
	return id
}

// signing is what the end of a signed message needs.
type signing struct {
	key *ecdsa.PrivateKey
	sum hash.Hash
}

// maxFooter is the longest footer: an ECDSA P-384 signature varies in length.
const maxFooter = 2 + 128

// appendFooter ends a message. A nil signing adds nothing.
func (s *signing) appendFooter(dst []byte) ([]byte, error) {
	if s == nil {
		return dst, nil
	}
	sig, err := ecdsa.SignASN1(rand.Reader, s.key, s.sum.Sum(nil))
	if err != nil {
		return nil, fail(ErrSignature, "%w", err)
	}
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(sig)))
	return append(dst, sig...), nil
}

// Seal appends to dst a message that holds plaintext, bound to the context,
// under a data key that the keyring makes. The spare capacity of dst must not
// overlap plaintext ([ErrOverlap]). ctx is asked while frames are sealed too.
//
// Errors wrap [ErrContext], [ErrLimit], [ErrOverlap], the context's error, or
// what the keyring returned.
func (e *Envelope) Seal(ctx context.Context, dst, plaintext []byte, ec Context) ([]byte, error) {
	out, err := e.seal(ctx, dst, plaintext, ec)
	return out, at("seal", err)
}

func (e *Envelope) seal(ctx context.Context, dst, plaintext []byte, ec Context) ([]byte, error) {
	if len(plaintext) > e.o.MaxPlaintext {
		return nil, fail(ErrLimit, "%d bytes of plaintext", len(plaintext))
	}
	if overlaps(dst[len(dst):cap(dst)], plaintext) {
		return nil, fail(ErrOverlap, "")
	}
	size := SealedSize(int64(len(plaintext)), e.o.FrameLength, 0)
	if size == 0 || size > math.MaxInt-maxLimit {
		return nil, fail(ErrLimit, "more frames than the format or the memory has")
	}
	if e.o.Suite.signed() {
		size += maxFooter
	}
	w := works.Get().(*work)
	defer w.free()
	dst, sig, err := e.begin(ctx, dst, ec, int64(len(plaintext)), int(size), w)
	if err != nil {
		return nil, err
	}
	body := len(dst)
	if dst, err = e.sealBody(ctx, dst, plaintext, w); err != nil {
		return nil, err
	}
	if sig != nil {
		sig.sum.Write(dst[body:])
	}
	return sig.appendFooter(dst)
}

// sealBody appends all frames. dst has room for them.
func (e *Envelope) sealBody(ctx context.Context, dst, plaintext []byte, w *work) ([]byte, error) {
	frame := e.o.FrameLength
	frames := max(1, (len(plaintext)-1)/frame+1)
	body := len(dst)
	end := body + len(plaintext) + frames*frameOverhead + finalExtra
	dst = dst[:end]
	err := e.spread(ctx, frames, frame, len(plaintext), w, func(f *framer, i int) error {
		to := body + i*(frame+frameOverhead)
		from := i * frame
		last := i == frames-1
		n := min(frame, len(plaintext)-from)
		f.seal(dst[to:to:end], plaintext[from:from+n], uint32(i)+1, last)
		return nil
	})
	return dst, err
}
