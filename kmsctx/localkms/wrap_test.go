package localkms_test

import (
	"bytes"
	"errors"
	"testing"

	"github.com/cloisterdev/cloister/kmsctx"
	"github.com/cloisterdev/cloister/kmsctx/localkms"
)

func TestEveryBitAndEveryCut(t *testing.T) {
	t.Parallel()
	k, c := open(t, t.TempDir()), ec(t, "tenant", "a")
	g := grant(t, k, "key", "g", "tenant", "a")
	plain, wrapped := generate(t, k, g, c)
	try := func(what string, i int, b []byte) {
		t.Helper()
		if p, err := k.Decrypt(ctx, g, c, b); !errors.Is(err, localkms.ErrInvalidCiphertext) || p != nil {
			t.Fatalf("%s %d: %x, %v", what, i, p, err)
		}
	}
	for i := range wrapped {
		for bit := range 8 {
			b := bytes.Clone(wrapped)
			b[i] ^= 1 << bit
			try("bit of byte", i, b)
		}
		try("cut at", i, wrapped[:i])
		try("without the first", i, wrapped[i+1:])
	}
	try("appended", 1, append(bytes.Clone(wrapped), 0))
	try("twice", 2, append(bytes.Clone(wrapped), wrapped...))
	try("none", 0, nil)
	opens(t, k, "unaltered", g, c, wrapped, plain)
}

// A grant that covers many contexts opens a data key under its own only.
func TestContextIsExact(t *testing.T) {
	t.Parallel()
	k, c := open(t, t.TempDir()), ec(t, "tenant", "a", "purpose", "p", "collection", "x")
	g := grant(t, k, "key", "g", "tenant", "a")
	plain, wrapped := generate(t, k, g, c)
	for name, other := range map[string]kmsctx.Context{
		"wrong pair":   ec(t, "tenant", "a", "purpose", "q", "collection", "x"),
		"missing pair": ec(t, "tenant", "a", "purpose", "p"),
		"extra pair":   ec(t, "tenant", "a", "purpose", "p", "collection", "x", "more", "y"),
		"case":         ec(t, "tenant", "a", "purpose", "P", "collection", "x"),
		"swapped":      ec(t, "tenant", "a", "purpose", "x", "collection", "p"),
		"moved border": ec(t, "tenant", "a", "purpos", "ep", "collection", "x"),
	} {
		if p, err := k.Decrypt(ctx, g, other, wrapped); !errors.Is(err, localkms.ErrInvalidCiphertext) || p != nil {
			t.Errorf("%s: %x, %v", name, p, err)
		}
	}
	opens(t, k, "the same pairs", g, ec(t, "collection", "x", "purpose", "p", "tenant", "a"), wrapped, plain)
}

// A key of the same name in another store is another key, even under the same
// root.
func TestOtherStore(t *testing.T) {
	t.Parallel()
	k, other, c := open(t, t.TempDir()), open(t, t.TempDir()), ec(t, "tenant", "a")
	g, og := grant(t, k, "key", "g", "tenant", "a"), grant(t, other, "key", "g", "tenant", "a")
	plain, wrapped := generate(t, k, g, c)
	if p, err := other.Decrypt(ctx, og, c, wrapped); !errors.Is(err, localkms.ErrInvalidCiphertext) || p != nil {
		t.Errorf("another store: %x, %v", p, err)
	}
	refused(t, other, "another store's grant", g, c, wrapped, localkms.ErrNotAuthorized)
	opens(t, k, "its own", g, c, wrapped, plain)
}

func TestDataKeysAreFresh(t *testing.T) {
	t.Parallel()
	k, c := open(t, t.TempDir()), ec(t, "tenant", "a")
	g := grant(t, k, "key", "g", "tenant", "a")
	seen := map[string]bool{}
	for range 100 {
		plain, wrapped := generate(t, k, g, c)
		if len(plain) != kmsctx.DataKeyLen || bytes.Contains(wrapped, plain[:8]) {
			t.Fatal("not a wrapped data key")
		}
		seen[string(plain)], seen[string(wrapped[10:34])] = true, true
	}
	if len(seen) != 200 {
		t.Error("a data key or a salt came twice")
	}
}

func FuzzDecrypt(f *testing.F) {
	k, c := open(f, f.TempDir()), ec(f, "tenant", "a")
	g := grant(f, k, "key", "g", "tenant", "a")
	plain, wrapped := generate(f, k, g, c)
	f.Add(wrapped)
	f.Add(wrapped[:len(wrapped)-1])
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := k.Decrypt(ctx, g, c, b)
		switch {
		case bytes.Equal(b, wrapped) && (err != nil || !bytes.Equal(p, plain)):
			t.Errorf("what was wrapped does not open: %v", err)
		case !bytes.Equal(b, wrapped) && (!errors.Is(err, localkms.ErrInvalidCiphertext) || p != nil):
			t.Errorf("%x opens: %v", b, err)
		}
	})
}
