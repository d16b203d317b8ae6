package kmsctx_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"os"
	"testing"

	"github.com/cloisterdev/cloister/kmsctx"
)

// seeds are messages with every feature, whole and damaged.
func seeds(f *testing.F) (e *kmsctx.Envelope, c kmsctx.Context, plain []byte) {
	e = envelope(f, 1, &kmsctx.Options{FrameLength: 16, AllowUnframed: true, MaxPlaintext: 1 << 16})
	c, plain = ec(f, "purpose", "test", "tenant", "a"), []byte("some plaintext of three frames, or so")
	sorted := [][2]string{{"purpose", "test"}, {"tenant", "a"}}
	wrap := bytes.Repeat([]byte{1}, 32)
	for _, r := range []recipe{
		{suite: 0x0478, frame: 16}, {suite: 0x0578, frame: 16}, {suite: 0x0478, frame: 1}, {suite: 0x0478, unframed: true},
		{suite: 0x0478, frame: 37, emptyFinal: true}, {suite: 0x0578, unframed: true},
	} {
		r.plain, r.pairs, r.wrap = plain, sorted, wrap
		m := r.write(f, c)
		f.Add(m)
		f.Add(m[:len(m)/2])
		f.Add(append(bytes.Clone(m), m...))
	}
	f.Add([]byte("AgR4"))
	return e, c, plain
}

// fixed is a message that is the same in every process of a fuzz run.
func fixed(f *testing.F) (e *kmsctx.Envelope, c kmsctx.Context, m, plain []byte) {
	b, err := os.ReadFile(vectorFileName)
	if err != nil {
		f.Fatal(err)
	}
	var set vectorSet
	if err := json.Unmarshal(b, &set); err != nil {
		f.Fatal(err)
	}
	for _, v := range set.Vectors {
		if v.Name == "0x0478, exactly three frames" {
			m, err1 := base64.StdEncoding.DecodeString(v.Message)
			plain, err2 := base64.StdEncoding.DecodeString(*v.Plaintext)
			if err := errors.Join(err1, err2); err != nil {
				f.Fatal(err)
			}
			return envelope(f, 1, nil), foreign(f, v.Context), m, plain
		}
	}
	f.Fatal("the vector is not there")
	return nil, kmsctx.Context{}, nil, nil
}

// FuzzOpen: nothing opens but what was sealed, and all ways of opening agree.
func FuzzOpen(f *testing.F) {
	e, c, plain := seeds(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		out, err := e.Open(context.Background(), nil, b, c)
		if err == nil && !bytes.Equal(out, plain) || err != nil && out != nil {
			t.Fatalf("opened %x to %x, %v", b, out, err)
		}
		for _, way := range []string{"Reader", "Reader, byte by byte", "WriteTo"} {
			got, e2 := openWays[way](e, b, c)
			if (err == nil) != (e2 == nil) || !bytes.HasPrefix(plain, got) || err == nil && !bytes.Equal(got, plain) {
				t.Fatalf("%s: %x gives %q and %v; Open says %v", way, b, got, e2, err)
			}
		}
		// Random access sees the length only through the final frame.
		if got, e2 := openWays["ReaderAt"](e, b, c); e2 == nil && (err != nil || !bytes.Equal(got, plain)) {
			t.Fatalf("ReaderAt: %x gives %q; Open says %v", b, got, err)
		}
	})
}

// FuzzFrames: behind a true header, no other body opens.
func FuzzFrames(f *testing.F) {
	e, c, m, plain := fixed(f)
	head, frames := parts(f, m, 16)
	f.Add(bytes.Join(frames, nil))
	f.Add(bytes.Join([][]byte{frames[1], frames[0], frames[2]}, nil))
	f.Add(frames[2])
	f.Add(bytes.Join(frames[:2], nil))
	f.Add(append(bytes.Join(frames, nil), 0))
	f.Fuzz(func(t *testing.T, b []byte) {
		same := bytes.Equal(b, m[len(head):])
		whole := append(bytes.Clone(head), b...)
		for way, open := range openWays {
			got, err := open(e, whole, c)
			if (err == nil) != same && way != "ReaderAt" || !bytes.HasPrefix(plain, got) || err == nil && !bytes.Equal(got, plain) {
				t.Fatalf("%s: %x gives %x and %v", way, b, got, err)
			}
		}
	})
}

// FuzzHeader: what Inspect shows is in the message, and a header changed in any
// way opens nothing.
func FuzzHeader(f *testing.F) {
	e, c, m, _ := fixed(f)
	seeds(f)
	head, frames := parts(f, m, 16)
	f.Add(head)
	f.Fuzz(func(t *testing.T, b []byte) {
		u, err := kmsctx.InspectUnverified(b)
		if err != nil {
			if u.HeaderLength != 0 {
				t.Fatal("something beside an error")
			}
			return
		}
		if u.HeaderLength > len(b) || len(u.Keys) == 0 || u.Framed != (u.FrameLength > 0) {
			t.Fatalf("%+v of %d bytes", u, len(b))
		}
		for _, k := range u.Keys {
			if !bytes.Contains(b[:u.HeaderLength], k.Ciphertext) || !bytes.Contains(b, []byte(k.Provider)) {
				t.Fatal("a key that is not in the message")
			}
		}
		// The header needs nothing after it, and not a byte less.
		if _, err := kmsctx.InspectUnverified(b[:u.HeaderLength]); err != nil {
			t.Fatal(err)
		}
		if _, err := kmsctx.InspectUnverified(b[:u.HeaderLength-1]); !kmsctxIs(err, kmsctx.ErrTruncated) {
			t.Fatalf("a byte less: %v", err)
		}
		if bytes.Equal(b[:u.HeaderLength], head) {
			return
		}
		if out, err := e.OpenDetached(context.Background(), nil, b[:u.HeaderLength], bytes.Join(frames, nil), c); err == nil || out != nil {
			t.Fatalf("another header opens: %x", b)
		}
	})
}

// FuzzKeyringRecord: no encrypted data key opens but the one that was made.
func FuzzKeyringRecord(f *testing.F) {
	r := ring(f, 1)
	_, c, m, _ := fixed(f)
	u, err := kmsctx.InspectUnverified(m)
	if err != nil {
		f.Fatal(err)
	}
	made := u.Keys[0]
	dk, err := r.DecryptDataKey(context.Background(), c, u.Keys)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(made.Provider, made.Info, made.Ciphertext)
	f.Add(made.Provider, made.Info[:10], made.Ciphertext)
	f.Add("other", made.Info, []byte{})
	f.Add(made.Provider, []byte("key"), made.Ciphertext)
	f.Fuzz(func(t *testing.T, provider string, info, ciphertext []byte) {
		same := provider == made.Provider && bytes.Equal(info, made.Info) && bytes.Equal(ciphertext, made.Ciphertext)
		given := kmsctx.EncryptedDataKey{Provider: provider, Info: bytes.Clone(info), Ciphertext: bytes.Clone(ciphertext)}
		got, err := r.DecryptDataKey(context.Background(), c, []kmsctx.EncryptedDataKey{given})
		if (err == nil) != same || err == nil && !bytes.Equal(got.Plaintext, dk.Plaintext) || err != nil && (got != nil || !kmsctxIs(err, kmsctx.ErrNoMatchingKey)) {
			t.Fatalf("%q %x %x: %v", provider, info, ciphertext, err)
		}
		// Beside the true one it does no harm.
		got, err = r.DecryptDataKey(context.Background(), c, []kmsctx.EncryptedDataKey{given, made})
		if err != nil || !bytes.Equal(got.Plaintext, dk.Plaintext) {
			t.Fatalf("%q %x %x hides the true key: %v", provider, info, ciphertext, err)
		}
	})
}
