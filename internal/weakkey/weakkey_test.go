package weakkey

import (
	"crypto/ed25519"
	"encoding/hex"
	"math/big"
	"strconv"
	"testing"
)

// forgeable tries signatures that nobody made: a point of small order as R and
// zero as S. For a key of small order one of a few messages verifies.
func forgeable(k ed25519.PublicKey) bool {
	for i := range 32 {
		for _, r := range []string{
			"0100000000000000000000000000000000000000000000000000000000000000",
			"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
			"0000000000000000000000000000000000000000000000000000000000000000",
			"0000000000000000000000000000000000000000000000000000000000000080",
		} {
			point, _ := hex.DecodeString(r)
			if ed25519.Verify(k, []byte(strconv.Itoa(i)), append(point, make([]byte, 32)...)) {
				return true
			}
		}
	}
	return false
}

// The verifier of the standard library takes these keys, which is why somebody
// has to refuse them.
func TestWhatAnybodySignsForIsWeak(t *testing.T) {
	t.Parallel()
	p := new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), 255), big.NewInt(19))
	weak := 0
	try := func(y *big.Int, sign byte) {
		k := make(ed25519.PublicKey, ed25519.PublicKeySize)
		for i, b := range y.FillBytes(make([]byte, 32)) {
			k[31-i] = b
		}
		k[31] |= sign
		if !forgeable(k) {
			return
		}
		weak++
		if !Ed25519(k) {
			t.Errorf("anybody signs for %x", k)
		}
	}
	for _, sign := range []byte{0, 0x80} {
		for d := range int64(19) { // every coordinate that has two forms, in both
			try(big.NewInt(d), sign)
			try(new(big.Int).Add(p, big.NewInt(d)), sign)
		}
		try(new(big.Int).Sub(p, big.NewInt(1)), sign)
		order8, _ := new(big.Int).SetString("05fc536d880238b13933c6d305acdfd5f098eff289f4c345b027b2c28f95e826", 16)
		try(order8, sign)
		try(new(big.Int).Sub(p, order8), sign)
	}
	if weak != 14 {
		t.Errorf("%d forms of weak keys were tried, 14 are meant", weak)
	}
}

func TestOthersAreNot(t *testing.T) {
	t.Parallel()
	for i := range 8 {
		k := ed25519.NewKeyFromSeed(append(make([]byte, 31), byte(i))).Public().(ed25519.PublicKey)
		if Ed25519(k) || forgeable(k) {
			t.Errorf("%x", k)
		}
	}
	for _, n := range []int{0, 31, 33} {
		if !Ed25519(make(ed25519.PublicKey, n)) {
			t.Errorf("a key of %d bytes", n)
		}
	}
}
