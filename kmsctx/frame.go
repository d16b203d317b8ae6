package kmsctx

import (
	"crypto/cipher"
	"encoding/binary"
	"math"
)

const (
	finalMarker = 0xffffffff
	maxFrames   = math.MaxUint32
	// A frame's head is sequence number and IV, and its tag follows; a final
	// frame's head has a marker and a length besides.
	frameHead     = 4 + gcmNonce
	frameOverhead = frameHead + gcmTag
	finalExtra    = 4 + 4

	frameLabel    = "AWSKMSEncryptionClient Frame"
	finalLabel    = "AWSKMSEncryptionClient Final Frame"
	unframedLabel = "AWSKMSEncryptionClient Single Block"
)

// framer seals and opens the frames of one message. Its IV and associated
// data are scratch space, so one framer serves one goroutine.
type framer struct {
	aead  cipher.AEAD
	iv    [gcmNonce]byte
	body  [messageIDLen + len(frameLabel) + 12]byte
	final [messageIDLen + len(finalLabel) + 12]byte
}

func (f *framer) init(a cipher.AEAD, messageID []byte) {
	f.aead, f.iv = a, [gcmNonce]byte{}
	copy(f.body[:], messageID)
	copy(f.body[messageIDLen:], frameLabel)
	copy(f.final[:], messageID)
	copy(f.final[messageIDLen:], finalLabel)
}

// aad is the associated data of a frame of n bytes.
func (f *framer) aad(seq uint32, n int, last bool) []byte {
	b := f.body[:]
	if last {
		b = f.final[:]
	}
	binary.BigEndian.PutUint32(b[len(b)-12:], seq)
	binary.BigEndian.PutUint64(b[len(b)-8:], uint64(n))
	return b
}

// seal appends a frame. plain may lie where its ciphertext goes, and must not
// overlap with dst otherwise.
func (f *framer) seal(dst, plain []byte, seq uint32, last bool) []byte {
	binary.BigEndian.PutUint32(f.iv[gcmNonce-4:], seq)
	if last {
		dst = binary.BigEndian.AppendUint32(dst, finalMarker)
	}
	dst = binary.BigEndian.AppendUint32(dst, seq)
	dst = append(dst, f.iv[:]...)
	if last {
		dst = binary.BigEndian.AppendUint32(dst, uint32(len(plain)))
	}
	return f.aead.Seal(dst, f.iv[:], plain, f.aad(seq, len(plain), last))
}

// open appends the plaintext of a frame without its head. The IV is the one
// that the frame carries: some writers choose others than the sequence number.
func (f *framer) open(dst, iv, sealed []byte, seq uint32, last bool) ([]byte, error) {
	out, err := f.aead.Open(dst, iv, sealed, f.aad(seq, len(sealed)-gcmTag, last))
	if err != nil {
		return nil, &Error{Kind: ErrFrameAuth, Frame: int64(seq)}
	}
	return out, nil
}

// head is the part of a frame before its ciphertext.
type head struct {
	size int // of the head
	n    int // plaintext bytes
	last bool
	iv   []byte
}

// parseHead reads the head of frame seq. It returns an error of [ErrTruncated]
// where b ends too early, before anything of the frame is used.
func parseHead(b []byte, seq uint32, frameLength int) (head, error) {
	c := cursor{b: b}
	h := head{n: frameLength}
	got := c.u32()
	if got == finalMarker {
		h.last, got = true, c.u32()
	}
	h.iv = c.take(gcmNonce)
	var n uint32
	if h.last {
		n = c.u32()
	}
	if c.short {
		return head{}, &Error{Kind: ErrTruncated, Frame: int64(seq)}
	}
	if got != seq || uint64(n) > uint64(frameLength) {
		return head{}, &Error{Kind: ErrFrameAuth, Frame: int64(seq)}
	}
	if h.last {
		h.n = int(n)
	}
	h.size = len(b) - len(c.b)
	return h, nil
}

// openUnframed opens a body that is a single block.
func openUnframed(a cipher.AEAD, messageID, dst, body []byte, most int64) (out, rest []byte, err error) {
	c := cursor{b: body}
	iv, n := c.take(gcmNonce), c.u64()
	if c.short {
		return nil, nil, fail(ErrTruncated, "body")
	}
	if n > uint64(most) {
		return nil, nil, fail(ErrLimit, "%d bytes of plaintext", n)
	}
	if n > math.MaxInt-gcmTag || int(n)+gcmTag > len(c.b) {
		return nil, nil, fail(ErrTruncated, "body")
	}
	sealed := c.take(int(n) + gcmTag)
	aad := append(append(make([]byte, 0, 96), messageID...), unframedLabel...)
	aad = binary.BigEndian.AppendUint32(aad, 1)
	aad = binary.BigEndian.AppendUint64(aad, n)
	if out, err = a.Open(dst, iv, sealed, aad); err != nil {
		return nil, nil, &Error{Kind: ErrFrameAuth, Frame: 1}
	}
	return out, c.b, nil
}
