package kmsctx

import (
	"bytes"
	"context"
	"errors"
	"io"
	"sync"
	"testing"

	"github.com/cloisterdev/cloister/tenant"
)

func rawEnvelope(t *testing.T, o *Options) (*Envelope, Context) {
	t.Helper()
	r, err := NewRawAES("test", "key", tenant.NewSecret(bytes.Repeat([]byte{1}, DataKeyLen)))
	if err != nil {
		t.Fatal(err)
	}
	e, err := New(r, o)
	if err != nil {
		t.Fatal(err)
	}
	c, err := NewContext(map[string]string{"tenant": "a"})
	if err != nil {
		t.Fatal(err)
	}
	return e, c
}

var secretText = bytes.Repeat([]byte("plaintext that must not stay "), 100)

func holds(b []byte) bool { return bytes.Contains(b[:cap(b)], secretText[:16]) }

// What was opened before a refusal, and what a stream held, is wiped.
func TestPlaintextIsWiped(t *testing.T) {
	t.Parallel()
	for _, suite := range []Suite{Committing, CommittingSigned} {
		e, c := rawEnvelope(t, &Options{FrameLength: 1000, Suite: suite})
		m, err := e.Seal(t.Context(), nil, secretText, c)
		if err != nil {
			t.Fatal(err)
		}
		for _, at := range []int{len(m) - 1, len(m) - 200} {
			bad := bytes.Clone(m)
			bad[at] ^= 1
			dst := make([]byte, 0, 2*len(m))
			if _, err := e.Open(t.Context(), dst, bad, c); err == nil || holds(dst) {
				t.Errorf("%v, altered at %d: Open leaves plaintext behind: %v", suite, at, err)
			}
			r, err := e.NewReader(t.Context(), bytes.NewReader(bad), c)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := io.ReadFull(r, make([]byte, 500)); err != nil {
				t.Fatal(err)
			}
			held := r.buf
			if !holds(held) {
				t.Fatal("the test does not see the plaintext")
			}
			if _, err := io.Copy(io.Discard, r); err == nil || holds(held) || r.w.f.aead != nil {
				t.Errorf("%v, altered at %d: Reader leaves plaintext behind: %v", suite, at, err)
			}
		}
	}
	e, c := rawEnvelope(t, &Options{FrameLength: 10000})
	for name, end := range map[string]func(w *Writer){"Close": func(w *Writer) { _ = w.Close() }, "Abort": (*Writer).Abort} {
		w, err := e.NewWriter(t.Context(), io.Discard, c)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(secretText); err != nil {
			t.Fatal(err)
		}
		held := w.s.buf
		if !holds(held) {
			t.Fatal("the test does not see the plaintext")
		}
		if end(w); holds(held) || w.s.w.f.aead != nil {
			t.Errorf("%s leaves plaintext behind", name)
		}
	}
	m, err := e.Seal(t.Context(), nil, secretText, c)
	if err != nil {
		t.Fatal(err)
	}
	at, err := e.NewReaderAt(t.Context(), bytes.NewReader(m), int64(len(m)), c)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := at.ReadAt(make([]byte, 100), 5); err != nil {
		t.Fatal(err)
	}
	if s := at.scratch.Get().(*frameScratch); holds(s.buf) {
		t.Error("ReadAt leaves plaintext behind")
	}
}

// lent is a keyring whose keys the test can look at afterwards.
type lent struct {
	Keyring
	mu   sync.Mutex
	keys []*DataKey
	raw  [][]byte
}

func (l *lent) keep(dk *DataKey, err error) (*DataKey, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err == nil {
		l.keys, l.raw = append(l.keys, dk), append(l.raw, dk.Plaintext)
	}
	return dk, err
}

func (l *lent) GenerateDataKey(ctx context.Context, c Context) (*DataKey, error) {
	return l.keep(l.Keyring.GenerateDataKey(ctx, c))
}

func (l *lent) DecryptDataKey(ctx context.Context, c Context, keys []EncryptedDataKey) (*DataKey, error) {
	return l.keep(l.Keyring.DecryptDataKey(ctx, c, keys))
}

// Data keys are wiped after every operation, however it ends.
func TestDataKeysAreWiped(t *testing.T) {
	t.Parallel()
	e, c := rawEnvelope(t, nil)
	l := &lent{Keyring: e.ring}
	e, err := New(l, &Options{AllowRewrap: true})
	if err != nil {
		t.Fatal(err)
	}
	m, err := e.Seal(t.Context(), nil, secretText, c)
	if err != nil {
		t.Fatal(err)
	}
	bad := bytes.Clone(m)
	bad[len(bad)-1] ^= 1
	u, err := InspectUnverified(m)
	if err != nil {
		t.Fatal(err)
	}
	_, err1 := e.Open(t.Context(), nil, m, c)
	_, err2 := e.Open(t.Context(), nil, bad, c)
	_, err3 := e.NewWriter(t.Context(), io.Discard, c)
	_, err4 := e.NewReader(t.Context(), bytes.NewReader(m), c)
	_, err5 := e.NewReaderAt(t.Context(), bytes.NewReader(m), int64(len(m)), c)
	_, err6 := e.Rewrap(t.Context(), m[:u.HeaderLength], c, l.Keyring.(Wrapper), c)
	if err := errors.Join(err1, err3, err4, err5, err6); err != nil || err2 == nil || len(l.raw) != 7 {
		t.Fatalf("%d keys: %v, %v", len(l.raw), err, err2)
	}
	for i, b := range l.raw {
		if !bytes.Equal(b, make([]byte, DataKeyLen)) || l.keys[i].Plaintext != nil {
			t.Errorf("the key of operation %d is not wiped", i)
		}
	}
}

// One envelope, one random-access reader, many goroutines.
func TestConcurrentUse(t *testing.T) {
	t.Parallel()
	e, c := rawEnvelope(t, &Options{FrameLength: 100})
	m, err := e.Seal(t.Context(), nil, secretText, c)
	if err != nil {
		t.Fatal(err)
	}
	r, err := e.NewReaderAt(t.Context(), bytes.NewReader(m), int64(len(m)), c)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for g := range 16 {
		wg.Go(func() {
			for i := range 20 {
				p := make([]byte, 250)
				off := (g*131 + i*977) % (len(secretText) - len(p))
				if _, err := r.ReadAt(p, int64(off)); err != nil || !bytes.Equal(p, secretText[off:off+len(p)]) {
					t.Errorf("at %d: %v", off, err)
				}
				own, err := e.Seal(t.Context(), nil, secretText[g:], c)
				if err != nil {
					t.Error(err)
					return
				}
				if got, err := e.Open(t.Context(), nil, own, c); err != nil || !bytes.Equal(got, secretText[g:]) {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
}
