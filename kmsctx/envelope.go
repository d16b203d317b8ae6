package kmsctx

import (
	"context"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha512"
	"crypto/subtle"
	"encoding/binary"
	"fmt"
	"slices"
)

const (
	formatVersion = 0x02
	suiteID       = 0x0478
	messageIDLen  = 32
	commitLen     = 32
	contentFramed = 0x02
	finalMarker   = 0xffffffff
	// frameOverhead is sequence number, IV and tag; a final frame has its
	// marker and length besides.
	frameOverhead = 4 + gcmNonce + gcmTag
	finalOverhead = frameOverhead + 8
)

// Options bound what an envelope writes and reads. The zero value is the
// default.
type Options struct {
	// FrameLength is the plaintext of a frame when sealing, in bytes; zero
	// means 64 KiB, at most 16 MiB.
	FrameLength int
	// MaxPlaintext is the largest plaintext sealed or opened, in bytes; zero
	// means 64 MiB.
	MaxPlaintext int
	// MaxEncryptedKeys is how many encrypted data keys a message may carry;
	// zero means 4.
	MaxEncryptedKeys int
}

const maxFrame = 16 << 20

// Envelope seals and opens messages with one keyring.
type Envelope struct {
	ring Keyring
	o    Options
}

// New makes an envelope. It refuses a nil keyring and options out of range.
func New(ring Keyring, opts *Options) (*Envelope, error) {
	if ring == nil {
		return nil, fmt.Errorf("%w: no keyring", ErrMalformed)
	}
	o := Options{}
	if opts != nil {
		o = *opts
	}
	if o.FrameLength == 0 {
		o.FrameLength = 64 << 10
	}
	if o.MaxPlaintext == 0 {
		o.MaxPlaintext = 64 << 20
	}
	if o.MaxEncryptedKeys == 0 {
		o.MaxEncryptedKeys = 4
	}
	if o.FrameLength < 1 || o.FrameLength > maxFrame || o.MaxPlaintext < 0 || o.MaxEncryptedKeys < 0 {
		return nil, fmt.Errorf("%w: options out of range", ErrLimit)
	}
	return &Envelope{ring, o}, nil
}

// keys derives the commitment and the content cipher of a message.
func keys(dataKey, messageID []byte) (commit []byte, aead cipher.AEAD, err error) {
	prk, err := hkdf.Extract(sha512.New, dataKey, messageID)
	if err != nil {
		return nil, nil, err
	}
	defer clear(prk)
	if commit, err = hkdf.Expand(sha512.New, prk, "COMMITKEY", commitLen); err != nil {
		return nil, nil, err
	}
	key, err := hkdf.Expand(sha512.New, prk, string([]byte{suiteID >> 8, suiteID & 0xff})+"DERIVEKEY", DataKeyLen)
	if err != nil {
		return nil, nil, err
	}
	defer clear(key)
	aead, err = newGCM(key)
	return commit, aead, err
}

// Seal appends to dst a message that holds plaintext, bound to the context.
// dst must not overlap plaintext.
func (e *Envelope) Seal(ctx context.Context, dst, plaintext []byte, ec Context) ([]byte, error) {
	if ec.IsZero() {
		return nil, fmt.Errorf("%w: none given", ErrContext)
	}
	if len(plaintext) > e.o.MaxPlaintext {
		return nil, fmt.Errorf("%w: %d bytes of plaintext", ErrLimit, len(plaintext))
	}
	dk, err := e.ring.GenerateDataKey(ctx, ec)
	if err != nil {
		return nil, err
	}
	if dk == nil || len(dk.Plaintext) != DataKeyLen || len(dk.Encrypted) == 0 {
		return nil, fmt.Errorf("%w: the keyring made no data key", ErrMalformed)
	}
	defer clear(dk.Plaintext)
	id := make([]byte, messageIDLen)
	_, _ = rand.Read(id)
	commit, aead, err := keys(dk.Plaintext, id)
	if err != nil {
		return nil, err
	}
	start := len(dst)
	frames := max(1, (len(plaintext)+e.o.FrameLength-1)/e.o.FrameLength)
	dst = slices.Grow(dst, 512+len(ec.canonical)+len(plaintext)+frames*finalOverhead)
	dst = append(dst, formatVersion, suiteID>>8, suiteID&0xff)
	dst = append(dst, id...)
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(ec.canonical)))
	dst = append(dst, ec.canonical...)
	dst = appendEDKs(dst, dk.Encrypted)
	dst = append(dst, contentFramed)
	dst = binary.BigEndian.AppendUint32(dst, uint32(e.o.FrameLength))
	dst = append(dst, commit...)
	dst = aead.Seal(dst, make([]byte, gcmNonce), nil, dst[start:])
	var f frame
	for seq := uint32(1); ; seq++ {
		n, last := e.o.FrameLength, false
		if len(plaintext) <= n {
			n, last = len(plaintext), true
			dst = binary.BigEndian.AppendUint32(dst, finalMarker)
		}
		f.set(id, seq, n, last)
		dst = binary.BigEndian.AppendUint32(dst, seq)
		dst = append(dst, f.iv[:]...)
		if last {
			dst = binary.BigEndian.AppendUint32(dst, uint32(n))
		}
		dst = aead.Seal(dst, f.iv[:], plaintext[:n], f.aad)
		if plaintext = plaintext[n:]; last {
			return dst, nil
		}
	}
}

// frame holds the IV and associated data of one frame, reused between frames.
type frame struct {
	iv  [gcmNonce]byte
	aad []byte
}

func (f *frame) set(id []byte, seq uint32, n int, last bool) {
	binary.BigEndian.PutUint32(f.iv[gcmNonce-4:], seq)
	f.aad = append(f.aad[:0], id...)
	if last {
		f.aad = append(f.aad, "AWSKMSEncryptionClient Final Frame"...)
	} else {
		f.aad = append(f.aad, "AWSKMSEncryptionClient Frame"...)
	}
	f.aad = binary.BigEndian.AppendUint32(f.aad, seq)
	f.aad = binary.BigEndian.AppendUint64(f.aad, uint64(n))
}

// Open appends the message's plaintext to dst. want is the context that the
// reader believes in, and must be exactly the message's. Nothing is returned
// unless the whole message verifies.
func (e *Envelope) Open(ctx context.Context, dst, message []byte, want Context) ([]byte, error) {
	if want.IsZero() {
		return nil, fmt.Errorf("%w: none given", ErrContext)
	}
	h, err := parseHeader(message, e.o.MaxEncryptedKeys)
	if err != nil {
		return nil, err
	}
	if string(h.context) != string(want.canonical) {
		return nil, ErrContextMismatch
	}
	dk, err := e.ring.DecryptDataKey(ctx, want, h.keys)
	if err != nil {
		return nil, err
	}
	if dk == nil || len(dk.Plaintext) != DataKeyLen {
		return nil, ErrNoMatchingKey
	}
	defer clear(dk.Plaintext)
	commit, aead, err := keys(dk.Plaintext, h.messageID)
	if err != nil {
		return nil, err
	}
	if subtle.ConstantTimeCompare(commit, h.commit) != 1 {
		return nil, ErrCommitment
	}
	if _, err := aead.Open(nil, make([]byte, gcmNonce), h.tag, h.authenticated); err != nil {
		return nil, ErrHeaderAuth
	}
	out, err := e.openBody(dst, message[h.length:], aead, h)
	if err != nil {
		// What was opened before the error is not the message.
		if cap(out) > len(dst) {
			clear(out[len(dst):])
		}
		return nil, err
	}
	return out, nil
}

func (e *Envelope) openBody(dst, body []byte, aead cipher.AEAD, h *header) ([]byte, error) {
	start := len(dst)
	dst = slices.Grow(dst, len(body))
	var f frame
	for seq := uint32(1); ; seq++ {
		c := cursor{b: body}
		first, last, n := c.u32(), false, h.frameLength
		if first == finalMarker {
			last, first = true, c.u32()
		}
		iv := c.take(gcmNonce)
		if last {
			n = int(c.u32())
		}
		if c.short {
			return dst, ErrTruncated
		}
		if first != seq || n > h.frameLength || n < 0 {
			return dst, fmt.Errorf("%w: frame %d", ErrFrameAuth, seq)
		}
		if len(dst)-start+n > e.o.MaxPlaintext {
			return dst, fmt.Errorf("%w: plaintext", ErrLimit)
		}
		sealed := c.take(n + gcmTag)
		if c.short {
			return dst, ErrTruncated
		}
		f.set(h.messageID, seq, n, last)
		out, err := aead.Open(dst, iv, sealed, f.aad)
		if err != nil {
			return dst, fmt.Errorf("%w: frame %d", ErrFrameAuth, seq)
		}
		dst, body = out, c.b
		if last {
			if len(body) > 0 {
				return dst, ErrTrailing
			}
			return dst, nil
		}
	}
}

type header struct {
	messageID, context, commit, tag []byte
	authenticated                   []byte
	keys                            []EncryptedDataKey
	frameLength, length             int
}

// cursor reads a bounded buffer; running out is remembered, not panicked.
type cursor struct {
	b     []byte
	short bool
}

func (c *cursor) take(n int) []byte {
	if n < 0 || n > len(c.b) {
		c.short, c.b = true, nil
		return nil
	}
	out := c.b[:n:n]
	c.b = c.b[n:]
	return out
}

func (c *cursor) u8() byte {
	if b := c.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (c *cursor) u16() int {
	if b := c.take(2); b != nil {
		return int(binary.BigEndian.Uint16(b))
	}
	return 0
}

func (c *cursor) u32() uint32 {
	if b := c.take(4); b != nil {
		return binary.BigEndian.Uint32(b)
	}
	return 0
}

func parseHeader(m []byte, maxKeys int) (*header, error) {
	if len(m) > 3 && (string(m[:3]) == "AgR" || string(m[:3]) == "AgV") {
		return nil, fmt.Errorf("%w: this looks like base64; decode it first", ErrMalformed)
	}
	c := cursor{b: m}
	if v := c.u8(); v != formatVersion && !c.short {
		return nil, fmt.Errorf("%w: format version %d", ErrUnsupported, v)
	}
	if s := c.u16(); s != suiteID && !c.short {
		return nil, fmt.Errorf("%w: suite %04x", ErrUnsupported, s)
	}
	h := &header{}
	h.messageID = c.take(messageIDLen)
	h.context = c.take(c.u16())
	n := c.u16()
	if !c.short && (n == 0 || n > maxKeys) {
		return nil, fmt.Errorf("%w: %d encrypted data keys", ErrLimit, n)
	}
	for range n {
		h.keys = append(h.keys, EncryptedDataKey{string(c.take(c.u16())), c.take(c.u16()), c.take(c.u16())})
		if c.short {
			return nil, ErrTruncated
		}
	}
	if t := c.u8(); t != contentFramed && !c.short {
		return nil, fmt.Errorf("%w: content type %d", ErrUnsupported, t)
	}
	frame := c.u32()
	h.commit = c.take(commitLen)
	h.authenticated = m[:len(m)-len(c.b)]
	h.tag = c.take(gcmTag)
	if c.short {
		return nil, ErrTruncated
	}
	if frame == 0 || frame > maxFrame {
		return nil, fmt.Errorf("%w: frame length %d", ErrLimit, frame)
	}
	h.frameLength, h.length = int(frame), len(m)-len(c.b)
	return h, nil
}
