package kmsctx_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/cloisterdev/cloister/kmsctx"
)

// after is a context that ends when it has been asked n times.
type after struct {
	context.Context
	n int
}

func (a *after) Err() error {
	if a.n--; a.n < 0 {
		return context.Canceled
	}
	return nil
}

func TestContextEndsEverything(t *testing.T) {
	t.Parallel()
	c := ec(t, "tenant", "a")
	e := envelope(t, 1, &kmsctx.Options{FrameLength: 16, Workers: 1})
	plain := text(1 << 20)
	m, err := e.Seal(t.Context(), nil, plain, c)
	if err != nil {
		t.Fatal(err)
	}
	for name, do := range map[string]func(ctx context.Context) ([]byte, error){
		"Seal": func(ctx context.Context) ([]byte, error) { return e.Seal(ctx, nil, plain, c) },
		"Open": func(ctx context.Context) ([]byte, error) { return e.Open(ctx, nil, m, c) },
		"Writer": func(ctx context.Context) ([]byte, error) {
			w, err := e.NewWriter(ctx, io.Discard, c)
			if err != nil {
				return nil, err
			}
			_, err = w.Write(plain)
			return nil, errors.Join(err, w.Close())
		},
		"ReadFrom": func(ctx context.Context) ([]byte, error) {
			w, err := e.NewWriter(ctx, io.Discard, c)
			if err != nil {
				return nil, err
			}
			_, err = w.ReadFrom(bytes.NewReader(plain))
			return nil, errors.Join(err, w.Close())
		},
		"EncryptReader": func(ctx context.Context) ([]byte, error) {
			r, err := e.EncryptReader(ctx, bytes.NewReader(plain), c)
			if err != nil {
				return nil, err
			}
			_, err = io.Copy(io.Discard, r)
			return nil, err
		},
		"Reader": func(ctx context.Context) ([]byte, error) {
			r, err := e.NewReader(ctx, bytes.NewReader(m), c)
			if err != nil {
				return nil, err
			}
			_, err = io.Copy(io.Discard, r)
			return nil, err
		},
		"ReaderAt": func(ctx context.Context) ([]byte, error) {
			r, err := e.NewReaderAt(ctx, bytes.NewReader(m), int64(len(m)), c)
			if err != nil {
				return nil, err
			}
			_, err = io.Copy(io.Discard, io.NewSectionReader(r, 0, r.Size()))
			return nil, err
		},
	} {
		if _, err := do(t.Context()); err != nil {
			t.Errorf("%s, the control: %v", name, err)
		}
		for _, n := range []int{0, 1, 3, 5} {
			got, err := do(&after{t.Context(), n})
			if !errors.Is(err, context.Canceled) || got != nil {
				t.Errorf("%s, cancelled after %d questions: %v", name, n, err)
			}
		}
	}
}

func TestErrorsStay(t *testing.T) {
	t.Parallel()
	c := ec(t, "tenant", "a")
	e := envelope(t, 1, &kmsctx.Options{FrameLength: 16})
	m, err := e.Seal(t.Context(), nil, text(100), c)
	if err != nil {
		t.Fatal(err)
	}
	bad := bytes.Clone(m)
	bad[len(bad)-60] ^= 1
	r, err := e.NewReader(t.Context(), bytes.NewReader(bad), c)
	if err != nil {
		t.Fatal(err)
	}
	got, first := io.ReadAll(r)
	if !errors.Is(first, kmsctx.ErrFrameAuth) || !bytes.HasPrefix(text(100), got) || len(got) == 0 {
		t.Fatalf("%d bytes, %v", len(got), first)
	}
	for range 3 {
		if n, err := r.Read(make([]byte, 10)); n != 0 || err != first { //nolint:errorlint // the very same
			t.Errorf("again: %d, %v", n, err)
		}
		if n, err := r.WriteTo(io.Discard); n != 0 || err != first { //nolint:errorlint // the very same
			t.Errorf("again: %d, %v", n, err)
		}
	}
	r, err = e.NewReader(t.Context(), bytes.NewReader(m), c)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(r); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if n, err := r.Read(make([]byte, 10)); n != 0 || err != io.EOF { //nolint:errorlint // the contract
			t.Errorf("after the end: %d, %v", n, err)
		}
	}
	// A source that fails is not a message that ends.
	for _, cut := range []int{10, len(m) - 5} {
		src := io.MultiReader(bytes.NewReader(m[:cut]), iotest.ErrReader(io.ErrUnexpectedEOF))
		r, err := e.NewReader(t.Context(), src, c)
		if err == nil {
			_, err = io.ReadAll(r)
		}
		if !errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, kmsctx.ErrTruncated) {
			t.Errorf("a source that fails at %d: %v", cut, err)
		}
	}
	src := io.MultiReader(bytes.NewReader(m), iotest.ErrReader(io.ErrUnexpectedEOF))
	if r, err = e.NewReader(t.Context(), src, c); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(r); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("a source that fails after the message: %v", err)
	}
}

// failing writes n bytes, and then fails or lies.
type failing struct {
	n     int
	short bool
}

var errDisk = errors.New("disk full")

func (f *failing) Write(p []byte) (int, error) {
	if len(p) <= f.n {
		f.n -= len(p)
		return len(p), nil
	}
	n := f.n
	f.n = 0
	if f.short {
		return n, nil
	}
	return n, errDisk
}

func TestWriterIsPoisoned(t *testing.T) {
	t.Parallel()
	c := ec(t, "tenant", "a")
	e := envelope(t, 1, &kmsctx.Options{FrameLength: 16})
	for want, f := range map[error]*failing{errDisk: {n: 400}, io.ErrShortWrite: {n: 400, short: true}} {
		w, err := e.NewWriter(t.Context(), f, c)
		if err != nil {
			t.Fatal(err)
		}
		n, err := w.Write(text(1000))
		if !errors.Is(err, want) || n >= 1000 {
			t.Errorf("%v: %d, %v", want, n, err)
		}
		f.n = 1 << 20
		if _, err := w.Write(nil); !errors.Is(err, want) {
			t.Errorf("written after %v: %v", want, err)
		}
		if err := w.Close(); !errors.Is(err, want) || f.n != 1<<20 {
			t.Errorf("closed after %v: %v", want, err)
		}
		if _, err := e.NewWriter(t.Context(), &failing{n: 5}, c); !errors.Is(err, errDisk) {
			t.Errorf("no room for the header: %v", err)
		}
	}
	var b bytes.Buffer
	w, err := e.NewWriter(t.Context(), &b, c)
	if err != nil {
		t.Fatal(err)
	}
	// A plaintext that is cut off must not become a complete message.
	if _, err := io.Copy(w, io.MultiReader(bytes.NewReader(text(50)), iotest.ErrReader(io.ErrUnexpectedEOF))); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("a plaintext that fails: %v", err)
	}
	if err := w.Close(); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("closed after it: %v", err)
	}
	if _, err := e.Open(t.Context(), nil, b.Bytes(), c); !errors.Is(err, kmsctx.ErrTruncated) {
		t.Errorf("opened after it: %v", err)
	}
	r, err := e.EncryptReader(t.Context(), io.MultiReader(bytes.NewReader(text(50)), iotest.ErrReader(io.ErrUnexpectedEOF)), c)
	if err != nil {
		t.Fatal(err)
	}
	m, err := io.ReadAll(r)
	if !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("EncryptReader of a plaintext that fails: %v", err)
	}
	if _, err := e.Open(t.Context(), nil, m, c); !errors.Is(err, kmsctx.ErrTruncated) {
		t.Errorf("opened after it: %v", err)
	}
	b.Reset()
	if w, err = e.NewWriter(t.Context(), &b, c); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(text(50)); err != nil {
		t.Fatal(err)
	}
	w.Abort()
	w.Abort()
	_, err1 := w.Write(text(1))
	_, err2 := w.ReadFrom(strings.NewReader("x"))
	for _, err := range []error{err1, err2, w.Close()} {
		if !errors.Is(err, kmsctx.ErrAborted) {
			t.Errorf("after Abort: %v", err)
		}
	}
	if _, err := e.Open(t.Context(), nil, b.Bytes(), c); !errors.Is(err, kmsctx.ErrTruncated) {
		t.Errorf("opened after Abort: %v", err)
	}
	b.Reset()
	if w, err = e.NewWriter(t.Context(), &b, c); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	w.Abort() // too late, and harmless
	_, err1 = w.Write(text(1))
	_, err2 = w.ReadFrom(strings.NewReader("x"))
	if !errors.Is(err1, kmsctx.ErrClosed) || !errors.Is(err2, kmsctx.ErrClosed) || w.Close() != nil {
		t.Errorf("after Close: %v, %v", err1, err2)
	}
	if got, err := e.Open(t.Context(), nil, b.Bytes(), c); err != nil || len(got) != 0 {
		t.Errorf("the control: %v", err)
	}
}

// idle returns nothing, for ever.
type idle struct{}

func (idle) Read([]byte) (int, error) { return 0, nil }

// liar says that it read more than there is room for.
type liar struct{}

func (liar) Read(p []byte) (int, error) { return len(p) + 1, nil }

func TestReadersThatMisbehave(t *testing.T) {
	t.Parallel()
	c := ec(t, "tenant", "a")
	e := envelope(t, 1, nil)
	for want, src := range map[error]io.Reader{io.ErrNoProgress: idle{}, kmsctx.ErrMalformed: liar{}} {
		w, err1 := e.NewWriter(t.Context(), io.Discard, c)
		r, err2 := e.EncryptReader(t.Context(), src, c)
		if err := errors.Join(err1, err2); err != nil {
			t.Fatal(err)
		}
		if _, err := w.ReadFrom(src); !errors.Is(err, want) {
			t.Errorf("ReadFrom: %v", err)
		}
		if _, err := io.ReadAll(r); !errors.Is(err, want) {
			t.Errorf("EncryptReader: %v", err)
		}
		if _, err := e.NewReader(t.Context(), src, c); !errors.Is(err, want) {
			t.Errorf("NewReader: %v", err)
		}
	}
	for name, f := range map[string]func() error{
		"NewWriter": func() error { _, err := e.NewWriter(t.Context(), nil, c); return err },
		"Encrypt":   func() error { _, err := e.EncryptReader(t.Context(), nil, c); return err },
		"NewReader": func() error { _, err := e.NewReader(t.Context(), nil, c); return err },
		"ReaderAt":  func() error { _, err := e.NewReaderAt(t.Context(), nil, 0, c); return err },
		"size":      func() error { _, err := e.NewReaderAt(t.Context(), strings.NewReader(""), -1, c); return err },
		"detached":  func() error { _, err := e.NewDetachedReaderAt(t.Context(), nil, nil, 0, c); return err },
	} {
		if err := f(); !errors.Is(err, kmsctx.ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// A source that is shorter than it said.
	m := seal(t, e, c)
	if _, err := e.NewReaderAt(t.Context(), bytes.NewReader(m), int64(len(m))+1, c); !errors.Is(err, kmsctx.ErrTruncated) {
		t.Errorf("a source shorter than its size: %v", err)
	}
}

func TestOverlap(t *testing.T) {
	t.Parallel()
	c := ec(t, "tenant", "a")
	e := envelope(t, 1, nil)
	b := make([]byte, 4000)
	if m, err := e.Seal(t.Context(), b[:0], b[1000:2000], c); !errors.Is(err, kmsctx.ErrOverlap) || m != nil {
		t.Errorf("seal over the plaintext: %v", err)
	}
	m, err := e.Seal(t.Context(), b[:1000:2000], b[2000:], c)
	if err != nil {
		t.Errorf("side by side: %v", err)
	}
	m = m[1000:]
	if got, err := e.Open(t.Context(), b[:0:1000], m, c); err != nil || len(got) != 2000 {
		t.Errorf("side by side: %v", err)
	}
	for _, dst := range [][]byte{m[:0], m[:10], m[:len(m)-1]} {
		if got, err := e.Open(t.Context(), dst, m, c); !errors.Is(err, kmsctx.ErrOverlap) || got != nil {
			t.Errorf("open over the message: %v", err)
		}
	}
}
