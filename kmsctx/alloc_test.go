package kmsctx_test

import (
	"bytes"
	"context"
	"io"
	"runtime"
	"testing"
	"time"

	"github.com/cloisterdev/cloister/kmsctx"
)

// warm is an envelope over a cache that has its keys.
func warm(t testing.TB) (*kmsctx.Envelope, kmsctx.Context) {
	t.Helper()
	c := ec(t, "tenant", "tn-0123456789", "purpose", "test")
	cache := newCache(t, kmsctx.CachePolicy{MaxAge: time.Hour, MaxMessages: 1 << 32, MaxBytes: 1 << 50})
	e := view(t, cache, partition(newSession(time.Hour)), ring(t, 1), &kmsctx.Options{MaxStream: 1 << 30, Workers: 1})
	open(t, e, seal(t, e, c), c, nil)
	return e, c
}

func allocs(t *testing.T, what string, most float64, f func() error) {
	t.Helper()
	n := testing.AllocsPerRun(50, func() {
		if err := f(); err != nil {
			t.Fatal(err)
		}
	})
	if n > most {
		t.Errorf("%s: %v allocations, at most %v", what, n, most)
	}
}

func TestAllocations(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	e, c := warm(t)
	plain := text(1 << 10)
	dst := make([]byte, 0, 1<<12)
	ctx := context.Background()
	m, err := e.Seal(ctx, nil, plain, c)
	if err != nil {
		t.Fatal(err)
	}
	allocs(t, "seal 1 KiB", 12, func() error { _, err := e.Seal(ctx, dst, plain, c); return err })
	allocs(t, "open 1 KiB", 12, func() error { _, err := e.Open(ctx, dst, m, c); return err })

	// A hundred frames cost what ten cost.
	frames := func(n int) (seal, open func() error) {
		big := text(n << 16)
		var b bytes.Buffer
		b.Grow(len(big) + 1<<14)
		w, err := e.NewWriter(ctx, &b, c)
		if err == nil {
			_, err = w.Write(big)
		}
		if err == nil {
			err = w.Close()
		}
		if err != nil {
			t.Fatal(err)
		}
		m := b.Bytes()
		return func() error {
				w, err := e.NewWriter(ctx, io.Discard, c)
				if err != nil {
					return err
				}
				if _, err := w.ReadFrom(onlyReader{bytes.NewReader(big)}); err != nil {
					return err
				}
				return w.Close()
			}, func() error {
				r, err := e.NewReader(ctx, bytes.NewReader(m), c)
				if err != nil {
					return err
				}
				_, err = r.WriteTo(onlyWriter{io.Discard})
				return err
			}
	}
	s10, o10 := frames(10)
	s100, o100 := frames(100)
	run := func(f func() error) float64 {
		return testing.AllocsPerRun(10, func() {
			if err := f(); err != nil {
				t.Fatal(err)
			}
		})
	}
	if a, b := run(s10), run(s100); b > a+1 {
		t.Errorf("Writer: %v allocations for 10 frames, %v for 100", a, b)
	}
	if a, b := run(o10), run(o100); b > a+1 {
		t.Errorf("Reader: %v allocations for 10 frames, %v for 100", a, b)
	}

	big, err := e.Seal(ctx, nil, text(1<<20), c)
	if err != nil {
		t.Fatal(err)
	}
	r, err := e.NewReaderAt(ctx, bytes.NewReader(big), int64(len(big)), c)
	if err != nil {
		t.Fatal(err)
	}
	p, off := make([]byte, 4<<10), int64(0)
	allocs(t, "ReadAt 4 KiB", 0, func() error { off = (off + 77777) % (1<<20 - 4<<10); _, err := r.ReadAt(p, off); return err })
}

// A stream of 16 MiB takes the memory of three frames.
func TestStreamMemory(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	const frame = 64 << 10
	e, c := warm(t)
	big := text(16 << 20)
	var m bytes.Buffer
	m.Grow(len(big) + 1<<15)
	spent := func(what string, f func() error) {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		if err := f(); err != nil {
			t.Fatal(err)
		}
		runtime.ReadMemStats(&after)
		if n := after.TotalAlloc - before.TotalAlloc; n > 3*frame {
			t.Errorf("%s: %d bytes allocated, of which 3 frames are %d", what, n, 3*frame)
		}
	}
	spent("Writer", func() error {
		w, err := e.NewWriter(t.Context(), onlyWriter{&m}, c)
		if err != nil {
			return err
		}
		if _, err := w.ReadFrom(onlyReader{bytes.NewReader(big)}); err != nil {
			return err
		}
		return w.Close()
	})
	spent("Reader", func() error {
		r, err := e.NewReader(t.Context(), bytes.NewReader(m.Bytes()), c)
		if err != nil {
			return err
		}
		n, err := r.WriteTo(onlyWriter{io.Discard})
		if n != int64(len(big)) {
			t.Errorf("%d bytes", n)
		}
		return err
	})
}

type onlyReader struct{ io.Reader }

type onlyWriter struct{ io.Writer }

func BenchmarkKmsctx(b *testing.B) {
	e, c := warm(b)
	ctx := context.Background()
	for _, n := range []int{1 << 10, 1 << 20, 16 << 20} {
		plain := text(n)
		m, err := e.Seal(ctx, nil, plain, c)
		if err != nil {
			b.Fatal(err)
		}
		dst := make([]byte, 0, len(m)+1<<12)
		name := map[int]string{1 << 10: "1KiB", 1 << 20: "1MiB", 16 << 20: "16MiB"}[n]
		b.Run("seal/"+name, func(b *testing.B) {
			b.SetBytes(int64(n))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := e.Seal(ctx, dst, plain, c); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run("open/"+name, func(b *testing.B) {
			b.SetBytes(int64(n))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := e.Open(ctx, dst, m, c); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
