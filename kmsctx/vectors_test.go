package kmsctx_test

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"flag"
	"os"
	"testing"
	"testing/cryptotest"

	"github.com/cloisterdev/cloister/kmsctx"
	"github.com/cloisterdev/cloister/tenant"
)

var update = flag.Bool("update", false, "write testdata/vectors.json anew")

// vectorSet is testdata/vectors.json, for every language; testdata/README.md
// explains it.
type vectorSet struct {
	Format  string               `json:"format"`
	Keys    map[string]vectorKey `json:"keys"`
	Vectors []vector             `json:"vectors"`
}

type vectorKey struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	Hex       string `json:"hex"`
}

type vector struct {
	Name          string            `json:"name"`
	Message       string            `json:"message"` // base64
	Key           string            `json:"key"`
	Context       map[string]string `json:"context"`
	Withheld      []string          `json:"withheld,omitempty"`
	AllowUnframed bool              `json:"allow_unframed,omitempty"`
	Plaintext     *string           `json:"plaintext,omitempty"` // base64
	Error         string            `json:"error,omitempty"`
}

var classNames = map[string]error{
	"context-mismatch": kmsctx.ErrContextMismatch, "no-matching-key": kmsctx.ErrNoMatchingKey, "commitment": kmsctx.ErrCommitment,
	"header-auth": kmsctx.ErrHeaderAuth, "frame-auth": kmsctx.ErrFrameAuth, "signature": kmsctx.ErrSignature, "truncated": kmsctx.ErrTruncated,
	"trailing": kmsctx.ErrTrailing, "malformed": kmsctx.ErrMalformed, "unsupported": kmsctx.ErrUnsupported, "limit": kmsctx.ErrLimit,
}

const vectorFileName = "testdata/vectors.json"

func TestVectors(t *testing.T) {
	b, err := os.ReadFile(vectorFileName)
	if *update || os.IsNotExist(err) {
		cryptotest.SetGlobalRandom(t, 1)
		b, err = json.MarshalIndent(makeVectors(t), "", " ")
		if err == nil {
			b = append(b, '\n')
			err = os.WriteFile(vectorFileName, b, 0o644)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	var set vectorSet
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(&set); err != nil {
		t.Fatal(err)
	}
	seen := map[string]int{}
	for _, v := range set.Vectors {
		key, err := hex.DecodeString(set.Keys[v.Key].Hex)
		if err != nil {
			t.Fatal(err)
		}
		ring, err := kmsctx.NewRawAES(set.Keys[v.Key].Namespace, set.Keys[v.Key].Name, tenant.NewSecret(key))
		if err != nil {
			t.Fatal(err)
		}
		e, err := kmsctx.New(ring, &kmsctx.Options{Withheld: v.Withheld, AllowUnframed: v.AllowUnframed})
		if err != nil {
			t.Fatal(err)
		}
		m, err := base64.StdEncoding.DecodeString(v.Message)
		if err != nil {
			t.Fatalf("%s: %v", v.Name, err)
		}
		for way, open := range openWays {
			if way == "ReaderAt" {
				continue
			}
			got, err := open(e, m, foreign(t, v.Context))
			switch {
			case v.Plaintext != nil:
				want, e := base64.StdEncoding.DecodeString(*v.Plaintext)
				if e != nil || err != nil || !bytes.Equal(got, want) {
					t.Errorf("%s, %s: %v", v.Name, way, err)
				}
			case classNames[v.Error] == nil:
				t.Fatalf("%s: unknown class %q", v.Name, v.Error)
			case !kmsctxIs(err, classNames[v.Error]):
				t.Errorf("%s, %s: %v, want %s", v.Name, way, err, v.Error)
			}
		}
		seen[v.Error]++
	}
	for name := range classNames {
		if seen[name] == 0 {
			t.Errorf("no vector is refused as %s", name)
		}
	}
	t.Logf("%d vectors open, %d are refused", seen[""], len(set.Vectors)-seen[""])
}

func makeVectors(t *testing.T) vectorSet {
	set := vectorSet{Format: "AWS Encryption SDK message format, version 2", Keys: map[string]vectorKey{}}
	for name, fill := range map[string]byte{"one": 1, "two": 2} {
		set.Keys[name] = vectorKey{"test", "key", hex.EncodeToString(bytes.Repeat([]byte{fill}, 32))}
	}
	pairs := map[string]string{"purpose": "test", "tenant": "a"}
	sorted := [][2]string{{"purpose", "test"}, {"tenant", "a"}}
	add := func(v vector, m []byte) {
		v.Message = base64.StdEncoding.EncodeToString(m)
		if v.Key == "" {
			v.Key = "one"
		}
		if v.Context == nil {
			v.Context = pairs
		}
		set.Vectors = append(set.Vectors, v)
	}
	b64 := func(b []byte) *string { s := base64.StdEncoding.EncodeToString(b); return &s }
	good := func(name string, r recipe, v vector) []byte {
		r.wrap = bytes.Repeat([]byte{1}, 32)
		if r.suite == 0 {
			r.suite = 0x0478
		}
		if r.frame == 0 {
			r.frame = 16
		}
		if r.pairs == nil {
			r.pairs = sorted
		}
		if v.Context == nil {
			v.Context = pairs
		}
		m := r.write(t, foreign(t, v.Context))
		if v.Name = name; v.Error == "" {
			v.Plaintext = b64(r.plain)
		}
		add(v, m)
		return m
	}
	for _, suite := range []uint16{0x0478, 0x0578} {
		s := kmsctx.Suite(suite).String() + ", "
		for _, n := range []int{0, 1, 15, 16, 17, 48} {
			good(s+hexLen(n), recipe{suite: suite, plain: text(n)}, vector{})
		}
		good(s+"16 bytes, an empty final frame", recipe{suite: suite, plain: text(16), emptyFinal: true}, vector{})
		good(s+"frames of one byte", recipe{suite: suite, plain: text(5), frame: 1}, vector{})
		good(s+"IVs that are not the sequence number", recipe{suite: suite, plain: text(40), shiftIV: 0xff}, vector{})
		good(s+"non-framed", recipe{suite: suite, plain: text(40), unframed: true}, vector{AllowUnframed: true})
		good(s+"a pair withheld", recipe{suite: suite, plain: text(40), pairs: sorted[:1], required: sorted[1:]}, vector{Withheld: []string{"tenant"}})
		good(s+"another commitment", recipe{suite: suite, plain: text(40), wrong: "commitment"}, vector{Error: "commitment"})
		good(s+"non-framed, not asked for", recipe{suite: suite, plain: text(40), unframed: true}, vector{Error: "unsupported"})
	}
	good("another signature", recipe{suite: 0x0578, plain: text(40), wrong: "signature"}, vector{Error: "signature"})
	good("pairs in another order", recipe{plain: text(40), pairs: [][2]string{sorted[1], sorted[0]}}, vector{})
	good("no pairs", recipe{plain: text(40), pairs: [][2]string{}}, vector{Context: map[string]string{}})
	good("pairs beyond ASCII", recipe{plain: text(40), pairs: [][2]string{{"Z", "a"}, {"a", "Z"}, {"ﬀ", "é"}, {"𐐷", "😀"}}},
		vector{Context: map[string]string{"Z": "a", "a": "Z", "ﬀ": "é", "𐐷": "😀"}})
	good("a key twice", recipe{plain: text(40), pairs: append(bytes2(sorted), sorted[1])}, vector{Error: "malformed"})
	good("a public key without a signature", recipe{plain: text(40), pairs: append([][2]string{{"aws-crypto-public-key", "x"}}, sorted...)}, vector{Error: "malformed"})

	m := recipe{suite: 0x0478, frame: 16, plain: text(40), pairs: sorted, wrap: bytes.Repeat([]byte{1}, 32)}.write(t, foreign(t, pairs))
	bad := func(name, class string, m []byte) { add(vector{Name: name, Error: class}, m) }
	add(vector{Name: "another key", Key: "two", Error: "no-matching-key"}, m)
	add(vector{Name: "another value", Context: map[string]string{"purpose": "test", "tenant": "b"}, Error: "context-mismatch"}, m)
	add(vector{Name: "a pair more", Context: map[string]string{"purpose": "test", "tenant": "a", "x": "y"}, Error: "context-mismatch"}, m)
	add(vector{Name: "a pair less", Context: map[string]string{"tenant": "a"}, Error: "context-mismatch"}, m)
	add(vector{Name: "a value in another case", Context: map[string]string{"purpose": "test", "tenant": "A"}, Error: "context-mismatch"}, m)
	flip := func(at int) []byte {
		x := bytes.Clone(m)
		x[at] ^= 1
		return x
	}
	head, f := parts(t, m, 16)
	h := len(head)
	bad("the tag of the header altered", "header-auth", flip(h-1))
	bad("the frame length altered", "header-auth", flip(h-16-32-1))
	bad("the commitment altered", "commitment", flip(h-16-1))
	bad("the message ID altered", "commitment", flip(10))
	bad("the encrypted key altered", "no-matching-key", flip(h-16-32-4-1-1))
	bad("the sequence number altered", "frame-auth", flip(h+3))
	bad("an IV altered", "frame-auth", flip(h+10))
	bad("a ciphertext altered", "frame-auth", flip(h+20))
	bad("the tag of a frame altered", "frame-auth", flip(h+47))
	bad("the final frame altered", "frame-auth", flip(len(m)-1))
	bad("frames exchanged", "frame-auth", glue(head, f[1], f[0], f[2]))
	bad("a frame dropped", "frame-auth", glue(head, f[1], f[2]))
	bad("a frame twice", "frame-auth", glue(head, f[0], f[0], f[1], f[2]))
	bad("the final frame early", "frame-auth", glue(head, f[0], f[2]))
	bad("no final frame", "truncated", glue(head, f[0], f[1]))
	bad("no frames", "truncated", head)
	bad("a byte short", "truncated", m[:len(m)-1])
	bad("half a header", "truncated", head[:h/2])
	bad("nothing", "truncated", nil)
	bad("a byte more", "trailing", append(bytes.Clone(m), 0))
	bad("a second message", "trailing", append(bytes.Clone(m), m...))
	bad("base64", "malformed", []byte(base64.StdEncoding.EncodeToString(m)))
	edited := func(at int, b ...byte) []byte {
		x := bytes.Clone(m)
		copy(x[at:], b)
		return x
	}
	bad("version 1", "unsupported", edited(0, 1))
	bad("a suite without commitment", "unsupported", edited(1, 0x01, 0x78))
	bad("frames of 4 GiB", "limit", edited(h-16-32-4, 0xff, 0xff, 0xff, 0xff))
	bad("frames of nothing", "malformed", edited(h-16-32-4, 0, 0, 0, 0))
	count := 37 + int(binary.BigEndian.Uint16(m[35:]))
	bad("65,535 encrypted keys", "limit", edited(count, 0xff, 0xff))
	bad("no encrypted key", "malformed", edited(count, 0, 0))
	return set
}

func hexLen(n int) string {
	return map[int]string{0: "empty", 1: "one byte", 15: "a byte less than a frame", 16: "exactly a frame", 17: "a byte more than a frame", 48: "exactly three frames"}[n]
}
