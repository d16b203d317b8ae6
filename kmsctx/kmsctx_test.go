package kmsctx_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/cloisterdev/cloister/kmsctx"
	"github.com/cloisterdev/cloister/tenant"
)

func ring(t testing.TB, fill byte) kmsctx.Keyring {
	t.Helper()
	r, err := kmsctx.NewRawAES("test", "key", tenant.NewSecret(bytes.Repeat([]byte{fill}, 32)))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func envelope(t testing.TB, fill byte, o *kmsctx.Options) *kmsctx.Envelope {
	t.Helper()
	e, err := kmsctx.New(ring(t, fill), o)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func ec(t testing.TB, pairs ...string) kmsctx.Context {
	t.Helper()
	m := map[string]string{}
	for i := 0; i < len(pairs); i += 2 {
		m[pairs[i]] = pairs[i+1]
	}
	c, err := kmsctx.NewContext(m)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestRoundTrip(t *testing.T) {
	e := envelope(t, 1, &kmsctx.Options{FrameLength: 64})
	c := ec(t, "tenant", "a", "purpose", "test")
	for _, n := range []int{0, 1, 63, 64, 65, 128, 1000} {
		want := bytes.Repeat([]byte{7}, n)
		m, err := e.Seal(context.Background(), []byte("head"), want, c)
		if err != nil {
			t.Fatal(err)
		}
		got, err := e.Open(context.Background(), nil, m[4:], c)
		if err != nil || !bytes.Equal(got, want) {
			t.Fatalf("%d bytes: %v", n, err)
		}
	}
}

func TestEveryBitAndEveryCut(t *testing.T) {
	e := envelope(t, 1, &kmsctx.Options{FrameLength: 32})
	c := ec(t, "tenant", "a")
	m, err := e.Seal(context.Background(), nil, bytes.Repeat([]byte{7}, 48), c)
	if err != nil {
		t.Fatal(err)
	}
	for i := range m {
		for bit := range 8 {
			x := bytes.Clone(m)
			x[i] ^= 1 << bit
			if got, err := e.Open(context.Background(), nil, x, c); err == nil || got != nil {
				t.Fatalf("byte %d bit %d: opened", i, bit)
			}
		}
		if got, err := e.Open(context.Background(), nil, m[:i], c); err == nil || got != nil {
			t.Fatalf("cut at %d: opened", i)
		}
	}
	if _, err := e.Open(context.Background(), nil, append(bytes.Clone(m), 0), c); !errors.Is(err, kmsctx.ErrTrailing) {
		t.Errorf("a trailing byte: %v", err)
	}
	if _, err := e.Open(context.Background(), nil, m[:len(m)-1], c); !errors.Is(err, kmsctx.ErrTruncated) {
		t.Errorf("cut by one: %v", err)
	}
}

func TestContextMustMatch(t *testing.T) {
	e := envelope(t, 1, nil)
	c := ec(t, "tenant", "a", "customization", "b")
	m, err := e.Seal(context.Background(), nil, []byte("x"), c)
	if err != nil {
		t.Fatal(err)
	}
	for name, w := range map[string]kmsctx.Context{
		"other value": ec(t, "tenant", "a", "customization", "c"),
		"missing":     ec(t, "tenant", "a"),
		"extra":       ec(t, "tenant", "a", "customization", "b", "x", "y"),
		"swapped":     ec(t, "tenant", "b", "customization", "a"),
		"case":        ec(t, "tenant", "A", "customization", "b"),
	} {
		if _, err := e.Open(context.Background(), nil, m, w); !errors.Is(err, kmsctx.ErrContextMismatch) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := e.Open(context.Background(), nil, m, kmsctx.Context{}); !errors.Is(err, kmsctx.ErrContext) {
		t.Errorf("no context: %v", err)
	}
	if _, err := e.Seal(context.Background(), nil, nil, kmsctx.Context{}); !errors.Is(err, kmsctx.ErrContext) {
		t.Errorf("seal without context: %v", err)
	}
	n := 0
	for i := range 40 {
		for j := range 30 {
			w := ec(t, "tenant", fmt.Sprintf("a%d", i), "customization", fmt.Sprintf("b%d", j))
			if _, err := e.Open(context.Background(), nil, m, w); err == nil {
				t.Fatal("a mutated context opens")
			}
			n++
		}
	}
	if n < 1000 {
		t.Fatal(n)
	}
}

func TestOtherKey(t *testing.T) {
	c := ec(t, "tenant", "a")
	m, err := envelope(t, 1, nil).Seal(context.Background(), nil, []byte("x"), c)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := envelope(t, 2, nil).Open(context.Background(), nil, m, c); !errors.Is(err, kmsctx.ErrNoMatchingKey) {
		t.Error(err)
	}
}

// lying returns a data key that is not the one in the message.
type lying struct{ kmsctx.Keyring }

func (lying) DecryptDataKey(context.Context, kmsctx.Context, []kmsctx.EncryptedDataKey) (*kmsctx.DataKey, error) {
	return &kmsctx.DataKey{Plaintext: make([]byte, 32)}, nil
}

func TestCommitment(t *testing.T) {
	c := ec(t, "tenant", "a")
	m, err := envelope(t, 1, nil).Seal(context.Background(), nil, []byte("x"), c)
	if err != nil {
		t.Fatal(err)
	}
	e, err := kmsctx.New(lying{ring(t, 1)}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := e.Open(context.Background(), nil, m, c); !errors.Is(err, kmsctx.ErrCommitment) {
		t.Error(err)
	}
}

func TestContextRules(t *testing.T) {
	for name, m := range map[string]map[string]string{
		"empty": {}, "nil": nil, "upper-case key": {"Tenant": "a"}, "reserved": {"aws-crypto-public-key": "a"},
		"empty value": {"a": ""}, "empty key": {"": "a"}, "space": {"a": "b c"}, "non-ASCII": {"a": "ä"}, "control": {"a": "\x1b"},
		"too long": {"a": string(bytes.Repeat([]byte{'x'}, 384))},
		"too many": {"a": "1", "b": "1", "c": "1", "d": "1", "e": "1", "f": "1", "g": "1", "h": "1", "i": "1"},
	} {
		if _, err := kmsctx.NewContext(m); !errors.Is(err, kmsctx.ErrContext) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestSegmentKey(t *testing.T) {
	key := bytes.Repeat([]byte{1}, 32)
	seen := map[string]bool{}
	for _, c := range []kmsctx.Context{ec(t, "a", "b"), ec(t, "a", "c")} {
		for _, info := range []string{"pages", "manifest"} {
			k, err := kmsctx.SegmentKey(key, c, info)
			if err != nil || seen[string(k)] {
				t.Fatal("segment keys are not distinct", err)
			}
			seen[string(k)] = true
		}
	}
	for _, f := range []func() ([]byte, error){
		func() ([]byte, error) { return kmsctx.SegmentKey(key[:31], ec(t, "a", "b"), "x") },
		func() ([]byte, error) { return kmsctx.SegmentKey(key, kmsctx.Context{}, "x") },
		func() ([]byte, error) { return kmsctx.SegmentKey(key, ec(t, "a", "b"), "") },
	} {
		if _, err := f(); err == nil {
			t.Error("accepted")
		}
	}
}
