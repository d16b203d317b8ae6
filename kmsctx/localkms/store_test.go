package localkms_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/cloisterdev/cloister/kmsctx/localkms"
	"github.com/cloisterdev/cloister/tenant"
)

func read(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	must(t, err)
	return b
}

func put(t *testing.T, path string, b []byte) {
	t.Helper()
	must(t, os.WriteFile(path, b, 0o600))
}

func TestStoreEveryByteAndEveryCut(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	k, c := open(t, dir), ec(t, "tenant", "a")
	g := grant(t, k, "key", "g", "tenant", "a")
	must(t, k.RetireGrant(ctx, grant(t, k, "key", "gone", "tenant", "a")))
	plain, wrapped := generate(t, k, g, c)
	path := filepath.Join(dir, "kms")
	good := read(t, path)
	try := func(what string, i int, b []byte) {
		t.Helper()
		put(t, path, b)
		if k, err := localkms.Open(dir, root(1)); !errors.Is(err, localkms.ErrCorrupt) || k != nil {
			t.Fatalf("%s %d: %v", what, i, err)
		}
	}
	for i := range good {
		b := bytes.Clone(good)
		b[i] ^= 1 << (i % 8)
		try("byte", i, b)
		try("cut at", i, good[:i])
	}
	try("appended", 0, append(bytes.Clone(good), 0))
	try("prepended", 0, append([]byte{0}, good...))
	put(t, path, good)
	k = open(t, dir)
	opens(t, k, "unaltered", g, c, wrapped, plain)
	if n := len(k.Grants()); n != 1 {
		t.Errorf("%d grants live", n)
	}
}

func TestOpenRefuses(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	grant(t, open(t, dir), "key", "g", "tenant", "a")
	dead := root(1)
	dead.Destroy()
	file := filepath.Join(t.TempDir(), "file")
	put(t, file, nil)
	for name, c := range map[string]struct {
		dir  string
		root tenant.Secret
		want error
	}{
		"another root key":   {dir, root(2), localkms.ErrCorrupt},
		"a short root key":   {dir, tenant.NewSecret(bytes.Repeat([]byte{1}, 31)), localkms.ErrCorrupt},
		"a long root key":    {dir, tenant.NewSecret(bytes.Repeat([]byte{1}, 33)), localkms.ErrCorrupt},
		"a short key, anew":  {t.TempDir(), tenant.NewSecret(nil), localkms.ErrCorrupt},
		"a root key wiped":   {t.TempDir(), tenant.NewSecret(make([]byte, 32)), localkms.ErrCorrupt},
		"no root key":        {dir, tenant.Secret{}, tenant.ErrDestroyed},
		"destroyed root key": {dir, dead, tenant.ErrDestroyed},
	} {
		if k, err := localkms.Open(c.dir, c.root); !errors.Is(err, c.want) || k != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if k, err := localkms.Open(file, root(1)); err == nil || k != nil {
		t.Error("a file for a directory opens")
	}
	open(t, dir)
}

// An open store goes on with what it knows only as long as the file is there.
func TestDamagedWhileOpen(t *testing.T) {
	t.Parallel()
	for name, damage := range map[string]func(t *testing.T, path string){
		"removed": func(t *testing.T, path string) { must(t, os.Remove(path)) },
		"replaced": func(t *testing.T, path string) {
			put(t, path+".x", []byte("other"))
			must(t, os.Rename(path+".x", path))
		},
		"another's": func(t *testing.T, path string) {
			other, err := localkms.Open(path+".d", root(2))
			must(t, err)
			grant(t, other, "key", "g", "tenant", "a")
			must(t, os.Rename(filepath.Join(path+".d", "kms"), path))
		},
	} {
		dir := t.TempDir()
		k, c := open(t, dir), ec(t, "tenant", "a")
		g := grant(t, k, "key", "g", "tenant", "a")
		plain, wrapped := generate(t, k, g, c)
		path := filepath.Join(dir, "kms")
		good := read(t, path)
		damage(t, path)
		refused(t, k, name, g, c, wrapped, localkms.ErrCorrupt)
		for what, err := range map[string]error{"EnsureKey": k.EnsureKey(ctx, "new"), "SetDisabled": k.SetDisabled(ctx, "key", true),
			"RetireGrant": k.RetireGrant(ctx, g)} {
			if !errors.Is(err, localkms.ErrCorrupt) {
				t.Errorf("%s: %s: %v", name, what, err)
			}
		}
		put(t, path, good)
		opens(t, k, name+" and put back", g, c, wrapped, plain)
	}
	// Altered in place, a change is not made on top of it.
	dir := t.TempDir()
	k := open(t, dir)
	must(t, k.EnsureKey(ctx, "key"))
	path := filepath.Join(dir, "kms")
	bad := read(t, path)
	bad[20] ^= 1
	put(t, path, bad)
	if err := k.SetDisabled(ctx, "key", true); !errors.Is(err, localkms.ErrCorrupt) {
		t.Errorf("altered in place: %v", err)
	}
	if !bytes.Equal(read(t, path), bad) {
		t.Error("a damaged store was written over")
	}
}

// What a crash leaves between write and rename is not the store.
func TestUnfinishedWrite(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	k, c := open(t, dir), ec(t, "tenant", "a")
	g := grant(t, k, "key", "g", "tenant", "a")
	plain, wrapped := generate(t, k, g, c)
	path := filepath.Join(dir, "kms")
	before := read(t, path)
	must(t, k.RetireGrant(ctx, g))
	after := read(t, path)
	for name, tmp := range map[string][]byte{"whole": after, "half": after[:len(after)/2], "empty": nil} {
		put(t, path, before)
		put(t, path+".tmp", tmp)
		k := open(t, dir)
		opens(t, k, name+": not renamed, so not retired", g, c, wrapped, plain)
		must(t, k.RetireGrant(ctx, g))
		refused(t, open(t, dir), name+": retired", g, c, wrapped, localkms.ErrNotAuthorized)
	}
	// And the other way: an old file left beside the store revives nothing.
	put(t, path+".tmp", before)
	refused(t, open(t, dir), "retired", g, c, wrapped, localkms.ErrNotAuthorized)
}

func TestFailedWriteChangesNothing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	k, c := open(t, dir), ec(t, "tenant", "a")
	g := grant(t, k, "key", "g", "tenant", "a")
	plain, wrapped := generate(t, k, g, c)
	tmp := filepath.Join(dir, "kms.tmp")
	must(t, os.Mkdir(tmp, 0o700)) // in the way
	fails := func(what string, err error) {
		t.Helper()
		if err == nil {
			t.Errorf("%s: without a file", what)
		}
		for _, k := range []*localkms.KMS{k, open(t, dir)} {
			opens(t, k, what, g, c, wrapped, plain)
			if got := k.Grants(); len(got) != 1 {
				t.Errorf("%s: %d grants", what, len(got))
			}
			if _, err := k.CreateGrant(ctx, "new", "g", pairs("tenant", "a")); !errors.Is(err, localkms.ErrUnknown) {
				t.Errorf("%s: %v", what, err)
			}
		}
	}
	fails("RetireGrant", k.RetireGrant(ctx, g))
	fails("SetDisabled", k.SetDisabled(ctx, "key", true))
	fails("EnsureKey", k.EnsureKey(ctx, "new"))
	id, err := k.CreateGrant(ctx, "key", "new", pairs("tenant", "a"))
	if fails("CreateGrant", err); id != "" {
		t.Error("an ID of a grant that is not there")
	}
	must(t, os.Remove(tmp))
	must(t, k.RetireGrant(ctx, g))
	refused(t, k, "retired", g, c, wrapped, localkms.ErrNotAuthorized)
}

func TestModes(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "a", "b")
	must(t, open(t, dir).EnsureKey(ctx, "key"))
	for path, want := range map[string]os.FileMode{dir: 0o700, filepath.Join(dir, "kms"): 0o600} {
		info, err := os.Stat(path)
		must(t, err)
		if got := info.Mode().Perm(); got != want {
			t.Errorf("%s: %o, not %o", path, got, want)
		}
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 {
		t.Errorf("left over: %v %v", entries, err)
	}
	if b := read(t, filepath.Join(dir, "kms")); bytes.Contains(b, []byte("key")) {
		t.Error("the store is readable")
	}
}

func TestConcurrentUse(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	stores, c := []*localkms.KMS{open(t, dir), open(t, dir)}, ec(t, "tenant", "a")
	g := grant(t, stores[0], "key", "g", "tenant", "a")
	var wg sync.WaitGroup
	for i := range 8 {
		k := stores[i%2]
		wg.Go(func() {
			for j := range 20 {
				id, err := k.CreateGrant(ctx, "key", fmt.Sprintf("%d-%d", i, j), pairs("tenant", "a"))
				if err != nil {
					t.Error(err)
					return
				}
				p, w, err := k.GenerateDataKey(ctx, id, c)
				if err != nil {
					t.Error(err)
					return
				}
				if q, err := stores[(i+1)%2].Decrypt(ctx, g, c, w); err != nil || !bytes.Equal(p, q) {
					t.Error("the other store does not open it", err)
				}
				if j%2 == 1 {
					continue
				}
				if err := k.RetireGrant(ctx, id); err != nil {
					t.Error(err)
				}
				for _, k := range stores {
					if _, err := k.Decrypt(ctx, id, c, w); !errors.Is(err, localkms.ErrNotAuthorized) {
						t.Errorf("retired: %v", err)
					}
				}
			}
		})
	}
	wg.Wait()
	for _, k := range append(stores, open(t, dir)) {
		if n := len(k.Grants()); n != 81 {
			t.Errorf("%d grants, not 81", n)
		}
	}
}
