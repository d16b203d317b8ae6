package client_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/aws/smithy-go"

	"github.com/cloisterdev/cloister/examples/customization/internal/client"
)

// tree makes files, and links where the text begins with "->".
func tree(t *testing.T, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for name, text := range files {
		p := filepath.Join(root, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(p), 0o700); err != nil {
			t.Fatal(err)
		}
		var err error
		if to, ok := strings.CutPrefix(text, "->"); ok {
			err = os.Symlink(to, p)
		} else {
			err = os.WriteFile(p, []byte(text), 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func keys(files []client.File) (out []string) {
	for _, f := range files {
		out = append(out, f.Key)
	}
	slices.Sort(out)
	return out
}

func TestWalk(t *testing.T) {
	t.Parallel()
	outside := tree(t, map[string]string{"secret": "x"})
	root := tree(t, map[string]string{
		"main.go": "x", "a/b/c.go": "x", "a/ü sp+ace.go": "x",
		"largest.go": strings.Repeat("x", 1<<20),

		".git/config": "x", ".env": "x", "a/.hidden/x.go": "x", "a/.env": "x", "vendor/v.go": "x", "a/testdata/t.go": "x",
		"empty.go": "", "large.go": strings.Repeat("x", 1<<20+1),
		"link.go": "->main.go", "up.go": "->" + outside + "/secret", "folder": "->" + outside, "a/loop": "->..", "dangling": "->nowhere",
	})
	all := []string{"a/b/c.go", "a/ü sp+ace.go", "largest.go", "main.go"}
	for _, c := range []struct {
		name string
		root string
		sub  []string
		max  int64
		want []string
	}{
		{"all", root, []string{"."}, 1 << 30, all},
		{"a folder", root, []string{"a"}, 1 << 30, all[:2]},
		{"two that overlap", root, []string{"a", "a/b", "a"}, 1 << 30, all[:2]},
		{"a folder that is not there", root, []string{"none", "a/b"}, 1 << 30, all[:1]},
		{"no folder", root, nil, 1 << 30, nil},
		{"room for the small ones", root, []string{"."}, 1000, []string{"a/b/c.go", "a/ü sp+ace.go", "main.go"}},
		{"room for one", root, []string{"."}, 1, []string{"a/b/c.go"}},
		{"no room", root, []string{"."}, 0, nil},
		{"version control by name", root, []string{".git"}, 1 << 30, nil},
		{"a link by name", root, []string{"folder"}, 1 << 30, nil},
		{"a linked file by name", root, []string{"up.go"}, 1 << 30, nil},
	} {
		files, err := client.Walk(c.root, c.sub, c.max)
		if err != nil || !slices.Equal(keys(files), c.want) {
			t.Errorf("%s: %q, %v", c.name, keys(files), err)
		}
	}
	for _, sub := range []string{"..", "../x", "a/../..", "/etc", ""} {
		if files, err := client.Walk(root, []string{sub}, 1<<30); err == nil {
			t.Errorf("out of the root by %q: %q", sub, keys(files))
		}
	}
	if _, err := client.Walk(filepath.Join(root, "none"), []string{"."}, 1<<30); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a root that is not there: %v", err)
	}
	// The root itself may be a link or hidden: the user named it.
	links := tree(t, map[string]string{"to": "->" + root, ".mine/x.go": "x"})
	if files, err := client.Walk(filepath.Join(links, "to"), []string{"."}, 1<<30); err != nil || !slices.Equal(keys(files), all) {
		t.Errorf("a root that is a link: %q, %v", keys(files), err)
	}
	if files, err := client.Walk(filepath.Join(links, ".mine"), []string{"."}, 1<<30); err != nil || !slices.Equal(keys(files), []string{"x.go"}) {
		t.Errorf("a hidden root: %q, %v", keys(files), err)
	}
}

// TestUpload: each file arrives once, signed over its bytes, below the prefix.
func TestUpload(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	got := map[string]string{}
	addr := serve(t, func(w http.ResponseWriter, r *http.Request) {
		body, err := signedBy(r, client.Region, "s3", true)
		if err != nil || r.Method != http.MethodPut {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		mu.Lock()
		defer mu.Unlock()
		if _, twice := got[r.URL.Path]; twice {
			t.Errorf("%s came twice", r.URL.Path)
		}
		got[r.URL.Path] = string(body)
	})
	texts := map[string]string{}
	for i := range 50 {
		texts[fmt.Sprintf("a b/ü+%%2e%d.go", i)] = fmt.Sprint("text ", i)
	}
	files, err := client.Walk(tree(t, texts), []string{"."}, 1<<30)
	if err != nil || len(files) != len(texts) {
		t.Fatal(err)
	}
	if err := client.Upload(t.Context(), client.S3(addr, user), user, "src/", files); err != nil {
		t.Fatal(err)
	}
	for name, text := range texts {
		if got["/src-bucket/src/"+name] != text {
			t.Errorf("%s: %q", name, got["/src-bucket/src/"+name])
		}
	}
	thief := user
	thief.Secret = "guess"
	var refused smithy.APIError
	if err := client.Upload(t.Context(), client.S3(addr, thief), thief, "src/", files[:1]); !errors.As(err, &refused) {
		t.Errorf("another secret: %v", err)
	}
	if err := client.Upload(t.Context(), client.S3(addr, user), user, "src/", nil); err != nil {
		t.Errorf("no files: %v", err)
	}
}

// TestUploadEnds: the first error and the end of the context end an upload,
// and when it returns nothing of it runs any more.
func TestUploadEnds(t *testing.T) {
	t.Parallel()
	texts := map[string]string{}
	for i := range 200 {
		texts[fmt.Sprintf("%03d.go", i)] = "x"
	}
	root := tree(t, texts)
	files, err := client.Walk(root, []string{"."}, 1<<30)
	if err != nil {
		t.Fatal(err)
	}
	t.Run("first error", func(t *testing.T) {
		t.Parallel()
		var n atomic.Int32
		addr := serve(t, func(w http.ResponseWriter, _ *http.Request) { n.Add(1); w.WriteHeader(http.StatusForbidden) })
		err := client.Upload(t.Context(), client.S3(addr, user), user, "src/", files)
		if err == nil || n.Load() >= int32(len(files)) {
			t.Errorf("%d requests, %v", n.Load(), err)
		}
	})
	t.Run("cancelled", func(t *testing.T) {
		t.Parallel()
		var n atomic.Int32
		ctx, cancel := context.WithCancel(t.Context())
		addr := serve(t, func(_ http.ResponseWriter, r *http.Request) {
			// The server does not see the client go before it has read the body.
			_, _ = r.Body.Read(make([]byte, 10))
			if n.Add(1) == 3 {
				cancel()
			}
			<-r.Context().Done()
		})
		err := client.Upload(ctx, client.S3(addr, user), user, "src/", files)
		if !errors.Is(err, context.Canceled) || n.Load() > 8 {
			t.Errorf("%d requests, %v", n.Load(), err)
		}
	})
	t.Run("before it begins", func(t *testing.T) {
		t.Parallel()
		var n atomic.Int32
		addr := serve(t, func(http.ResponseWriter, *http.Request) { n.Add(1) })
		ctx, cancel := context.WithCancelCause(t.Context())
		why := errors.New("why")
		cancel(why)
		if err := client.Upload(ctx, client.S3(addr, user), user, "src/", files); !errors.Is(err, why) || n.Load() != 0 {
			t.Errorf("%d requests, %v", n.Load(), err)
		}
	})
	t.Run("control", func(t *testing.T) {
		t.Parallel()
		var n atomic.Int32
		addr := serve(t, func(http.ResponseWriter, *http.Request) { n.Add(1) })
		if err := client.Upload(t.Context(), client.S3(addr, user), user, "src/", files); err != nil || n.Load() != int32(len(files)) {
			t.Errorf("%d requests, %v", n.Load(), err)
		}
	})
}

// TestUploadChanged: a file that became something else since it was listed is
// not uploaded.
func TestUploadChanged(t *testing.T) {
	t.Parallel()
	secret := filepath.Join(tree(t, map[string]string{"secret": "x"}), "secret")
	for name, become := range map[string]func(p string) error{
		"control":          func(p string) error { return os.WriteFile(p, []byte("another text"), 0o600) },
		"a link":           func(p string) error { return errors.Join(os.Remove(p), os.Symlink(secret, p)) },
		"a dangling link":  func(p string) error { return errors.Join(os.Remove(p), os.Symlink("nowhere", p)) },
		"a folder":         func(p string) error { return errors.Join(os.Remove(p), os.Mkdir(p, 0o700)) },
		"nothing any more": os.Remove,
	} {
		var n atomic.Int32
		addr := serve(t, func(http.ResponseWriter, *http.Request) { n.Add(1) })
		files, err := client.Walk(tree(t, map[string]string{"a.go": "x"}), []string{"."}, 10)
		if err != nil || len(files) != 1 {
			t.Fatal(err)
		}
		if err := become(files[0].Path); err != nil {
			t.Fatal(err)
		}
		err = client.Upload(t.Context(), client.S3(addr, user), user, "", files)
		switch {
		case name == "control" && (err != nil || n.Load() != 1),
			name != "control" && (err == nil || n.Load() != 0),
			strings.Contains(name, "link") && !errors.Is(err, client.ErrChanged), name == "a folder" && !errors.Is(err, client.ErrChanged):
			t.Errorf("%s: %d requests, %v", name, n.Load(), err)
		}
	}
}
