package kmsctx

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha512"
	"errors"
	"maps"
	"testing"
	"unicode/utf8"
)

// The derivation written for speed is HKDF-SHA512 of the standard library.
func TestDeriveIsHKDF(t *testing.T) {
	t.Parallel()
	for range 200 {
		key, id := make([]byte, DataKeyLen), make([]byte, messageIDLen)
		_, _ = rand.Read(key)
		_, _ = rand.Read(id)
		for _, s := range []Suite{Committing, CommittingSigned} {
			var got contentKeys
			if err := derive(s, key, id, &got); err != nil {
				t.Fatal(err)
			}
			prk, err1 := hkdf.Extract(sha512.New, key, id)
			commit, err2 := hkdf.Expand(sha512.New, prk, "COMMITKEY", commitLen)
			content, err3 := hkdf.Expand(sha512.New, prk, string([]byte{byte(s >> 8), byte(s)})+"DERIVEKEY", DataKeyLen)
			block, err4 := aes.NewCipher(content)
			if err := errors.Join(err1, err2, err3, err4); err != nil {
				t.Fatal(err)
			}
			want, err := cipher.NewGCM(block)
			if err != nil {
				t.Fatal(err)
			}
			nonce := make([]byte, gcmNonce)
			if !bytes.Equal(got.commit[:], commit) || !bytes.Equal(got.aead.Seal(nil, nonce, key, nil), want.Seal(nil, nonce, key, nil)) {
				t.Fatalf("%v: the derived keys differ", s)
			}
		}
	}
	for _, n := range []int{0, 31, 33} {
		if err := derive(Committing, make([]byte, n), make([]byte, messageIDLen), new(contentKeys)); !errors.Is(err, ErrMalformed) {
			t.Errorf("a data key of %d bytes: %v", n, err)
		}
	}
}

// FuzzContext: what parses is pairs of UTF-8 with distinct keys; what they
// serialize to parses to the same, and is the same for the same pairs.
func FuzzContext(f *testing.F) {
	f.Add(serialize(map[string]string{"tenant": "a", "purpose": "b"}))
	f.Add(serialize(map[string]string{"": "a"}))
	f.Add([]byte{0, 0})
	f.Add([]byte{0, 2, 0, 1, 'b', 0, 0, 0, 1, 'a', 0, 0})
	f.Add([]byte{0, 2, 0, 1, 'a', 0, 0, 0, 1, 'a', 0, 0})
	f.Add([]byte{0xff, 0xff, 0, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		pairs, err := parsePairs(b)
		if err != nil {
			if pairs != nil || !errors.Is(err, ErrMalformed) {
				t.Fatal("pairs beside an error, or another error", err)
			}
			return
		}
		for k, v := range pairs {
			if k == "" || !utf8.ValidString(k) || !utf8.ValidString(v) {
				t.Fatalf("%q: %q", k, v)
			}
		}
		canonical := serialize(pairs)
		if len(canonical) != len(b) {
			t.Fatalf("%d bytes became %d", len(b), len(canonical))
		}
		again, err := parsePairs(canonical)
		if err != nil || !maps.Equal(pairs, again) || !bytes.Equal(serialize(again), canonical) {
			t.Fatalf("%v became %v: %v", pairs, again, err)
		}
		if c, err := ForeignContext(pairs); err == nil && !bytes.Equal(c.Canonical(), canonical) {
			t.Fatal("two canonical forms")
		}
		if c, err := NewContext(pairs); err == nil {
			if _, err := c.GrantConstraint(); err != nil {
				t.Fatalf("a context that no grant can express: %v", pairs)
			}
		}
	})
}

func TestSealedSizeRefuses(t *testing.T) {
	t.Parallel()
	for _, a := range [][3]int64{{-1, 1, 0}, {0, 0, 0}, {0, 1, -1}, {1 << 33, 1, 0}, {1<<63 - 1, 1 << 24, 0}, {1<<63 - 1, 1 << 40, 1 << 40}} {
		if n := SealedSize(a[0], int(a[1]), int(a[2])); n != 0 {
			t.Errorf("%v: %d", a, n)
		}
	}
	if n := SealedSize(1<<32-1, 1, 100); n != 100+(1<<32-1)*33+8 {
		t.Errorf("the most frames: %d", n)
	}
}

func TestErrorText(t *testing.T) {
	t.Parallel()
	e := &Error{Op: "open", Kind: ErrFrameAuth, KeyID: "a\nb", Frame: 7, Err: errors.New("why")}
	if s := e.Error(); s != `kmsctx: open: key "a\nb": frame 7: frame does not verify: why` {
		t.Error(s)
	}
	if at("seal", nil) != nil || at("seal", e) != error(e) {
		t.Error("at changes what has an operation")
	}
	if err := at("seal", ErrLimit); !errors.Is(err, ErrLimit) || err.Error() != "kmsctx: seal: limit exceeded" {
		t.Error(err)
	}
}
