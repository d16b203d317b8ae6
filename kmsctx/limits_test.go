package kmsctx_test

import (
	"bytes"
	"context"
	"errors"
	"math"
	"testing"

	"github.com/cloisterdev/cloister/kmsctx"
	"github.com/cloisterdev/cloister/tenant"
)

// What an envelope would refuse to open it does not seal: more encrypted data
// keys than it accepts.
func TestSealsWhatItOpens(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	rings := make([]kmsctx.Keyring, 5)
	for i := range rings {
		r, err := kmsctx.NewRawAES("test", string(rune('a'+i)), tenant.NewSecret(bytes.Repeat([]byte{byte(i + 1)}, 32)))
		if err != nil {
			t.Fatal(err)
		}
		rings[i] = r
	}
	ec, err := kmsctx.NewContext(map[string]string{"tenant": "a"})
	if err != nil {
		t.Fatal(err)
	}
	for n, want := range map[int]error{4: nil, 5: kmsctx.ErrLimit} {
		ring, err := kmsctx.Multi(rings[0], rings[1:n]...)
		if err != nil {
			t.Fatal(err)
		}
		e, err := kmsctx.New(ring, nil)
		if err != nil {
			t.Fatal(err)
		}
		m, err := e.Seal(ctx, nil, []byte("text"), ec)
		if !errors.Is(err, want) || (err == nil) != (want == nil) {
			t.Errorf("%d keys: %v", n, err)
		}
		var out bytes.Buffer
		if _, err := e.NewWriter(ctx, &out, ec); !errors.Is(err, want) || (err == nil) != (want == nil) || err != nil && out.Len() > 0 {
			t.Errorf("%d keys, a stream: %v, %d bytes", n, err, out.Len())
		}
		if want != nil {
			continue
		}
		if plain, err := e.Open(ctx, nil, m, ec); err != nil || string(plain) != "text" {
			t.Errorf("%d keys: %q, %v", n, plain, err)
		}
	}
}

// The largest limits that are accepted add up in an int of 32 bits too.
func TestLargestLimits(t *testing.T) {
	t.Parallel()
	ring, err := kmsctx.NewRawAES("test", "a", tenant.NewSecret(bytes.Repeat([]byte{1}, 32)))
	if err != nil {
		t.Fatal(err)
	}
	for name, o := range map[string]kmsctx.Options{
		"header": {MaxHeader: math.MaxInt32}, "frame": {MaxFrame: math.MaxInt32},
		"header, by one": {MaxHeader: 1<<30 + 1}, "frame, by one": {MaxFrame: 1<<30 + 1},
	} {
		if _, err := kmsctx.New(ring, &o); !errors.Is(err, kmsctx.ErrLimit) {
			t.Errorf("%s: %v", name, err)
		}
	}
	ctx := context.Background()
	ec, err := kmsctx.NewContext(map[string]string{"tenant": "a"})
	if err != nil {
		t.Fatal(err)
	}
	e, err := kmsctx.New(ring, &kmsctx.Options{MaxHeader: 1 << 30, MaxFrame: 1 << 30, MaxPlaintext: math.MaxInt, AllowUnframed: true})
	if err != nil {
		t.Fatal(err)
	}
	m, err := e.Seal(ctx, nil, []byte("text"), ec)
	if err != nil {
		t.Fatal(err)
	}
	u, err := kmsctx.InspectUnverified(m)
	if err != nil {
		t.Fatal(err)
	}
	// A header that promises the longest frame, and one with a single block.
	for name, change := range map[string]func(h []byte){
		"frame": func(h []byte) { copy(h[u.HeaderLength-52:], []byte{0x40, 0, 0, 0}) },
		"block": func(h []byte) { copy(h[u.HeaderLength-53:], []byte{1, 0, 0, 0, 0}) },
	} {
		x := bytes.Clone(m)
		change(x)
		if _, err := e.Open(ctx, nil, x, ec); !errors.Is(err, kmsctx.ErrHeaderAuth) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// One byte a frame: the message of 64 MiB is longer than 32 bits tell.
	if math.MaxInt == math.MaxInt32 {
		e, err := kmsctx.New(ring, &kmsctx.Options{FrameLength: 1})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := e.Seal(ctx, nil, make([]byte, 64<<20), ec); !errors.Is(err, kmsctx.ErrLimit) {
			t.Errorf("frames of a byte: %v", err)
		}
	}
}
