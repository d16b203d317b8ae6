package hierarchy

import (
	"crypto/rand"
	"encoding/hex"

	"github.com/cloisterdev/cloister/kmsctx"
)

// Version names one version of a branch key: a version 4 UUID (RFC 9562). The
// zero value is none.
type Version [16]byte

func newVersion() Version {
	var v Version
	_, _ = rand.Read(v[:]) // never fails
	v[6] = v[6]&0x0f | 0x40
	v[8] = v[8]&0x3f | 0x80
	return v
}

// valid reports whether this is a version 4 UUID. Others are nobody's, and are
// refused before a table is asked.
func (v Version) valid() bool { return v[6]>>4 == 4 && v[8]>>6 == 2 }

// ParseVersion parses the text form of a version: lower case, with hyphens, as
// the table has it. One version has one text, since the table's keys are
// compared by bytes. Everything else is refused with [kmsctx.ErrMalformed].
func ParseVersion(s string) (Version, error) {
	var v Version
	if len(s) == 36 && s[8] == '-' && s[13] == '-' && s[18] == '-' && s[23] == '-' {
		_, err := hex.Decode(v[:], []byte(s[:8]+s[9:13]+s[14:18]+s[19:23]+s[24:]))
		if err == nil && v.valid() && v.String() == s {
			return v, nil
		}
	}
	return Version{}, fault("version", kmsctx.ErrMalformed, "it is not a version 4 UUID in lower case")
}

// String returns the text form, which [ParseVersion] accepts.
func (v Version) String() string {
	h := hex.EncodeToString(v[:])
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
}
