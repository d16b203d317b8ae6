package kmsctx_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
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

func TestWithheld(t *testing.T) {
	t.Parallel()
	c := ec(t, "tenant", "a", "customization", "b", "purpose", "test")
	for _, suite := range []kmsctx.Suite{kmsctx.Committing, kmsctx.CommittingSigned} {
		e := envelope(t, 1, &kmsctx.Options{Withheld: []string{"tenant", "customization"}, Suite: suite})
		m := seal(t, e, c)
		u, err := kmsctx.InspectUnverified(m)
		delete(u.Context, "aws-crypto-public-key")
		if err != nil || len(u.Context) != 1 || u.Context["purpose"] != "test" {
			t.Errorf("the header says %v, %v", u.Context, err)
		}
		open(t, e, m, c, nil)
		open(t, e, m, ec(t, "tenant", "a", "purpose", "test"), kmsctx.ErrNoMatchingKey)
		open(t, e, m, ec(t, "tenant", "a", "customization", "c", "purpose", "test"), kmsctx.ErrNoMatchingKey)
		open(t, e, m, ec(t, "tenant", "a", "customization", "b"), kmsctx.ErrContextMismatch)
		open(t, e, m, ec(t, "tenant", "a", "customization", "b", "purpose", "x"), kmsctx.ErrContextMismatch)
		open(t, e, m, ec(t, "tenant", "a", "customization", "b", "purpose", "test", "more", "x"), kmsctx.ErrContextMismatch)
		open(t, envelope(t, 1, nil), m, c, kmsctx.ErrContextMismatch) // no list, no withheld pairs
		// Stored pairs open with the list too.
		open(t, e, seal(t, envelope(t, 1, &kmsctx.Options{Suite: suite}), c), c, nil)
		// The header's tag alone refuses another value, where a keyring binds none.
		lie, err := kmsctx.New(unbound{ring(t, 1)}, &kmsctx.Options{Withheld: []string{"tenant", "customization"}, Suite: suite})
		if err != nil {
			t.Fatal(err)
		}
		m = seal(t, lie, c)
		open(t, lie, m, c, nil)
		open(t, lie, m, ec(t, "tenant", "a", "customization", "c", "purpose", "test"), kmsctx.ErrHeaderAuth)
	}
	all := envelope(t, 1, &kmsctx.Options{Withheld: []string{"tenant", "customization", "purpose"}})
	m := seal(t, all, c)
	if u, err := kmsctx.InspectUnverified(m); err != nil || len(u.Context) != 0 {
		t.Errorf("everything withheld: %v, %v", u.Context, err)
	}
	open(t, all, m, c, nil)
	open(t, all, m, ec(t, "tenant", "a"), kmsctx.ErrNoMatchingKey)
}

// unbound is a keyring that forgets the context, as one over RSA must.
type unbound struct{ kmsctx.Keyring }

func (u unbound) GenerateDataKey(ctx context.Context, _ kmsctx.Context) (*kmsctx.DataKey, error) {
	c, _ := kmsctx.ForeignContext(nil)
	return u.Keyring.GenerateDataKey(ctx, c)
}

func (u unbound) DecryptDataKey(ctx context.Context, _ kmsctx.Context, keys []kmsctx.EncryptedDataKey) (*kmsctx.DataKey, error) {
	c, _ := kmsctx.ForeignContext(nil)
	return u.Keyring.DecryptDataKey(ctx, c, keys)
}

func TestSubsetAndRequired(t *testing.T) {
	t.Parallel()
	c := ec(t, "tenant", "a", "purpose", "test")
	m := seal(t, envelope(t, 1, nil), c)
	signed := seal(t, envelope(t, 1, &kmsctx.Options{Suite: kmsctx.CommittingSigned}), c)
	sub := envelope(t, 1, &kmsctx.Options{Subset: true})
	for _, m := range [][]byte{m, signed} {
		open(t, sub, m, ec(t, "tenant", "a"), nil)
		open(t, sub, m, c, nil)
		open(t, sub, m, ec(t, "tenant", "b"), kmsctx.ErrContextMismatch)
		open(t, sub, m, ec(t, "tenant", "a", "more", "x"), kmsctx.ErrContextMismatch)
		open(t, envelope(t, 1, nil), m, ec(t, "tenant", "a"), kmsctx.ErrContextMismatch)
	}
	open(t, envelope(t, 1, &kmsctx.Options{RefuseSigned: true}), signed, c, kmsctx.ErrUnsupported)
	open(t, envelope(t, 1, &kmsctx.Options{RefuseSigned: true}), m, c, nil)

	need := envelope(t, 1, &kmsctx.Options{RequiredKeys: []string{"tenant", "customization"}})
	for name, seal := range sealWays {
		if _, err := seal(t, need, nil, c); !errors.Is(err, kmsctx.ErrContext) {
			t.Errorf("%s without a required key: %v", name, err)
		}
		if _, err := seal(t, need, nil, kmsctx.Context{}); !errors.Is(err, kmsctx.ErrContext) {
			t.Errorf("%s without a context: %v", name, err)
		}
	}
	for name, open := range openWays {
		if _, err := open(need, m, c); !errors.Is(err, kmsctx.ErrContext) {
			t.Errorf("%s without a required key: %v", name, err)
		}
		if _, err := open(need, m, kmsctx.Context{}); !errors.Is(err, kmsctx.ErrContext) {
			t.Errorf("%s without a context: %v", name, err)
		}
	}
	full := ec(t, "tenant", "a", "customization", "b")
	open(t, need, seal(t, need, full), full, nil)
}

func TestRewrap(t *testing.T) {
	t.Parallel()
	from, to := ec(t, "tenant", "a"), ec(t, "tenant", "b")
	o := &kmsctx.Options{FrameLength: 16, AllowRewrap: true}
	mine := envelope(t, 1, o)
	theirs, err := kmsctx.New(ring(t, 2), o)
	if err != nil {
		t.Fatal(err)
	}
	plain := text(50)
	m, err := mine.Seal(t.Context(), nil, plain, from)
	if err != nil {
		t.Fatal(err)
	}
	u, err := kmsctx.InspectUnverified(m)
	if err != nil {
		t.Fatal(err)
	}
	head, body := m[:u.HeaderLength], m[u.HeaderLength:]
	moved, err := mine.Rewrap(t.Context(), head, from, ring(t, 2).(kmsctx.Wrapper), to)
	if err != nil {
		t.Fatal(err)
	}
	for name, open := range openWays {
		if got, err := open(theirs, append(bytes.Clone(moved), body...), to); err != nil || !bytes.Equal(got, plain) {
			t.Errorf("%s of what moved: %v", name, err)
		}
	}
	if got, err := theirs.OpenDetached(t.Context(), nil, moved, body, to); err != nil || !bytes.Equal(got, plain) {
		t.Errorf("OpenDetached: %v", err)
	}
	for name, tc := range map[string]struct {
		e    *kmsctx.Envelope
		head []byte
		c    kmsctx.Context
		want error
	}{
		"the old context":    {theirs, moved, from, kmsctx.ErrContextMismatch},
		"the old key":        {mine, moved, to, kmsctx.ErrNoMatchingKey},
		"the old header":     {theirs, head, from, kmsctx.ErrNoMatchingKey},
		"more than a header": {theirs, append(bytes.Clone(moved), 0), to, kmsctx.ErrTrailing},
		"less than a header": {theirs, moved[:len(moved)-1], to, kmsctx.ErrTruncated},
	} {
		if got, err := tc.e.OpenDetached(t.Context(), nil, tc.head, body, tc.c); !errors.Is(err, tc.want) || got != nil {
			t.Errorf("%s: %v", name, err)
		}
		if got, err := tc.e.Rewrap(t.Context(), tc.head, tc.c, nil, to); !errors.Is(err, tc.want) || got != nil {
			t.Errorf("rewrap with %s: %v", name, err)
		}
	}
	strict := envelope(t, 1, nil)
	noWrap, err := kmsctx.New(unbound{ring(t, 1)}, o)
	if err != nil {
		t.Fatal(err)
	}
	signed, err := envelope(t, 1, &kmsctx.Options{Suite: kmsctx.CommittingSigned}).Seal(t.Context(), nil, nil, from)
	if err != nil {
		t.Fatal(err)
	}
	us, err := kmsctx.InspectUnverified(signed)
	if err != nil {
		t.Fatal(err)
	}
	over, cancel := context.WithCancel(t.Context())
	cancel()
	for name, f := range map[string]func() ([]byte, error){
		"not allowed":   func() ([]byte, error) { return strict.Rewrap(t.Context(), head, from, nil, to) },
		"no wrapper":    func() ([]byte, error) { return noWrap.Rewrap(t.Context(), head, from, nil, to) },
		"signed":        func() ([]byte, error) { return mine.Rewrap(t.Context(), signed[:us.HeaderLength], from, nil, to) },
		"wrong context": func() ([]byte, error) { return mine.Rewrap(t.Context(), head, to, nil, to) },
		"no context":    func() ([]byte, error) { return mine.Rewrap(t.Context(), head, from, nil, kmsctx.Context{}) },
		"cancelled":     func() ([]byte, error) { return mine.Rewrap(over, head, from, nil, to) },
	} {
		got, err := f()
		want := map[string]error{"wrong context": kmsctx.ErrContextMismatch, "no context": kmsctx.ErrContext, "cancelled": context.Canceled}[name]
		if want == nil {
			want = kmsctx.ErrUnsupported
		}
		if !errors.Is(err, want) || got != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestForeignContext(t *testing.T) {
	t.Parallel()
	for name, m := range map[string]map[string]string{
		"reserved": {"aws-crypto-x": "a"}, "empty key": {"": "a"}, "bad key": {"\xff": "a"}, "bad value": {"a": "\xff"},
		"too long": {"a": strings.Repeat("x", 1<<16-7)},
	} {
		if c, err := kmsctx.ForeignContext(m); !errors.Is(err, kmsctx.ErrContext) || !c.IsZero() {
			t.Errorf("%s: %v", name, err)
		}
	}
	e := envelope(t, 1, &kmsctx.Options{MaxHeader: 1 << 17})
	for name, m := range map[string]map[string]string{
		"none": nil, "mixed case": {"Tenant": "A", "tenantId": "b"}, "beyond the BMP": {"𐐷": "😀", "ﬀ": "x"}, "empty value": {"a": ""},
		"long": {"a": strings.Repeat("x", 1<<16-8)},
	} {
		c := foreign(t, m)
		sealed := seal(t, e, c)
		open(t, e, sealed, c, nil)
		more := c.Pairs()
		more["b"] = "c"
		if c2, err := kmsctx.ForeignContext(more); err == nil {
			open(t, e, sealed, c2, kmsctx.ErrContextMismatch)
		}
		open(t, e, sealed, kmsctx.Context{}, kmsctx.ErrContext)
		u, err := kmsctx.InspectUnverified(sealed)
		if err != nil || len(u.Context) != len(m) {
			t.Errorf("%s: %v, %v", name, u.Context, err)
		}
	}
}

func TestConditions(t *testing.T) {
	t.Parallel()
	c := foreign(t, map[string]string{"tenant": "tn-1", "purpose": "a${b}"})
	g, err := c.GrantConstraint()
	b, _ := json.Marshal(g)
	if err != nil || string(b) != `{"EncryptionContextEquals":{"purpose":"a${b}","tenant":"tn-1"}}` {
		t.Errorf("%s, %v", b, err)
	}
	p, err := c.PolicyCondition()
	b, _ = json.Marshal(p)
	want := `{"ForAllValues:StringEquals":{"kms:EncryptionContextKeys":["purpose","tenant"]},` +
		`"StringEquals":{"kms:EncryptionContext:purpose":["a${$}{b}"],"kms:EncryptionContext:tenant":["tn-1"]}}`
	if err != nil || string(b) != want {
		t.Errorf("%s, %v", b, err)
	}
	s, err := base64.StdEncoding.DecodeString(c.S3Header())
	if err != nil || string(s) != `{"purpose":"a${b}","tenant":"tn-1"}` {
		t.Errorf("%s, %v", s, err)
	}
	nine := map[string]string{}
	for _, k := range strings.Split("abcdefghi", "") {
		nine[k] = "x"
	}
	for name, c := range map[string]kmsctx.Context{
		"zero": {}, "none": foreign(t, nil), "nine pairs": foreign(t, nine), "case": foreign(t, map[string]string{"A": "x", "a": "y"}),
		"long": foreign(t, map[string]string{"a": strings.Repeat("x", 384)}),
	} {
		if g, err := c.GrantConstraint(); !errors.Is(err, kmsctx.ErrContext) || g.Equals != nil {
			t.Errorf("a grant for %s: %v", name, err)
		}
		p, err := c.PolicyCondition()
		if none := len(c.Pairs()) == 0; none != (c.S3Header() == "") || none != errors.Is(err, kmsctx.ErrContext) || none != (p == nil) {
			t.Errorf("a policy for %s: %v, %v", name, p, err)
		}
	}
}

func TestMultiOpensWithAnyOfItsKeys(t *testing.T) {
	t.Parallel()
	c := ec(t, "tenant", "a")
	m, err := kmsctx.Multi(ring(t, 1), ring(t, 2), ring(t, 3))
	if err != nil {
		t.Fatal(err)
	}
	e, err := kmsctx.New(m, nil)
	if err != nil {
		t.Fatal(err)
	}
	sealed := seal(t, e, c)
	if u, err := kmsctx.InspectUnverified(sealed); err != nil || len(u.Keys) != 3 {
		t.Errorf("%d keys, %v", len(u.Keys), err)
	}
	for _, fill := range []byte{1, 2, 3} {
		open(t, envelope(t, fill, nil), sealed, c, nil)
		open(t, e, seal(t, envelope(t, fill, nil), c), c, nil)
	}
	open(t, envelope(t, 4, nil), sealed, c, kmsctx.ErrNoMatchingKey)
	open(t, e, seal(t, envelope(t, 4, nil), c), c, kmsctx.ErrNoMatchingKey)
	// A child that cannot wrap makes no message with a key less.
	dead, err := kmsctx.Multi(ring(t, 1), refusing{ring(t, 2)})
	if err != nil {
		t.Fatal(err)
	}
	if e, err = kmsctx.New(dead, nil); err != nil {
		t.Fatal(err)
	}
	if got, err := e.Seal(t.Context(), nil, nil, c); !errors.Is(err, kmsctx.ErrNotAuthorized) || got != nil {
		t.Errorf("a child that refuses: %v", err)
	}
	if err := func() error { _, err := e.Open(t.Context(), nil, seal(t, envelope(t, 4, nil), c), c); return err }(); !errors.Is(err, kmsctx.ErrNoMatchingKey) || !errors.Is(err, kmsctx.ErrKeyDisabled) {
		t.Errorf("the error is not all of theirs: %v", err)
	}
}

type refusing struct{ kmsctx.Keyring }

func (refusing) WrapDataKey(context.Context, kmsctx.Context, []byte) ([]kmsctx.EncryptedDataKey, error) {
	return nil, kmsctx.ErrNotAuthorized
}

func (refusing) DecryptDataKey(context.Context, kmsctx.Context, []kmsctx.EncryptedDataKey) (*kmsctx.DataKey, error) {
	return nil, kmsctx.ErrKeyDisabled
}
