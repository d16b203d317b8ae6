package work

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cloisterdev/cloister/fas"
	"github.com/cloisterdev/cloister/tenant"
)

func sorted(m map[string]string) []string { return slices.Sorted(maps.Keys(m)) }

// lying is a bucket whose list is fixed and whose objects are all the same.
func lying(list, text string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/src-bucket" {
			_, _ = io.WriteString(w, list)
		} else {
			_, _ = io.WriteString(w, text)
		}
	}
}

// TestFetch is the control: what an honest bucket holds below the prefix
// arrives in staging, what is no file is ignored, and nothing else is read.
func TestFetch(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	source := honest{
		"src/a.go": "package a", "src/dir/ü b+c.go": "package b", "src/...": "dots", "src/x\\..\\y": "a name on some systems",
		"src/empty": "", "src/": "a folder marker", "src/dir/": "another", "src/../secrets/key": "up", "src/a/./b": "dot", "src//etc/passwd": "absolute", "src/a//b": "no name",
		"src/" + strings.Repeat("k", maxName+1): "long", "secrets/key": "beside", "srcs/key": "beside",
	}
	out, staging, err := w.fetch(t.Context(), source)
	if err != nil || out.Files != 4 || out.Ignored != 8 {
		t.Fatalf("%+v, %v", out, err)
	}
	got := map[string]string{}
	s := must[*fas.Session](t)(w.wall.Redeem(t.Context(), w.ticket, fas.VerbStage))
	err = s.WithKey(fas.VerbStage, func(key []byte) error {
		if _, err := staging.Seek(0, io.SeekStart); err != nil {
			return err
		}
		r, err := newStagingReader(t.Context(), staging, key, bindingOf(s))
		if err != nil {
			return err
		}
		return eachFile(r, func(path string, text []byte) error { got[path] = string(text); return nil })
	})
	want := map[string]string{"a.go": "package a", "dir/ü b+c.go": "package b", "...": "dots", "x\\..\\y": "a name on some systems"}
	if err != nil || !maps.Equal(got, want) {
		t.Errorf("staging holds %q, %v", got, err)
	}
	raw := must[[]byte](t)(os.ReadFile(staging.Name()))
	for _, text := range want {
		if strings.Contains(string(raw), text) {
			t.Errorf("staging holds %q in the clear", text)
		}
	}
}

// TestHostileBuckets: a bucket that does not answer as S3 does ends the fetch
// with a code, before anything of it costs more than its limit.
func TestHostileBuckets(t *testing.T) {
	t.Parallel()
	one := page("", object{"src/a", 1})
	w := newWorld(t)
	var asked atomic.Int64
	for _, c := range []struct {
		name   string
		bucket http.HandlerFunc
		want   error
		code   string
	}{
		{"an empty list", lying(page(""), ""), ErrNoSource, "no-source"},
		{"only folders", lying(page("", object{"src/", 1}, object{"src/a/", 1}), "x"), ErrNoSource, "no-source"},
		{"keys beside the prefix", lying(page("", object{"secrets/key", 1}), "x"), ErrBucket, "bucket-unreadable"},
		{"a key that is shorter", lying(page("", object{"src", 1}), "x"), ErrBucket, "bucket-unreadable"},
		{"an empty key", lying(page("", object{"", 1}), "x"), ErrBucket, "bucket-unreadable"},
		{"a key twice", lying(page("", object{"src/a", 1}, object{"src/a", 1}), "x"), ErrBucket, "bucket-unreadable"},
		{"keys out of order", lying(page("", object{"src/b", 1}, object{"src/a", 1}), "x"), ErrBucket, "bucket-unreadable"},
		{"a negative size", lying(page("", object{"src/a", 1}, object{"src/b", -1 << 40}), "x"), ErrBucket, "bucket-unreadable"},
		{"a size that is no number", lying(strings.Replace(one, "<Size>1<", "<Size>x<", 1), "x"), ErrBucket, "bucket-unreadable"},
		{"a size beyond all numbers", lying(strings.Replace(one, "<Size>1<", "<Size>99999999999999999999<", 1), "x"), ErrBucket, "bucket-unreadable"},
		{"the same page for ever", lying(page("again", object{"src/a", 1}), "x"), ErrBucket, "bucket-unreadable"},
		{"empty pages for ever", lying(page("again"), "x"), ErrBucket, "bucket-unreadable"},
		{"pages without an end", func(w http.ResponseWriter, r *http.Request) {
			n := asked.Add(1)
			list := make([]object, 1000)
			for i := range list {
				list[i] = object{fmt.Sprintf("src/%012d", int(n)*1000+i), 0}
			}
			_, _ = io.WriteString(w, page("more", list...))
		}, ErrTooLarge, "source-too-large"},
		{"a page that goes on without a token", lying(strings.Replace(page("x", object{"src/a", 1}), ">x<", "><", 1), "x"), ErrBucket, "bucket-unreadable"},
		{"a page without an end", endless, ErrBucket, "bucket-unreadable"},
		{"headers without an end", func(w http.ResponseWriter, _ *http.Request) {
			for i := range 10_000 {
				w.Header().Set(fmt.Sprint("X-", i), strings.Repeat("x", 100))
			}
		}, ErrBucket, "bucket-unreadable"},
		{"no XML", lying("{}", ""), ErrBucket, "bucket-unreadable"},
		{"another document", lying("<html><Contents/></html>", ""), ErrBucket, "bucket-unreadable"},
		{"an entity", lying(`<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><ListBucketResult><Contents><Key>src/&b;</Key><Size>1</Size></Contents></ListBucketResult>`, ""), ErrBucket, "bucket-unreadable"},
		{"a deep document", lying(strings.Repeat("<a>", 100_000), ""), ErrBucket, "bucket-unreadable"},
		{"more files than there may be", lying(page("", many(MaxFiles+1, 1)...), "x"), ErrTooLarge, "source-too-large"},
		{"more bytes than there may be", lying(page("", many(MaxSource/MaxFile+1, MaxFile)...), "x"), ErrTooLarge, "source-too-large"},
		{"an object that is larger than a file may be", func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/src-bucket" {
				_, _ = io.WriteString(w, one)
			} else {
				endless(w, r)
			}
		}, ErrBucket, "bucket-unreadable"},
		{"an object that breaks off", func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/src-bucket" {
				_, _ = io.WriteString(w, one)
				return
			}
			w.Header().Set("Content-Length", "10")
			_, _ = io.WriteString(w, "x")
		}, ErrBucket, "bucket-unreadable"},
		{"a redirect", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "/other-bucket", http.StatusTemporaryRedirect)
		}, ErrBucket, "bucket-unreadable"},
		{"a redirect elsewhere", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://127.0.0.1:1/", http.StatusFound)
		}, ErrBucket, "bucket-unreadable"},
		{"a refusal", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) }, ErrBucket, "bucket-unreadable"},
		{"a fault", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) }, ErrBucket, "bucket-unreadable"},
		{"a part", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusPartialContent) }, ErrBucket, "bucket-unreadable"},
		{"a hang-up", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, ErrBucket, "bucket-unreadable"},
		{"a connection that is closed after the list", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Connection", "close")
			_, _ = io.WriteString(w, one)
		}, ErrBucket, "bucket-unreadable"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			out, _, err := w.fetch(t.Context(), c.bucket)
			if !errors.Is(err, c.want) || Code(err) != c.code {
				t.Errorf("got %+v, %v (%s), want %v", out, err, Code(err), c.want)
			}
		})
	}
	t.Cleanup(func() {
		if pages := asked.Load(); pages > MaxListed/1000+1 {
			t.Errorf("%d pages were asked for", pages)
		}
	})
	t.Run("control", func(t *testing.T) {
		t.Parallel()
		if out, _, err := w.fetch(t.Context(), lying(one, "x")); err != nil || out.Files != 1 {
			t.Errorf("%+v, %v", out, err)
		}
	})
}

func endless(w http.ResponseWriter, _ *http.Request) {
	b := make([]byte, 1<<20)
	for range 1000 {
		if _, err := w.Write(b); err != nil {
			return
		}
	}
}

func many(n int, size int64) []object {
	out := make([]object, n)
	for i := range out {
		out[i] = object{fmt.Sprintf("src/%08d", i), size}
	}
	return out
}

// TestSizesThatLie: what counts is what was read, not what the list said.
func TestSizesThatLie(t *testing.T) {
	t.Parallel()
	text := strings.Repeat("x", MaxFile)
	// A hundred files of one byte that are ten MiB each: more than a source.
	out, staging, err := newWorld(t).fetch(t.Context(), lying(page("", many(100, 1)...), text))
	if !errors.Is(err, ErrTooLarge) {
		t.Errorf("%+v, %v", out, err)
	}
	if info := must[os.FileInfo](t)(staging.Stat()); info.Size() > MaxSource+MaxSource/8 {
		t.Errorf("staging grew to %d bytes", info.Size())
	}
	out, _, err = newWorld(t).fetch(t.Context(), lying(page("", many(2, 1)...), text))
	if err != nil || out.Bytes != 2*MaxFile {
		t.Errorf("control: %+v, %v", out, err)
	}
}

// TestSlowBucket: a bucket that sends a byte now and then does not hold a
// worker for longer than one answer may take.
func TestSlowBucket(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		for _, c := range []struct {
			name  string
			every time.Duration
			n     int
			ok    bool
		}{{"control: quick", time.Millisecond, 100, true}, {"slow body", time.Second, 1000, false}, {"silence", time.Hour, 1, false}} {
			mine, theirs := net.Pipe()
			b := bucketOver(mine, "bucket", fas.Credentials{AccessKeyID: "A", Secret: tenant.NewSecret([]byte("s")), Bucket: "b"})
			over := make(chan struct{})
			go func() {
				defer theirs.Close()
				if _, err := http.ReadRequest(bufio.NewReader(theirs)); err != nil {
					return
				}
				fmt.Fprintf(theirs, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", c.n)
				for range c.n {
					select {
					case <-time.After(c.every):
					case <-over:
						return
					}
					if _, err := theirs.Write([]byte("x")); err != nil {
						return
					}
				}
			}()
			start := time.Now()
			text, err := b.get(t.Context(), "k")
			if c.ok != (err == nil) || c.ok != (len(text) == c.n) || !c.ok && !errors.Is(err, ErrBucket) {
				t.Errorf("%s: %d bytes, %v", c.name, len(text), err)
			}
			if took := time.Since(start); took > patience {
				t.Errorf("%s: it took %v", c.name, took)
			}
			close(over)
			_ = mine.Close()
			synctest.Wait()
		}
	})
}

// TestFetchRefuses: a request that is not a fetch's, and what the firewall
// does not give.
func TestFetchRefuses(t *testing.T) {
	t.Parallel()
	for _, raw := range []string{"", "null", "[]", `{"evidence":1}`, `{"evidence":"AAAA"}`, `{"customization":"x"}`} {
		if _, err := Fetch(t.Context(), []byte(raw), make([]*os.File, 3)); err == nil {
			t.Errorf("%q: accepted", raw)
		}
	}
	w := newWorld(t)
	for n := range 6 {
		if n == 3 {
			continue
		}
		if _, err := Fetch(t.Context(), []byte(`{}`), make([]*os.File, n)); err == nil {
			t.Errorf("%d descriptors: accepted", n)
		}
	}
	if err := w.wall.Abandon(t.Context(), w.ticket, "given-up"); err != nil {
		t.Fatal(err)
	}
	if _, _, err := w.fetch(t.Context(), honest{"src/a": "x"}); !errors.Is(err, fas.ErrTicket) || Code(err) != "failed" {
		t.Errorf("a ticket after its end: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := newWorld(t).fetch(ctx, honest{"src/a": "x"}); err == nil {
		t.Error("a fetch that was cancelled went on")
	}
}

// TestCode: whatever happens in a worker, one of these leaves it.
func TestCode(t *testing.T) {
	t.Parallel()
	const quoted = "func secret()"
	for want, err := range map[string]error{
		"source-too-large": ErrTooLarge, "staging-damaged": ErrStaging, "no-source": ErrNoSource, "bucket-unreadable": ErrBucket,
		"access-denied": fas.ErrDenied, "failed": errors.New(quoted),
	} {
		for _, e := range []error{err, fmt.Errorf("%w: %s", err, quoted), fmt.Errorf("%s: %w", quoted, err)} {
			if got := Code(e); got != want {
				t.Errorf("%v: %s", e, got)
			}
		}
	}
}
