package sigv4

import (
	"encoding/binary"
)

// The binary form of evidence: a version, flags, then fields, each after its
// length as an unsigned varint. The date and the digest have their one length.
const (
	binaryVersion = 1

	flagECDSA     = 1 << 0
	flagPresigned = 1 << 1
	flagDigest    = 1 << 2
	flagBody      = 1 << 3
)

// MarshalBinary returns the form that [ParseEvidence] reads: about 200 bytes
// at [LevelDigest], and what was signed above.
func (e Evidence) MarshalBinary() ([]byte, error) {
	return e.AppendBinary(nil)
}

// AppendBinary is [Evidence.MarshalBinary] at the end of b.
func (e Evidence) AppendBinary(b []byte) ([]byte, error) {
	if e.IsZero() {
		return nil, ErrNoSignature
	}
	var flags byte
	for _, f := range [...]struct {
		on  bool
		bit byte
	}{{e.ecdsa, flagECDSA}, {e.presigned, flagPresigned}, {e.canonical == "", flagDigest}, {e.hasBody, flagBody}} {
		if f.on {
			flags |= f.bit
		}
	}
	b = append(b, binaryVersion, flags)
	b = append(b, e.date...)
	for _, f := range [...]string{e.accessKeyID, e.region, e.service, string(e.sig[:e.sigLen])} {
		b = append(binary.AppendUvarint(b, uint64(len(f))), f...)
	}
	if e.canonical == "" {
		return append(b, e.hash[:]...), nil
	}
	b = append(binary.AppendUvarint(b, uint64(len(e.canonical))), e.canonical...)
	if e.hasBody {
		b = append(binary.AppendUvarint(b, uint64(len(e.body))), e.body...)
	}
	return b, nil
}

// ParseEvidence reads what [Evidence.MarshalBinary] wrote. Everything that can
// be derived from the canonical request is derived again, so that a field
// cannot say something else than what was signed. There is one form of each
// evidence: nothing may follow, and no length may be written longer than
// needed.
func ParseEvidence(b []byte) (Evidence, error) {
	if len(b) > 2*MaxEvidence+2*MaxBody {
		return Evidence{}, refuse("evidence", ErrTooLarge)
	}
	if len(b) < 2+len(timeFormat) || b[0] != binaryVersion || b[1] > 15 {
		return Evidence{}, refuse("evidence", ErrMalformed)
	}
	flags := b[1]
	if flags&flagDigest != 0 && flags != flagDigest {
		return Evidence{}, refuse("evidence", ErrMalformed)
	}
	rest, ok := string(b[2:]), true
	take := func(limit int) (f string) {
		f, rest, ok = takeField(rest, limit, ok)
		return f
	}
	e := Evidence{ecdsa: flags&flagECDSA != 0, presigned: flags&flagPresigned != 0, date: rest[:len(timeFormat)]}
	rest = rest[len(timeFormat):]
	e.accessKeyID, e.region, e.service = take(128), take(256), take(64)
	e.sigLen = uint8(copy(e.sig[:], take(maxSig)))
	if flags&flagDigest != 0 {
		if !ok || len(rest) != len(e.hash) {
			return Evidence{}, refuse("evidence", ErrMalformed)
		}
		copy(e.hash[:], rest)
		if err := e.complete(); err != nil {
			return Evidence{}, err
		}
		return e, nil
	}
	e.canonical = take(MaxEvidence)
	body := ""
	if flags&flagBody != 0 {
		body = take(MaxBody)
	}
	if !ok || rest != "" || e.canonical == "" {
		return Evidence{}, refuse("evidence", ErrMalformed)
	}
	s := borrow()
	s.out = append(s.out[:0], e.canonical...)
	e.hash = s.hash(s.out)
	s.release()
	if err := e.complete(); err != nil {
		return Evidence{}, err
	}
	if flags&flagBody != 0 {
		return e.WithBody([]byte(body))
	}
	return e, nil
}

func takeField(s string, limit int, before bool) (field, rest string, ok bool) {
	n, used := 0, 0
	for shift := 0; ; shift += 7 {
		if !before || used == len(s) || used == 3 {
			return "", "", false
		}
		c := s[used]
		used++
		n |= int(c&0x7f) << shift
		if c < 0x80 {
			if c == 0 && used > 1 {
				return "", "", false // a shorter form exists
			}
			break
		}
	}
	if n > limit || n > len(s)-used {
		return "", "", false
	}
	return s[used : used+n], s[used+n:], true
}
