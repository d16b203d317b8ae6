// Package weakkey tells public keys for which anybody can sign from those that
// need a private one.
//
// It knows the Ed25519 keys of small order, in every encoding that a verifier
// may read. It says nothing about keys whose private part is known to somebody.
//
// Source: RFC 8032 §5.1.3 for the encoding; the seven coordinates are those of
// the points of order 1, 2, 4 and 8, and the two of them that are also written
// unreduced.
package weakkey

import "crypto/ed25519"

const (
	zeros = "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
	ones  = "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f"
)

// Ed25519 reports whether anybody can sign for the key: the point has a small
// order, and made-up signatures verify with some or all messages. A key of
// another length than 32 bytes is weak too.
func Ed25519(k ed25519.PublicKey) bool {
	if len(k) != ed25519.PublicKeySize {
		return true
	}
	y := [ed25519.PublicKeySize]byte(k)
	y[31] &= 0x7f // the sign of x
	switch string(y[:]) {
	case "\x00" + zeros, "\x01" + zeros, "\xec" + ones, "\xed" + ones, "\xee" + ones,
		"\x26\xe8\x95\x8f\xc2\xb2\x27\xb0\x45\xc3\xf4\x89\xf2\xef\x98\xf0\xd5\xdf\xac\x05\xd3\xc6\x33\x39\xb1\x38\x02\x88\x6d\x53\xfc\x05",
		"\xc7\x17\x6a\x70\x3d\x4d\xd8\x4f\xba\x3c\x0b\x76\x0d\x10\x67\x0f\x2a\x20\x53\xfa\x2c\x39\xcc\xc6\x4e\xc7\xfd\x77\x92\xac\x03\x7a":
		return true
	}
	return false
}
