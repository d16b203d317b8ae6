package localkms_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/cloisterdev/cloister/kmsctx"
	"github.com/cloisterdev/cloister/kmsctx/localkms"
	"github.com/cloisterdev/cloister/tenant"
)

var ctx = context.Background()

func root(fill byte) tenant.Secret { return tenant.NewSecret(bytes.Repeat([]byte{fill}, 32)) }

func open(t testing.TB, dir string) *localkms.KMS {
	t.Helper()
	k, err := localkms.Open(dir, root(1))
	must(t, err)
	return k
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func pairs(kv ...string) map[string]string {
	m := map[string]string{}
	for i := 0; i < len(kv); i += 2 {
		m[kv[i]] = kv[i+1]
	}
	return m
}

func ec(t testing.TB, kv ...string) kmsctx.Context {
	t.Helper()
	c, err := kmsctx.NewContext(pairs(kv...))
	must(t, err)
	return c
}

func grant(t testing.TB, k *localkms.KMS, key, name string, kv ...string) string {
	t.Helper()
	must(t, k.EnsureKey(ctx, key))
	id, err := k.CreateGrant(ctx, key, name, pairs(kv...))
	must(t, err)
	return id
}

func generate(t testing.TB, k *localkms.KMS, grant string, c kmsctx.Context) (plain, wrapped []byte) {
	t.Helper()
	plain, wrapped, err := k.GenerateDataKey(ctx, grant, c)
	must(t, err)
	return plain, wrapped
}

// refused asks for both uses of a grant and wants the same answer, without a
// byte beside it.
func refused(t *testing.T, k *localkms.KMS, name, grant string, c kmsctx.Context, wrapped []byte, want error) {
	t.Helper()
	if p, w, err := k.GenerateDataKey(ctx, grant, c); !errors.Is(err, want) || p != nil || w != nil {
		t.Errorf("%s: generate: %v", name, err)
	}
	if p, err := k.Decrypt(ctx, grant, c, wrapped); !errors.Is(err, want) || p != nil {
		t.Errorf("%s: decrypt: %v", name, err)
	}
}

func opens(t *testing.T, k *localkms.KMS, name, grant string, c kmsctx.Context, wrapped, want []byte) {
	t.Helper()
	if p, err := k.Decrypt(ctx, grant, c, wrapped); err != nil || !bytes.Equal(p, want) {
		t.Errorf("%s: %x, %v", name, p, err)
	}
}

func TestKeyStates(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	k, c := open(t, dir), ec(t, "tenant", "a")
	mine, other := grant(t, k, "key", "g", "tenant", "a"), grant(t, k, "other", "g", "tenant", "a")
	plain, wrapped := generate(t, k, mine, c)
	otherPlain, otherWrapped := generate(t, k, other, c)

	must(t, k.SetDisabled(ctx, "key", true))
	for _, k := range []*localkms.KMS{k, open(t, dir)} {
		refused(t, k, "disabled", mine, c, wrapped, localkms.ErrKeyDisabled)
		if id, err := k.CreateGrant(ctx, "key", "new", pairs("tenant", "a")); !errors.Is(err, localkms.ErrKeyDisabled) || id != "" {
			t.Errorf("a grant of a disabled key: %q, %v", id, err)
		}
		if id, err := k.CreateGrant(ctx, "key", "g", pairs("tenant", "a")); !errors.Is(err, localkms.ErrKeyDisabled) || id != "" {
			t.Errorf("the grant that exists of a disabled key: %q, %v", id, err)
		}
		opens(t, k, "another key", other, c, otherWrapped, otherPlain)
	}
	// To make the key that exists does not enable it, nor make it anew.
	must(t, k.EnsureKey(ctx, "key"))
	refused(t, k, "ensured again", mine, c, wrapped, localkms.ErrKeyDisabled)
	must(t, k.SetDisabled(ctx, "key", false))
	opens(t, k, "enabled again", mine, c, wrapped, plain)

	if err := k.SetDisabled(ctx, "none", true); !errors.Is(err, localkms.ErrUnknown) {
		t.Errorf("disable no key: %v", err)
	}
	if _, err := k.CreateGrant(ctx, "none", "g", pairs("tenant", "a")); !errors.Is(err, localkms.ErrUnknown) {
		t.Errorf("a grant of no key: %v", err)
	}
}

func TestNames(t *testing.T) {
	t.Parallel()
	k := open(t, t.TempDir())
	must(t, k.EnsureKey(ctx, "key"))
	for name, bad := range map[string]string{"empty": "", "NUL": "a\x00b", "space": "a b", "line": "a\n", "control": "a\x1b",
		"not ASCII": "ä", "not UTF-8": "a\xff", "long": strings.Repeat("x", 257)} {
		if err := k.EnsureKey(ctx, bad); !errors.Is(err, localkms.ErrUnknown) {
			t.Errorf("key, %s: %v", name, err)
		}
		if _, err := k.CreateGrant(ctx, "key", bad, pairs("tenant", "a")); !errors.Is(err, localkms.ErrNotAuthorized) {
			t.Errorf("grant, %s: %v", name, err)
		}
	}
	long := strings.Repeat("x", 256)
	grant(t, k, long, long, "tenant", "a")
}

func TestConstraint(t *testing.T) {
	t.Parallel()
	k := open(t, t.TempDir())
	g := grant(t, k, "key", "g", "tenant", "a", "customization", "b")
	for name, c := range map[string]kmsctx.Context{
		"no such pair":  ec(t, "customization", "b"),
		"none of it":    ec(t, "purpose", "x"),
		"other value":   ec(t, "tenant", "a", "customization", "c"),
		"longer value":  ec(t, "tenant", "aa", "customization", "b"),
		"case":          ec(t, "tenant", "A", "customization", "b"),
		"swapped":       ec(t, "tenant", "b", "customization", "a"),
		"another name":  ec(t, "tenants", "a", "customization", "b"),
		"other tenant":  ec(t, "tenant", "x", "customization", "b", "purpose", "p"),
		"almost enough": ec(t, "tenant", "a", "purpose", "b"),
	} {
		refused(t, k, name, g, c, nil, localkms.ErrNotAuthorized)
	}
	refused(t, k, "no context", g, kmsctx.Context{}, nil, kmsctx.ErrContext)
	for name, c := range map[string]kmsctx.Context{
		"equal":  ec(t, "tenant", "a", "customization", "b"),
		"subset": ec(t, "tenant", "a", "customization", "b", "purpose", "p"),
	} {
		plain, wrapped := generate(t, k, g, c)
		opens(t, k, name, g, c, wrapped, plain)
	}
}

func TestCreateGrantRefuses(t *testing.T) {
	t.Parallel()
	k := open(t, t.TempDir())
	must(t, k.EnsureKey(ctx, "key"))
	for name, c := range map[string]struct {
		subset map[string]string
		want   error
	}{
		"nil":   {nil, localkms.ErrNotAuthorized},
		"empty": {pairs(), localkms.ErrNotAuthorized},
		// A context without the pair would meet an empty value, were it compared
		// to what a map gives for a name that it has not.
		"empty value":    {pairs("tenant", ""), kmsctx.ErrContext},
		"empty name":     {pairs("", "a"), kmsctx.ErrContext},
		"reserved":       {pairs("aws:tenant", "a"), kmsctx.ErrContext},
		"case of a name": {pairs("Tenant", "a"), kmsctx.ErrContext},
		"too long":       {pairs("tenant", strings.Repeat("a", 400)), kmsctx.ErrContext},
	} {
		if id, err := k.CreateGrant(ctx, "key", "g", c.subset); !errors.Is(err, c.want) || id != "" {
			t.Errorf("%s: %q, %v", name, id, err)
		}
	}
	if g := k.Grants(); len(g) != 0 {
		t.Errorf("refused, and there all the same: %v", g)
	}
	grant(t, k, "key", "g", "tenant", "a")
}

func TestConstraintIsTheGrantsOwn(t *testing.T) {
	t.Parallel()
	k := open(t, t.TempDir())
	must(t, k.EnsureKey(ctx, "key"))
	m := pairs("tenant", "a")
	g, err := k.CreateGrant(ctx, "key", "g", m)
	must(t, err)
	m["tenant"] = "b"
	refused(t, k, "the caller's map", g, ec(t, "tenant", "b"), nil, localkms.ErrNotAuthorized)
	k.Grants()[0].Subset["tenant"] = "b"
	refused(t, k, "the listed map", g, ec(t, "tenant", "b"), nil, localkms.ErrNotAuthorized)
	generate(t, k, g, ec(t, "tenant", "a"))
}

func TestRetired(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	k, c := open(t, dir), ec(t, "tenant", "a")
	g, other := grant(t, k, "key", "g", "tenant", "a"), grant(t, k, "key", "other", "tenant", "a")
	plain, wrapped := generate(t, k, g, c)
	must(t, k.RetireGrant(ctx, g))
	must(t, k.RetireGrant(ctx, g))
	must(t, k.RetireGrant(ctx, "none"))
	for _, k := range []*localkms.KMS{k, open(t, dir)} {
		refused(t, k, "retired", g, c, wrapped, localkms.ErrNotAuthorized)
		opens(t, k, "another grant of the key", other, c, wrapped, plain)
	}
	again := grant(t, k, "key", "g", "tenant", "a")
	if again == g {
		t.Error("a grant of the same name has the retired one's ID")
	}
	refused(t, k, "retired, and made again", g, c, wrapped, localkms.ErrNotAuthorized)
	opens(t, k, "the new grant", again, c, wrapped, plain)
}

func TestCreateGrantTwice(t *testing.T) {
	t.Parallel()
	k := open(t, t.TempDir())
	g := grant(t, k, "key", "g", "tenant", "a")
	if again := grant(t, k, "key", "g", "tenant", "a"); again != g {
		t.Error("the same grant has two IDs")
	}
	ids := []string{g, grant(t, k, "key", "h", "tenant", "a"), grant(t, k, "other", "g", "tenant", "a"),
		grant(t, k, "key", "g", "tenant", "b"), grant(t, k, "key", "g", "tenant", "a", "x", "y")}
	slices.Sort(ids)
	if len(slices.Compact(ids)) != 5 || len(k.Grants()) != 5 {
		t.Errorf("different grants share an ID: %v", ids)
	}
}

func TestOtherGrant(t *testing.T) {
	t.Parallel()
	k := open(t, t.TempDir())
	c, oc := ec(t, "tenant", "a", "customization", "1"), ec(t, "tenant", "a", "customization", "2")
	g := grant(t, k, "key", "1", "customization", "1")
	og := grant(t, k, "key", "2", "customization", "2")
	foreign := grant(t, k, "other", "1", "customization", "1")
	plain, wrapped := generate(t, k, g, c)
	opens(t, k, "its own", g, c, wrapped, plain)
	refused(t, k, "another grant of the same key", og, c, wrapped, localkms.ErrNotAuthorized)
	if p, err := k.Decrypt(ctx, og, oc, wrapped); !errors.Is(err, localkms.ErrInvalidCiphertext) || p != nil {
		t.Errorf("another grant with its own context: %v", err)
	}
	if p, err := k.Decrypt(ctx, foreign, c, wrapped); !errors.Is(err, localkms.ErrInvalidCiphertext) || p != nil {
		t.Errorf("another key: %v", err)
	}
	for name, id := range map[string]string{"empty": "", "cut": g[1:], "longer": g + "0", "case": strings.ToUpper(g) + "A", "space": " " + g,
		"a key's name": "key", "a grant's name": "1", "zero": strings.Repeat("0", 32), "path": "../kms", "NUL": g + "\x00"} {
		refused(t, k, "grant ID, "+name, id, c, wrapped, localkms.ErrNotAuthorized)
	}
}

func Example() {
	dir, _ := os.MkdirTemp("", "localkms")
	defer os.RemoveAll(dir)
	kms, _ := localkms.Open(dir, tenant.NewSecret(bytes.Repeat([]byte{1}, 32)))
	_ = kms.EnsureKey(ctx, "acme")
	grant, _ := kms.CreateGrant(ctx, "acme", "indexing", map[string]string{"tenant": "acme"})
	mine, _ := kmsctx.NewContext(map[string]string{"tenant": "acme", "purpose": "pages"})
	theirs, _ := kmsctx.NewContext(map[string]string{"tenant": "other", "purpose": "pages"})

	_, _, err := kms.GenerateDataKey(ctx, grant, theirs)
	fmt.Println(errors.Is(err, localkms.ErrNotAuthorized))

	key, wrapped, _ := kms.GenerateDataKey(ctx, grant, mine)
	again, err := kms.Decrypt(ctx, grant, mine, wrapped)
	fmt.Println(bytes.Equal(key, again), err)

	_ = kms.RetireGrant(ctx, grant)
	_, err = kms.Decrypt(ctx, grant, mine, wrapped)
	fmt.Println(errors.Is(err, localkms.ErrNotAuthorized))
	// Output:
	// true
	// true <nil>
	// true
}
