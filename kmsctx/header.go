package kmsctx

import (
	"bytes"
	"encoding/binary"
	"math"
)

const (
	formatVersion   = 0x02
	contentFramed   = 0x02
	contentUnframed = 0x01
	// fixedHeader is a header's length without context and encrypted keys.
	fixedHeader = 1 + 2 + messageIDLen + 2 + 2 + 1 + 4 + commitLen + gcmTag
)

// header is a parsed header. Its slices share the message's memory, and
// nothing in it is true before authenticate says so.
type header struct {
	suite         Suite
	messageID     []byte
	stored        []byte // the serialized context as it stands there
	keys          []EncryptedDataKey
	framed        bool
	frameLength   int
	commit, tag   []byte
	authenticated []byte // all but the tag
	length        int
}

// limits bound what is parsed before anything is authenticated.
type limits struct {
	keys, header, frame int
	unframed            bool
}

var errShort = fail(ErrTruncated, "header")

// parseHeader reads the header at the start of m. It returns errShort where m
// ends too early, so that a stream knows to read on.
func parseHeader(m []byte, l limits) (*header, error) {
	if bytes.HasPrefix(m, []byte("AgR4")) || bytes.HasPrefix(m, []byte("AgV4")) {
		return nil, fail(ErrMalformed, "this looks like base64; decode it first")
	}
	c := cursor{b: m}
	switch v := c.u8(); {
	case c.short, v == formatVersion:
	case v == 1:
		return nil, fail(ErrUnsupported, "a message of format version 1, which commits to no key")
	default:
		return nil, fail(ErrUnsupported, "the input is no message of the AWS Encryption SDK: it begins with 0x%02x, not 0x02", v)
	}
	h := &header{suite: Suite(c.u16())}
	if !h.suite.known() && !c.short {
		return nil, fail(ErrUnsupported, "suite %v", h.suite)
	}
	h.messageID = c.take(messageIDLen)
	h.stored = c.take(c.u16())
	n := c.u16()
	if c.short {
		return nil, cut(m, l)
	}
	if n == 0 {
		return nil, fail(ErrMalformed, "no encrypted data key")
	}
	if n > l.keys {
		return nil, fail(ErrLimit, "%d encrypted data keys", n)
	}
	h.keys = make([]EncryptedDataKey, 0, n)
	for range n {
		h.keys = append(h.keys, EncryptedDataKey{string(c.take(c.u16())), c.take(c.u16()), c.take(c.u16())})
		if c.short {
			return nil, cut(m, l)
		}
	}
	content, frame := c.u8(), c.u32()
	h.commit = c.take(commitLen)
	h.authenticated = m[:len(m)-len(c.b)]
	h.tag = c.take(gcmTag)
	if c.short {
		return nil, cut(m, l)
	}
	if h.length = len(m) - len(c.b); h.length > l.header {
		return nil, fail(ErrLimit, "header of %d bytes", h.length)
	}
	switch {
	case content == contentFramed && frame == 0, content == contentUnframed && frame != 0:
		return nil, fail(ErrMalformed, "frame length %d", frame)
	case content == contentFramed && uint64(frame) > uint64(l.frame):
		return nil, fail(ErrLimit, "frame length %d", frame)
	case content == contentFramed:
		h.framed, h.frameLength = true, int(frame)
	case content == contentUnframed && l.unframed:
	case content == contentUnframed:
		return nil, fail(ErrUnsupported, "non-framed message")
	default:
		return nil, fail(ErrMalformed, "content type %d", content)
	}
	return h, nil
}

// cut is the error for a header that m does not end: at the limit, more bytes
// would not help.
func cut(m []byte, l limits) error {
	if len(m) > l.header {
		return fail(ErrLimit, "header of more than %d bytes", l.header)
	}
	return errShort
}

// appendHeader writes a header up to its commitment. The tag is the caller's.
func appendHeader(b []byte, s Suite, messageID, stored []byte, keys []EncryptedDataKey, frameLength int, commit []byte) ([]byte, error) {
	if len(stored) > maxWire || len(keys) == 0 || len(keys) > maxWire {
		return nil, fail(ErrLimit, "context of %d bytes, %d encrypted data keys", len(stored), len(keys))
	}
	b = append(b, formatVersion, byte(s>>8), byte(s))
	b = append(b, messageID...)
	b = binary.BigEndian.AppendUint16(b, uint16(len(stored)))
	b = append(b, stored...)
	b = binary.BigEndian.AppendUint16(b, uint16(len(keys)))
	for i := range keys {
		k := &keys[i]
		if max(len(k.Provider), len(k.Info), len(k.Ciphertext)) > maxWire || len(k.Provider) == 0 {
			return nil, fail(ErrMalformed, "encrypted data key")
		}
		b = binary.BigEndian.AppendUint16(b, uint16(len(k.Provider)))
		b = append(b, k.Provider...)
		b = binary.BigEndian.AppendUint16(b, uint16(len(k.Info)))
		b = append(b, k.Info...)
		b = binary.BigEndian.AppendUint16(b, uint16(len(k.Ciphertext)))
		b = append(b, k.Ciphertext...)
	}
	b = append(b, contentFramed)
	b = binary.BigEndian.AppendUint32(b, uint32(frameLength))
	return append(b, commit...), nil
}

// headerSize is the length of a header with a stored context and keys.
func headerSize(stored []byte, keys []EncryptedDataKey) int {
	n := fixedHeader + len(stored)
	for _, k := range keys {
		n += 6 + len(k.Provider) + len(k.Info) + len(k.Ciphertext)
	}
	return n
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

func (c *cursor) u64() uint64 {
	if b := c.take(8); b != nil {
		return binary.BigEndian.Uint64(b)
	}
	return 0
}

// SealedSize returns the length of a message of suite 0x0478: plaintext bytes
// in frames of frame bytes behind a header of header bytes ([InspectUnverified]
// tells a header's). It returns 0 for arguments that no message has.
func SealedSize(plaintext int64, frame, header int) int64 {
	if plaintext < 0 || frame <= 0 || header < 0 {
		return 0
	}
	frames := max(1, (plaintext-1)/int64(frame)+1)
	if frames > maxFrames || plaintext > math.MaxInt64-frames*frameOverhead-finalExtra-int64(header) {
		return 0
	}
	return int64(header) + plaintext + frames*frameOverhead + finalExtra
}
