package kmsctx_test

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha512"
	"encoding/base64"
	"encoding/binary"
	"testing"

	"github.com/cloisterdev/cloister/kmsctx"
)

// recipe is a message that the package does not write, or not on purpose:
// written out here from the specification, with nothing of the package.
type recipe struct {
	suite           uint16
	frame           int
	plain           []byte
	pairs, required [][2]string // as they stand in the header, and besides
	emptyFinal      bool        // an exact multiple ends with an empty frame
	unframed        bool
	shiftIV         byte // added to the first byte of every frame's IV
	wrong           string
	wrap            []byte // the wrapping key of ring(t, fill)
}

func str16(b []byte, s string) []byte {
	return append(binary.BigEndian.AppendUint16(b, uint16(len(s))), s...)
}

func encode(pairs [][2]string) []byte {
	if len(pairs) == 0 {
		return nil
	}
	b := binary.BigEndian.AppendUint16(nil, uint16(len(pairs)))
	for _, p := range pairs {
		b = str16(str16(b, p[0]), p[1])
	}
	return b
}

func gcmOf(t testing.TB, key []byte) cipher.AEAD {
	t.Helper()
	block, err := aes.NewCipher(key)
	if err != nil {
		t.Fatal(err)
	}
	g, err := cipher.NewGCM(block)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func bytesOf(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b)
	return b
}

// write makes the message. wrapAAD is the context in the order in which it must
// be authenticated.
func (r recipe) write(t testing.TB, full kmsctx.Context) []byte {
	t.Helper()
	var signer *ecdsa.PrivateKey
	aad := full.Canonical()
	if r.suite == 0x0578 {
		var err error
		if signer, err = ecdsa.GenerateKey(elliptic.P384(), rand.Reader); err != nil {
			t.Fatal(err)
		}
		public := base64.StdEncoding.EncodeToString(elliptic.MarshalCompressed(signer.Curve, signer.X, signer.Y))
		r.pairs = append([][2]string{{"aws-crypto-public-key", public}}, r.pairs...)
		// The tests sort the reserved key first: theirs begin with later letters.
		aad = encode(append(bytes2(r.pairs), r.required...))
	}
	dataKey, id, iv := bytesOf(32), bytesOf(32), bytesOf(12)
	prk, err := hkdf.Extract(sha512.New, dataKey, id)
	if err != nil {
		t.Fatal(err)
	}
	commit, err1 := hkdf.Expand(sha512.New, prk, "COMMITKEY", 32)
	key, err2 := hkdf.Expand(sha512.New, prk, string([]byte{byte(r.suite >> 8), byte(r.suite)})+"DERIVEKEY", 32)
	if err1 != nil || err2 != nil {
		t.Fatal(err1, err2)
	}
	if r.wrong == "commitment" {
		commit[0] ^= 1
	}
	g := gcmOf(t, key)
	m := append([]byte{2, byte(r.suite >> 8), byte(r.suite)}, id...)
	m = str16(m, string(encode(r.pairs)))
	m = append(m, 0, 1)
	m = str16(m, "test")
	m = str16(m, "key\x00\x00\x00\x80\x00\x00\x00\x0c"+string(iv))
	m = str16(m, string(gcmOf(t, r.wrap).Seal(nil, iv, dataKey, aad)))
	content, frame := byte(2), r.frame
	if r.unframed {
		content, frame = 1, 0
	}
	m = binary.BigEndian.AppendUint32(append(m, content), uint32(frame))
	m = append(m, commit...)
	m = append(m, g.Seal(nil, make([]byte, 12), nil, append(bytes.Clone(m), encode(r.required)...))...)
	put := func(seq uint32, plain []byte, label string) {
		iv := make([]byte, 12)
		binary.BigEndian.PutUint32(iv[8:], seq)
		iv[0] += r.shiftIV
		aad := append(bytes.Clone(id), "AWSKMSEncryptionClient "+label...)
		aad = binary.BigEndian.AppendUint32(aad, seq)
		aad = binary.BigEndian.AppendUint64(aad, uint64(len(plain)))
		if label == "Final Frame" {
			m = append(m, 0xff, 0xff, 0xff, 0xff)
		}
		if label != "Single Block" {
			m = binary.BigEndian.AppendUint32(m, seq)
		}
		m = append(m, iv...)
		switch label {
		case "Final Frame":
			m = binary.BigEndian.AppendUint32(m, uint32(len(plain)))
		case "Single Block":
			m = binary.BigEndian.AppendUint64(m, uint64(len(plain)))
		}
		m = append(m, g.Seal(nil, iv, plain, aad)...)
	}
	if r.unframed {
		put(1, r.plain, "Single Block")
	} else {
		seq, rest := uint32(1), r.plain
		for ; len(rest) > r.frame || r.emptyFinal && len(rest) == r.frame; seq++ {
			put(seq, rest[:r.frame], "Frame")
			rest = rest[r.frame:]
		}
		put(seq, rest, "Final Frame")
	}
	if signer != nil {
		sum := sha512.Sum384(m)
		if r.wrong == "signature" {
			sum[0] ^= 1
		}
		sig, err := ecdsa.SignASN1(rand.Reader, signer, sum[:])
		if err != nil {
			t.Fatal(err)
		}
		m = str16(m, string(sig))
	}
	return m
}

func bytes2(p [][2]string) [][2]string { return append([][2]string(nil), p...) }

// What other implementations write opens; and the same with a fault does not.
func TestForeignMessages(t *testing.T) {
	t.Parallel()
	sorted := [][2]string{{"purpose", "test"}, {"tenant", "a"}}
	full := foreign(t, map[string]string{"purpose": "test", "tenant": "a"})
	wrap := bytes.Repeat([]byte{1}, 32)
	e := envelope(t, 1, &kmsctx.Options{AllowUnframed: true, Withheld: []string{"tenant"}})
	for name, r := range map[string]recipe{
		"as ours":            {pairs: sorted},
		"an empty final":     {pairs: sorted, emptyFinal: true},
		"empty, framed":      {pairs: sorted, plain: []byte{}},
		"other IVs":          {pairs: sorted, shiftIV: 0x80},
		"unsorted":           {pairs: [][2]string{sorted[1], sorted[0]}},
		"withheld":           {pairs: sorted[:1], required: sorted[1:]},
		"non-framed":         {pairs: sorted, unframed: true},
		"non-framed, empty":  {pairs: sorted, unframed: true, plain: []byte{}},
		"frames of one byte": {pairs: sorted, frame: 1},
	} {
		for _, suite := range []uint16{0x0478, 0x0578} {
			if suite == 0x0578 && name == "unsorted" {
				continue // written so by other means; see the published vectors
			}
			r.suite, r.wrap = suite, wrap
			if r.frame == 0 {
				r.frame = 16
			}
			if r.plain == nil {
				r.plain = text(48)
			}
			m := r.write(t, full)
			for way, open := range openWays {
				got, err := open(e, m, full)
				if way == "ReaderAt" && (suite == 0x0578 || r.unframed) {
					if !kmsctxIs(err, kmsctx.ErrUnsupported) {
						t.Errorf("%s, %s: %v", name, way, err)
					}
					continue
				}
				if err != nil || !bytes.Equal(got, r.plain) {
					t.Errorf("%s, %x, %s: %v", name, suite, way, err)
				}
				// A stream whose final frame is empty has released everything by
				// then, and its reader gets an error for the end.
				most := len(r.plain) - 1
				if r.emptyFinal && way != "Open" {
					most++
				}
				if got, err := open(e, m[:len(m)-1], full); err == nil || len(got) > max(0, most) {
					t.Errorf("%s, %x, %s: cut by one: %v", name, suite, way, err)
				}
				if got, err := open(e, append(bytes.Clone(m), 0), full); err == nil || len(got) > max(0, most) {
					t.Errorf("%s, %x, %s: a byte more: %v", name, suite, way, err)
				}
			}
			for wrong, want := range map[string]error{"commitment": kmsctx.ErrCommitment, "signature": kmsctx.ErrSignature} {
				if wrong == "signature" && suite == 0x0478 {
					continue
				}
				r.wrong = wrong
				bad := r.write(t, full)
				r.wrong = ""
				for way, open := range openWays {
					got, err := open(e, bad, full)
					if way == "ReaderAt" {
						continue
					}
					if !kmsctxIs(err, want) || len(got) > 0 && len(got) >= len(r.plain) && !(r.emptyFinal && way != "Open") {
						t.Errorf("%s, %x, %s, another %s: %d bytes, %v", name, suite, way, wrong, len(got), err)
					}
				}
			}
		}
	}
	// A context key twice has two meanings.
	twice := recipe{suite: 0x0478, frame: 16, wrap: wrap, pairs: append(bytes2(sorted), sorted[1])}.write(t, full)
	unsigned := recipe{suite: 0x0478, frame: 16, wrap: wrap, pairs: append([][2]string{{"aws-crypto-public-key", "x"}}, sorted...)}.write(t, full)
	for name, m := range map[string][]byte{"a key twice": twice, "a public key without a signature": unsigned} {
		if got, err := e.Open(t.Context(), nil, m, full); !kmsctxIs(err, kmsctx.ErrMalformed) || got != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}
