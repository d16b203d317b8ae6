package localkms

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/cloisterdev/cloister/kmsctx"
	"github.com/cloisterdev/cloister/tenant"
)

var errPower = errors.New("the power is off")

// unsafeDisk is a file system whose power goes before a call. It works on real
// files, and keeps a model of what of them is on the platter: the content that
// was synced, and the entries of directories that were.
type unsafeDisk struct {
	disk
	left    int // calls until the power goes; below zero: it stays
	calls   int
	nodes   map[string]*node // entries now
	durable map[string]*node // entries that a synced directory holds
}

// node is a file; a directory has no content.
type node struct {
	dir            bool
	content, flush []byte // what was written, what was synced
}

func newUnsafeDisk(left int) *unsafeDisk {
	return &unsafeDisk{left: left, nodes: map[string]*node{}, durable: map[string]*node{}}
}

func (d *unsafeDisk) tick() error {
	if d.left == 0 {
		return errPower
	}
	d.left--
	d.calls++
	return nil
}

func (d *unsafeDisk) mkdir(path string) error {
	if err := d.tick(); err != nil {
		return err
	}
	d.nodes[path] = &node{dir: true}
	return d.disk.mkdir(path)
}

func (d *unsafeDisk) create(path string) (file, error) {
	if err := d.tick(); err != nil {
		return nil, err
	}
	f, err := d.disk.create(path)
	n := d.nodes[path]
	if n == nil {
		n = &node{}
		d.nodes[path] = n
	}
	n.content = nil
	return &unsafeFile{f, d, n}, err
}

func (d *unsafeDisk) rename(from, to string) error {
	if err := d.tick(); err != nil {
		return err
	}
	d.nodes[to] = d.nodes[from]
	delete(d.nodes, from)
	return d.disk.rename(from, to)
}

func (d *unsafeDisk) syncDir(path string) error {
	if err := d.tick(); err != nil {
		return err
	}
	for p := range d.durable {
		if filepath.Dir(p) == path && d.nodes[p] == nil {
			delete(d.durable, p)
		}
	}
	for p, n := range d.nodes {
		if filepath.Dir(p) == path {
			d.durable[p] = n
		}
	}
	return d.disk.syncDir(path)
}

type unsafeFile struct {
	file
	d *unsafeDisk
	n *node
}

func (f *unsafeFile) Write(b []byte) (int, error) {
	if err := f.d.tick(); err != nil {
		return 0, err
	}
	f.n.content = append(f.n.content, b...)
	return f.file.Write(b)
}

func (f *unsafeFile) Sync() error {
	if err := f.d.tick(); err != nil {
		return err
	}
	f.n.flush = bytes.Clone(f.n.content)
	return f.file.Sync()
}

// Stat shows the real file, so that its identity is right.
func (f *unsafeFile) Stat() (fs.FileInfo, error) { return f.file.Stat() }

// after writes what may be on the platter after the cut: for entries and for
// contents that were not synced, all of it, none of it, or half of a content.
func (d *unsafeDisk) after(t *testing.T, root string) map[string]string {
	t.Helper()
	out := map[string]string{}
	for _, entries := range []string{"new", "old"} {
		nodes := d.nodes
		if entries == "old" {
			nodes = d.durable
		}
		for content, of := range map[string]func(*node) []byte{
			"synced":  func(n *node) []byte { return n.flush },
			"written": func(n *node) []byte { return n.content },
			"half": func(n *node) []byte {
				if bytes.Equal(n.content, n.flush) {
					return n.flush // synced: it is whole
				}
				return n.content[:len(n.content)/2]
			},
		} {
			dir := t.TempDir()
			for _, p := range slices.Sorted(maps.Keys(nodes)) {
				at := filepath.Join(dir, strings.TrimPrefix(p, root))
				if nodes[p].dir {
					check(t, os.Mkdir(at, 0o700))
				} else if _, err := os.Stat(filepath.Dir(at)); err == nil {
					check(t, os.WriteFile(at, of(nodes[p]), 0o600))
				}
			}
			out[entries+" entries, "+content] = dir
		}
	}
	return out
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// said is everything that a store says of itself.
func said(k *KMS) string {
	s, err := k.current()
	if err != nil {
		return err.Error()
	}
	var b strings.Builder
	for _, id := range slices.Sorted(maps.Keys(s.Keys)) {
		x := s.Keys[id]
		fmt.Fprintln(&b, "key", id, x.stateName(), len(x.Versions), x.Period, sortedTags(x.Tags), x.Policy != "")
	}
	for _, id := range slices.Sorted(maps.Keys(s.Grants)) {
		fmt.Fprintln(&b, "grant", id, s.Grants[id].KeyID, s.Grants[id].Grantee)
	}
	for _, n := range slices.Sorted(maps.Keys(s.Aliases)) {
		fmt.Fprintln(&b, "alias", n, s.Aliases[n].Key)
	}
	return b.String()
}

type silent struct{}

func (silent) Record(context.Context, Event) error { return nil }

// life is what a store goes through, step by step.
func life(k *KMS) []func() error {
	ctx := context.Background()
	s, err := NewService(k, silent{}, nil)
	if err != nil {
		return []func() error{func() error { return err }}
	}
	root := Principal{ARN: rootARN("000000000000")}
	user := "arn:aws:iam::000000000000:user/u"
	id, g1, g2, seven := "", "", "", 7
	do := func(f func() error) func() error { return f }
	return []func() error{
		do(func() error { return k.EnsureKey(ctx, "a") }),
		do(func() (err error) {
			g1, err = k.CreateGrant(ctx, "a", "g", map[string]string{"tenant": "a"})
			return err
		}),
		do(func() error {
			out, err := s.CreateKey(ctx, root, &CreateKeyInput{})
			if err == nil {
				id = out.KeyMetadata.KeyID
			}
			return err
		}),
		do(func() error {
			out, err := s.CreateGrant(ctx, root, &CreateGrantInput{KeyID: id, GranteePrincipal: user, Operations: []string{"Decrypt"}})
			if err == nil {
				g2 = out.GrantID
			}
			return err
		}),
		do(func() error { return k.RetireGrant(ctx, g1) }),
		do(func() error { return k.SetDisabled(ctx, "a", true) }),
		do(func() error {
			_, err := s.RotateKeyOnDemand(ctx, root, &KeyInput{id})
			return err
		}),
		do(func() error {
			_, err := s.CreateAlias(ctx, root, &AliasInput{"alias/x", id})
			return err
		}),
		do(func() error {
			_, err := s.RevokeGrant(ctx, root, &RevokeGrantInput{KeyID: id, GrantID: g2})
			return err
		}),
		do(func() error {
			_, err := s.ScheduleKeyDeletion(ctx, root, &ScheduleKeyDeletionInput{id, &seven})
			return err
		}),
		do(func() error { return k.EnsureKey(ctx, "b") }),
	}
}

// The power goes before each write, sync, rename and directory sync in turn.
// Whatever the platter holds then opens, and says what was acknowledged, or
// that and the one step that was under way.
func TestPowerCut(t *testing.T) {
	t.Parallel()
	secret := tenant.NewSecret(bytes.Repeat([]byte{1}, 32))
	cuts, states := 0, 0
	for cut := 0; ; cut++ {
		root := t.TempDir()
		d := newUnsafeDisk(cut)
		acknowledged, under := "", ""
		done := false
		k, err := openOn(d, filepath.Join(root, "deep", "store"), secret)
		if err == nil {
			steps := life(k)
			for i, step := range steps {
				before := d.left
				if err := step(); err != nil {
					if before > 100 || !errors.Is(err, errPower) {
						t.Fatalf("cut %d, step %d: %v", cut, i, err)
					}
					break
				}
				acknowledged, done = said(k), i == len(steps)-1
			}
		} else if !errors.Is(err, errPower) {
			t.Fatal(err)
		}
		if done {
			if cut < 40 {
				t.Fatalf("only %d cuts: the faults do not reach the store", cut)
			}
			t.Logf("%d cuts, %d states of the platter", cuts, states)
			return
		}
		cuts++
		// What the step would have made: the whole of what was being written.
		if n := d.nodes[filepath.Join(root, "deep", "store", "kms.tmp")]; n != nil {
			under = whole(t, secret, n.content)
		}
		if n := d.nodes[filepath.Join(root, "deep", "store", "kms")]; n != nil && under == "" {
			under = whole(t, secret, n.content)
		}
		for name, dir := range d.after(t, root) {
			states++
			k, err := Open(filepath.Join(dir, "deep", "store"), secret)
			if err != nil {
				t.Errorf("cut %d, %s: %v", cut, name, err)
				continue
			}
			if got := said(k); got != acknowledged && got != under {
				t.Errorf("cut %d, %s: it says\n%sacknowledged was\n%sunder way\n%s", cut, name, got, acknowledged, under)
			}
			// And it goes on from there.
			check(t, k.EnsureKey(context.Background(), "later"))
		}
	}
}

// unplugged is a process that dies before its directory is synced.
type unplugged struct{ *unsafeDisk }

func (unplugged) syncDir(string) error { return errPower }

// What one process has renamed and not yet made durable is durable before
// another one answers by it.
func TestPowerCutAfterAnothersAnswer(t *testing.T) {
	t.Parallel()
	secret := tenant.NewSecret(bytes.Repeat([]byte{1}, 32))
	for name, early := range map[string]bool{"who was there before": true, "who comes after": false} {
		root := t.TempDir()
		dir := filepath.Join(root, "store")
		d := newUnsafeDisk(-1)
		k, err := openOn(d, dir, secret)
		check(t, err)
		check(t, k.EnsureKey(context.Background(), "a"))
		writer := &KMS{path: k.path, disk: unplugged{d}, seal: k.seal, token: k.token}
		writer.now.Store(k.now.Load())
		if err := writer.EnsureKey(context.Background(), "b"); !errors.Is(err, errPower) {
			t.Fatalf("the fault does not reach the store: %v", err)
		}
		other := k
		if !early {
			other, err = openOn(d, dir, secret)
			check(t, err)
		}
		answered := said(other)
		if !strings.Contains(answered, "key b") {
			t.Fatalf("%s does not see the change: %s", name, answered)
		}
		for state, dir := range d.after(t, root) {
			k, err := Open(filepath.Join(dir, "store"), secret)
			check(t, err)
			if got := said(k); got != answered {
				t.Errorf("%s, %s: it says\n%sand had answered\n%s", name, state, got, answered)
			}
		}
	}
}

func whole(t *testing.T, secret tenant.Secret, sealed []byte) string {
	t.Helper()
	dir := t.TempDir()
	check(t, os.WriteFile(filepath.Join(dir, "kms"), sealed, 0o600))
	k, err := Open(dir, secret)
	if err != nil {
		return "nothing whole"
	}
	return said(k)
}

// A store of the first form opens as it is, and its grants and wrapped keys go
// on; the first change writes the new form.
func TestFirstForm(t *testing.T) {
	t.Parallel()
	secret := tenant.NewSecret(bytes.Repeat([]byte{1}, 32))
	dir := t.TempDir()
	k, err := Open(dir, secret)
	check(t, err)
	const id = "0123456789abcdef0123456789abcdef"
	material := bytes.Repeat([]byte{7}, 32)
	old := fmt.Sprintf(`{"keys":{"acme":{"material":"BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=","disabled":false}},`+
		`"grants":{"%s":{"id":"%s","key":"acme","name":"n","subset":{"tenant":"a"}}}}`, id, id)
	path := filepath.Join(dir, "kms")
	check(t, os.WriteFile(path, k.seal.Seal(nil, nil, []byte(old), oldLabel), 0o600))
	ec, err := kmsctx.NewContext(map[string]string{"tenant": "a", "purpose": "p"})
	check(t, err)
	// As the first form wrapped it.
	plain, salt := bytes.Repeat([]byte{9}, 32), bytes.Repeat([]byte{3}, saltLen)
	a, err := cipherOf(version{Material: material}, salt)
	check(t, err)
	wrapped := a.Seal(salt, nil, plain, associated([]byte("acme\x00"), ec.Canonical()))

	ctx := context.Background()
	other, err := kmsctx.NewContext(map[string]string{"tenant": "a"})
	check(t, err)
	for _, step := range []func() error{func() error { return nil }, func() error { return k.Rotate(ctx, "acme") }} {
		k, err = Open(dir, secret)
		check(t, err)
		check(t, step())
		if _, err := k.Decrypt(ctx, id, other, wrapped); !errors.Is(err, ErrInvalidCiphertext) {
			t.Errorf("another context: %v", err)
		}
		if got, err := k.Decrypt(ctx, id, ec, wrapped); err != nil || !bytes.Equal(got, plain) {
			t.Errorf("%x, %v", got, err)
		}
	}
	if b, err := os.ReadFile(path); err != nil {
		t.Error(err)
	} else if _, err := k.seal.Open(nil, nil, b, label); err != nil {
		t.Error("a change did not write the new form")
	}
	// A first form that says what it could not is not read.
	for name, c := range map[string][2]string{"unknown field": {`"disabled"`, `"x":1,"disabled"`}, "no key": {`"key":"acme"`, `"key":"x"`},
		"short material": {`BwcHBwc`, ``}, "no constraint": {`{"tenant":"a"}`, `{}`}, "null": {old, `null`}} {
		if _, err := migrate([]byte(strings.Replace(old, c[0], c[1], 1))); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
