package work

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/cloisterdev/cloister/tenant"
)

var (
	testKey  = bytes.Repeat([]byte{1}, 32)
	testBind = binding{tenant.NewID(), tenant.NewCustomizationID(), tenant.NewSnapshotID()}
)

func sealStaging(t testing.TB, plain []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w := must[*stagingWriter](t)(newStagingWriter(context.Background(), &out, testKey, testBind))
	for part := range slices.Chunk(plain, 300_000) {
		if _, err := w.Write(part); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func openStaging(sealed, key []byte, b binding) ([]byte, error) {
	r, err := newStagingReader(context.Background(), bytes.NewReader(sealed), key, b)
	if err != nil {
		return nil, err
	}
	return io.ReadAll(r)
}

// records cuts sealed staging into its records.
func records(sealed []byte) (out [][]byte) {
	for len(sealed) > 0 {
		n := 4 + int(binary.BigEndian.Uint32(sealed))
		out, sealed = append(out, sealed[:n]), sealed[n:]
	}
	return out
}

// TestStagingRefuses: staging opens whole, in order, under its own key and
// version, or not at all; what was read until then is a true beginning.
func TestStagingRefuses(t *testing.T) {
	t.Parallel()
	for _, size := range []int{0, 1, recordSize - 1, recordSize, 2 * recordSize, 2*recordSize + 100} {
		plain := bytes.Repeat([]byte("0123456789abcdef"), size/16+1)[:size]
		sealed := sealStaging(t, plain)
		if got, err := openStaging(sealed, testKey, testBind); err != nil || !bytes.Equal(got, plain) {
			t.Fatalf("control: %d bytes: %d, %v", size, len(got), err)
		}
		rec := records(sealed)
		if want := size/recordSize + 1; len(rec) != want {
			t.Fatalf("%d records for %d bytes", len(rec), size)
		}
		refused := func(name string, sealed []byte) {
			t.Helper()
			got, err := openStaging(sealed, testKey, testBind)
			if !errors.Is(err, ErrStaging) || !bytes.HasPrefix(plain, got) {
				t.Errorf("%d bytes, %s: got %d bytes, %v", size, name, len(got), err)
			}
		}
		last := len(rec) - 1
		refused("nothing", nil)
		refused("without its last record", slices.Concat(rec[:last]...))
		refused("the last record twice", slices.Concat(sealed, rec[last]))
		refused("a byte after the end", append(slices.Clone(sealed), 0))
		refused("cut in the last record", sealed[:len(sealed)-1])
		refused("cut in a length", sealed[:2])
		refused("a record of no bytes first", append(make([]byte, 4), sealed...))
		refused("a record of four gigabytes", append([]byte{255, 255, 255, 255}, sealed...))
		if last > 0 {
			refused("the first record is gone", slices.Concat(rec[1:]...))
			refused("the first record twice", slices.Concat(rec[0], sealed))
			refused("the first record last", slices.Concat(append(slices.Clone(rec[1:]), rec[0])...))
		}
		if last > 1 {
			refused("two records changed places", slices.Concat(append([][]byte{rec[1], rec[0]}, rec[2:]...)...))
			refused("a record in the middle is gone", slices.Concat(rec[0], slices.Concat(rec[2:]...)))
		}
	}
	sealed := sealStaging(t, []byte("text"))
	other := testBind
	for name, b := range map[string]binding{
		"another tenant":        {tenant.NewID(), other.customization, other.snapshot},
		"another customization": {other.tenant, tenant.NewCustomizationID(), other.snapshot},
		"another version":       {other.tenant, other.customization, tenant.NewSnapshotID()},
	} {
		if got, err := openStaging(sealed, testKey, b); !errors.Is(err, ErrStaging) || len(got) > 0 {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
	if got, err := openStaging(sealed, bytes.Repeat([]byte{2}, 32), testBind); !errors.Is(err, ErrStaging) || len(got) > 0 {
		t.Errorf("another key: %q, %v", got, err)
	}
	for i := range sealed {
		bad := bytes.Clone(sealed)
		bad[i] ^= 1
		if got, err := openStaging(bad, testKey, testBind); !errors.Is(err, ErrStaging) || len(got) > 0 {
			t.Fatalf("byte %d changed: %q, %v", i, got, err)
		}
	}
}

// FuzzStaging: sealed staging that was changed in any way is refused, and one
// that was not is what was sealed.
func FuzzStaging(f *testing.F) {
	plain := bytes.Repeat([]byte("source"), 100)
	sealed := sealStaging(f, plain)
	f.Add(sealed)
	f.Add(sealed[:len(sealed)-1])
	f.Add(append(bytes.Clone(sealed), sealed...))
	f.Add([]byte{0, 0, 0, 0})
	f.Add([]byte{255, 255, 255, 255, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := openStaging(b, testKey, testBind)
		if bytes.Equal(b, sealed) {
			if err != nil || !bytes.Equal(got, plain) {
				t.Fatalf("control: %d bytes, %v", len(got), err)
			}
			return
		}
		if !errors.Is(err, ErrStaging) || !bytes.HasPrefix(plain, got) {
			t.Fatalf("got %d bytes, %v", len(got), err)
		}
	})
}

func archive(t testing.TB, headers ...tar.Header) []byte {
	t.Helper()
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, h := range headers {
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(bytes.Repeat([]byte("x"), int(h.Size))); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func collect(r io.Reader) (map[string]string, error) {
	got := map[string]string{}
	return got, eachFile(r, func(path string, text []byte) error { got[path] = string(text); return nil })
}

// TestEachFile: a staging stream holds files and nothing else, even if whoever
// wrote it had the key.
func TestEachFile(t *testing.T) {
	t.Parallel()
	file := tar.Header{Name: "a.go", Size: 3, Typeflag: tar.TypeReg}
	good := archive(t, file, tar.Header{Name: "ü/" + strings.Repeat("k", 300), Size: 1, Typeflag: tar.TypeReg})
	if got, err := collect(bytes.NewReader(good)); err != nil || len(got) != 2 || got["a.go"] != "xxx" {
		t.Fatalf("control: %v, %v", got, err)
	}
	for name, h := range map[string]tar.Header{
		"a folder":       {Name: "dir/", Typeflag: tar.TypeDir},
		"a link":         {Name: "l", Linkname: "/etc/passwd", Typeflag: tar.TypeSymlink},
		"a hard link":    {Name: "l", Linkname: "a.go", Typeflag: tar.TypeLink},
		"a device":       {Name: "d", Typeflag: tar.TypeChar},
		"a pipe":         {Name: "p", Typeflag: tar.TypeFifo},
		"a way up":       {Name: "../a", Size: 1, Typeflag: tar.TypeReg},
		"an absolute":    {Name: "/etc/passwd", Size: 1, Typeflag: tar.TypeReg},
		"a dot":          {Name: "./a", Size: 1, Typeflag: tar.TypeReg},
		"the dot itself": {Name: ".", Size: 1, Typeflag: tar.TypeReg},
		"too large":      {Name: "a", Size: MaxFile + 1, Typeflag: tar.TypeReg},
		"a long name":    {Name: strings.Repeat("k", maxName+1), Size: 1, Typeflag: tar.TypeReg},
	} {
		got, err := collect(bytes.NewReader(archive(t, file, h)))
		if !errors.Is(err, ErrStaging) || len(got) != 1 {
			t.Errorf("%s: %d files, %v", name, len(got), err)
		}
	}
	for name, b := range map[string][]byte{"cut short": good[:514], "no archive": bytes.Repeat([]byte("x"), 1024)} {
		if _, err := collect(bytes.NewReader(b)); !errors.Is(err, ErrStaging) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := eachFile(bytes.NewReader(good), func(string, []byte) error { return context.Canceled }); !errors.Is(err, context.Canceled) || errors.Is(err, ErrStaging) {
		t.Errorf("an error of the reader's user became %v", err)
	}
	// The archive is whole and the record that says so is missing.
	plain := append(bytes.Clone(good), make([]byte, recordSize-len(good))...)
	rec := records(sealStaging(t, plain))
	for name, sealed := range map[string][]byte{"": slices.Concat(rec...), "without its last record": rec[0]} {
		r := must[*stagingReader](t)(newStagingReader(t.Context(), bytes.NewReader(sealed), testKey, testBind))
		if got, err := collect(r); (name == "") != (err == nil) || name != "" && !errors.Is(err, ErrStaging) || len(got) != 2 {
			t.Errorf("%q: %d files, %v", name, len(got), err)
		}
	}
}

// FuzzEachFile: files that are accepted have plain paths and bounded sizes,
// and written anew they are the same files.
func FuzzEachFile(f *testing.F) {
	f.Add(archive(f, tar.Header{Name: "a.go", Size: 3, Typeflag: tar.TypeReg}))
	f.Add(archive(f, tar.Header{Name: "../a", Size: 3, Typeflag: tar.TypeReg}))
	f.Add(archive(f, tar.Header{Name: "l", Linkname: "x", Typeflag: tar.TypeSymlink}))
	f.Add(archive(f, tar.Header{Name: strings.Repeat("ü", 200), Size: 3, Typeflag: tar.TypeReg}))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		type file struct {
			h    tar.Header
			text string
		}
		var files []file
		err := eachFile(bytes.NewReader(b), func(path string, text []byte) error {
			if !isFile(path) || len(text) > MaxFile {
				t.Fatalf("%q of %d bytes", path, len(text))
			}
			files = append(files, file{tar.Header{Name: path, Size: int64(len(text)), Mode: 0o600, Typeflag: tar.TypeReg}, string(text)})
			return nil
		})
		if err != nil {
			if !errors.Is(err, ErrStaging) {
				t.Fatal(err)
			}
			return
		}
		var out bytes.Buffer
		w := tar.NewWriter(&out)
		want := map[string]string{}
		for _, f := range files {
			if err := w.WriteHeader(&f.h); err != nil {
				t.Skip("a name that only readers accept")
			}
			if _, err := io.WriteString(w, f.text); err != nil {
				t.Fatal(err)
			}
			want[f.h.Name] = f.text
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		if got, err := collect(&out); err != nil || !maps.Equal(got, want) {
			t.Fatalf("%q became %q, %v", want, got, err)
		}
	})
}
