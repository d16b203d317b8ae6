package kmsctx_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"testing"
	"testing/iotest"

	"github.com/cloisterdev/cloister/kmsctx"
)

// text is n bytes that no frame repeats.
func text(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i) ^ byte(i>>8)*31
	}
	return b
}

type sealFunc func(t testing.TB, e *kmsctx.Envelope, plain []byte, c kmsctx.Context) ([]byte, error)

var sealWays = map[string]sealFunc{
	"Seal": func(_ testing.TB, e *kmsctx.Envelope, plain []byte, c kmsctx.Context) ([]byte, error) {
		return e.Seal(context.Background(), nil, plain, c)
	},
	"Writer, one write": func(_ testing.TB, e *kmsctx.Envelope, plain []byte, c kmsctx.Context) ([]byte, error) {
		var b bytes.Buffer
		w, err := e.NewWriter(context.Background(), &b, c)
		if err != nil {
			return nil, err
		}
		if _, err := w.Write(plain); err != nil {
			return nil, err
		}
		err = errors.Join(w.Close(), w.Close())
		return b.Bytes(), err
	},
	"Writer, writes of 7": func(_ testing.TB, e *kmsctx.Envelope, plain []byte, c kmsctx.Context) ([]byte, error) {
		var b bytes.Buffer
		w, err := e.NewWriter(context.Background(), &b, c)
		if err != nil {
			return nil, err
		}
		for len(plain) > 0 {
			n := min(7, len(plain))
			if k, err := w.Write(plain[:n]); err != nil || k != n {
				return nil, err
			}
			plain = plain[n:]
		}
		err = w.Close()
		return b.Bytes(), err
	},
	"ReadFrom": func(_ testing.TB, e *kmsctx.Envelope, plain []byte, c kmsctx.Context) ([]byte, error) {
		var b bytes.Buffer
		w, err := e.NewWriter(context.Background(), &b, c)
		if err != nil {
			return nil, err
		}
		n, err := w.ReadFrom(iotest.HalfReader(bytes.NewReader(plain)))
		if err != nil || n != int64(len(plain)) {
			return nil, err
		}
		err = w.Close()
		return b.Bytes(), err
	},
	"EncryptReader": func(_ testing.TB, e *kmsctx.Envelope, plain []byte, c kmsctx.Context) ([]byte, error) {
		r, err := e.EncryptReader(context.Background(), iotest.DataErrReader(bytes.NewReader(plain)), c)
		if err != nil {
			return nil, err
		}
		return io.ReadAll(r)
	},
}

type openFunc func(e *kmsctx.Envelope, m []byte, c kmsctx.Context) ([]byte, error)

var openWays = map[string]openFunc{
	"Open": func(e *kmsctx.Envelope, m []byte, c kmsctx.Context) ([]byte, error) {
		return e.Open(context.Background(), nil, m, c)
	},
	"Reader": func(e *kmsctx.Envelope, m []byte, c kmsctx.Context) ([]byte, error) {
		r, err := e.NewReader(context.Background(), bytes.NewReader(m), c)
		if err != nil {
			return nil, err
		}
		return io.ReadAll(r)
	},
	"Reader, byte by byte": func(e *kmsctx.Envelope, m []byte, c kmsctx.Context) ([]byte, error) {
		r, err := e.NewReader(context.Background(), iotest.OneByteReader(bytes.NewReader(m)), c)
		if err != nil {
			return nil, err
		}
		return io.ReadAll(iotest.OneByteReader(r))
	},
	"WriteTo": func(e *kmsctx.Envelope, m []byte, c kmsctx.Context) ([]byte, error) {
		r, err := e.NewReader(context.Background(), iotest.DataErrReader(bytes.NewReader(m)), c)
		if err != nil {
			return nil, err
		}
		var b bytes.Buffer
		_, err = r.WriteTo(&b)
		return b.Bytes(), err
	},
	"ReaderAt": func(e *kmsctx.Envelope, m []byte, c kmsctx.Context) ([]byte, error) {
		r, err := e.NewReaderAt(context.Background(), bytes.NewReader(m), int64(len(m)), c)
		if err != nil {
			return nil, err
		}
		return io.ReadAll(io.NewSectionReader(r, 0, r.Size()))
	},
}

var sizes = []int{0, 1, 63, 64, 65, 127, 128, 129, 1000}

func TestEveryWay(t *testing.T) {
	t.Parallel()
	c := ec(t, "tenant", "a", "purpose", "test")
	for _, suite := range []kmsctx.Suite{kmsctx.Committing, kmsctx.CommittingSigned} {
		e := envelope(t, 1, &kmsctx.Options{FrameLength: 64, Suite: suite})
		for sealed, seal := range sealWays {
			for _, n := range sizes {
				plain := text(n)
				m, err := seal(t, e, plain, c)
				if err != nil {
					t.Fatalf("%v, %s, %d bytes: %v", suite, sealed, n, err)
				}
				u, err := kmsctx.InspectUnverified(m)
				if err != nil || u.Suite != suite || u.FrameLength != 64 || !u.Framed || len(u.Keys) != 1 {
					t.Fatalf("%+v, %v", u, err)
				}
				if want := kmsctx.SealedSize(int64(n), 64, u.HeaderLength); suite == kmsctx.Committing && want != int64(len(m)) {
					t.Errorf("%s, %d bytes: %d sealed, SealedSize says %d", sealed, n, len(m), want)
				}
				for opened, open := range openWays {
					got, err := open(e, m, c)
					if suite == kmsctx.CommittingSigned && opened == "ReaderAt" {
						if !errors.Is(err, kmsctx.ErrUnsupported) {
							t.Errorf("random access to a signed message: %v", err)
						}
						continue
					}
					if err != nil || !bytes.Equal(got, plain) {
						t.Errorf("%v, %s, %d bytes, %s: %v", suite, sealed, n, opened, err)
					}
				}
			}
		}
	}
}

func TestParallelIsTheSame(t *testing.T) {
	t.Parallel()
	c := ec(t, "tenant", "a")
	one := envelope(t, 1, &kmsctx.Options{FrameLength: 4 << 10, Workers: 1})
	four := envelope(t, 1, &kmsctx.Options{FrameLength: 4 << 10, Workers: 4})
	for _, n := range []int{512<<10 - 1, 512 << 10, 512<<10 + 1, 3<<20 + 17} {
		plain := text(n)
		for name, p := range map[string][2]*kmsctx.Envelope{"seal by four": {four, one}, "open by four": {one, four}} {
			m, err := p[0].Seal(t.Context(), []byte("x"), plain, c)
			if err != nil {
				t.Fatal(err)
			}
			got, err := p[1].Open(t.Context(), []byte("y"), m[1:], c)
			if err != nil || !bytes.Equal(got[1:], plain) || got[0] != 'y' || m[0] != 'x' {
				t.Errorf("%s, %d bytes: %v", name, n, err)
			}
			for _, at := range []int{len(m) - 1, len(m) / 2, len(m) / 3} {
				m[at] ^= 1
				if got, err := p[1].Open(t.Context(), nil, m[1:], c); !errors.Is(err, kmsctx.ErrFrameAuth) || got != nil {
					t.Errorf("%s, altered at %d: %v", name, at, err)
				}
				m[at] ^= 1
			}
		}
	}
}

// Of several altered frames it is always the first that is named, whichever
// goroutine came first.
func TestTheFirstFaultIsNamed(t *testing.T) {
	t.Parallel()
	c := ec(t, "tenant", "a")
	e := envelope(t, 1, &kmsctx.Options{FrameLength: 4 << 10, Workers: 4})
	m, err := e.Seal(t.Context(), nil, text(1<<20), c)
	if err != nil {
		t.Fatal(err)
	}
	_, frames := parts(t, m, 4<<10)
	for _, i := range []int{63, 64, 128, 200} { // the end of one run, beginnings of others
		frames[i][100] ^= 1
	}
	for range 50 {
		var got *kmsctx.Error
		if _, err := e.Open(t.Context(), nil, m, c); !errors.As(err, &got) || got.Frame != 64 {
			t.Fatalf("got %v, want frame 64", err)
		}
	}
}

func TestReadAt(t *testing.T) {
	t.Parallel()
	c := ec(t, "tenant", "a")
	e := envelope(t, 1, &kmsctx.Options{FrameLength: 64})
	for _, n := range sizes {
		plain := text(n)
		var body bytes.Buffer
		w, head, err := e.NewDetachedWriter(t.Context(), &body, c)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(w, bytes.NewReader(plain)); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		if got, err := e.OpenDetached(t.Context(), nil, head, body.Bytes(), c); err != nil || !bytes.Equal(got, plain) {
			t.Fatal(err)
		}
		detached, err := e.NewDetachedReaderAt(t.Context(), head, bytes.NewReader(body.Bytes()), int64(body.Len()), c)
		if err != nil {
			t.Fatal(err)
		}
		whole := append(bytes.Clone(head), body.Bytes()...)
		attached, err := e.NewReaderAt(t.Context(), bytes.NewReader(whole), int64(len(whole)), c)
		if err != nil {
			t.Fatal(err)
		}
		for name, r := range map[string]*kmsctx.ReaderAt{"detached": detached, "attached": attached} {
			if r.Size() != int64(n) {
				t.Fatalf("%s: size %d of %d", name, r.Size(), n)
			}
			for off := 0; off <= n+1; off += 13 {
				for _, length := range []int{0, 1, 63, 64, 65, 200, 2000} {
					p := make([]byte, length)
					k, err := r.ReadAt(p, int64(off))
					want := plain[min(off, n):min(off+length, n)]
					if !bytes.Equal(p[:k], want) || (err != nil) != (k < length) || err != nil && err != io.EOF {
						t.Fatalf("%s: %d at %d of %d: %d, %v", name, length, off, n, k, err)
					}
					start, span := r.CiphertextRange(int64(off), int64(length))
					if (span == 0) != (len(want) == 0) || span > int64(length+64*2+32*(length/64+3)+8) {
						t.Fatalf("%d at %d of %d: range %d+%d", length, off, n, start, span)
					}
				}
			}
			if _, err := r.ReadAt(make([]byte, 1), -1); !errors.Is(err, kmsctx.ErrMalformed) {
				t.Errorf("a negative offset: %v", err)
			}
		}
	}
}
