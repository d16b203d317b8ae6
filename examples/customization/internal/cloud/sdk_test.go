package cloud_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go"

	"github.com/cloisterdev/cloister/examples/customization/internal/cloud"
	"github.com/cloisterdev/cloister/fas/firewalld"
	"github.com/cloisterdev/cloister/fas/localsts"
)

func verifierOf(t *testing.T, srv *firewalld.Server) cloud.SessionVerifier {
	return must[*localsts.Follower](t)(localsts.Follow(func() (localsts.Material, error) { return srv.VerifierMaterial(), nil }))
}

// code is the error code that the official client understood.
func code(err error) string {
	var e smithy.APIError
	if errors.As(err, &e) {
		return e.ErrorCode()
	}
	return fmt.Sprint(err)
}

// refuse asserts the code of a refusal.
func refuse(t *testing.T, name string, err error, want string) {
	t.Helper()
	if err == nil || code(err) != want {
		t.Errorf("%s: got %v, want %s", name, err, want)
	}
}

// TestOfficialClient is the control of everything that is refused below: the
// client's defaults work, with each checksum that it knows.
func TestOfficialClient(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx, c, b := t.Context(), w.s3(w.a), &w.a.bucket
	for i, sum := range append(types.ChecksumAlgorithm("").Values(), "") {
		switch sum {
		case types.ChecksumAlgorithmCrc32, types.ChecksumAlgorithmCrc32c, types.ChecksumAlgorithmCrc64nvme, types.ChecksumAlgorithmSha1, types.ChecksumAlgorithmSha256, "":
		default:
			_, err := c.PutObject(ctx, &s3.PutObjectInput{Bucket: b, Key: aws.String("unknown"), Body: strings.NewReader("x"), ChecksumAlgorithm: sum})
			if err == nil {
				t.Errorf("a checksum that the store does not know was accepted: %s", sum)
			}
			continue
		}
		key, text := fmt.Sprintf("dir %d/ü+%%2e%%2e&=?.go", i), fmt.Sprint("text ", i)
		put, err := c.PutObject(ctx, &s3.PutObjectInput{Bucket: b, Key: &key, Body: strings.NewReader(text), ChecksumAlgorithm: sum})
		if err != nil {
			t.Fatalf("%q: %v", sum, err)
		}
		if got := w.has(key); got != text {
			t.Errorf("%q: got %q", key, got)
		}
		head, err := c.HeadObject(ctx, &s3.HeadObjectInput{Bucket: b, Key: &key})
		if err != nil || *head.ContentLength != int64(len(text)) || *head.ETag != *put.ETag {
			t.Errorf("head: %v, %v", head, err)
		}
	}
	if w.has("unknown") != "" {
		t.Error("an object with an unknown checksum is stored")
	}
	if _, err := c.HeadBucket(ctx, &s3.HeadBucketInput{Bucket: b}); err != nil {
		t.Error(err)
	}
	if _, err := c.GetBucketLocation(ctx, &s3.GetBucketLocationInput{Bucket: b}); err != nil {
		t.Error(err)
	}
	list, err := c.ListBuckets(ctx, &s3.ListBucketsInput{})
	if err != nil || len(list.Buckets) != 1 || *list.Buckets[0].Name != *b {
		t.Errorf("%v, %v", list, err)
	}
	w.stored("gone", "x")
	if _, err := c.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: b, Key: aws.String("gone")}); err != nil {
		t.Error(err)
	}
	_, err = c.GetObject(ctx, &s3.GetObjectInput{Bucket: b, Key: aws.String("gone")})
	refuse(t, "a deleted object", err, "NoSuchKey")
}

// TestRanges shows that a client which fetches parts gets those parts: a store
// that ignored the range would make it write the whole object at each offset.
func TestRanges(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.stored("big", "0123456789")
	for rng, want := range map[string]string{"bytes=2-4": "234", "bytes=7-": "789", "bytes=-1": "9", "": "0123456789"} {
		res, err := w.s3(w.a).GetObject(t.Context(), &s3.GetObjectInput{Bucket: &w.a.bucket, Key: aws.String("big"), Range: aws.String(rng)})
		if err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(res.Body); string(got) != want || err != nil {
			t.Errorf("%s: %q, %v", rng, got, err)
		}
		res.Body.Close()
	}
	if a := w.send(w.a, "GET", "/"+w.a.bucket+"/big", map[string]string{"Range": "bytes=10-"}, nil); a.status != 416 {
		t.Errorf("a range beyond the end: %d", a.status)
	}
}

// TestLists compares every page size, prefix and delimiter with what a list of
// all keys says: no entry is lost, none comes twice, and the order holds.
func TestLists(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx, c, b := t.Context(), w.s3(w.a), &w.a.bucket
	keys := []string{"a", "a/", "a/b", "a/b/c", "a/b/d", "a0", "b b", "b+b", "c/../d", "c/\U0010ffff/x", "c/\U0010ffff/y", "ü/ü"}
	for _, k := range keys {
		w.stored(k, "x")
	}
	for _, prefix := range []string{"", "a", "a/", "a/b/", "b", "c/", "nothing"} {
		for _, delimiter := range []string{"", "/", "b", "../"} {
			for _, after := range []string{"", "a/b", "a/b/c", "zzz"} {
				want := rolledUp(keys, prefix, delimiter, after)
				for size := 1; size <= len(keys)+1; size++ {
					in := &s3.ListObjectsV2Input{Bucket: b, Prefix: &prefix, MaxKeys: aws.Int32(int32(size))}
					if delimiter != "" {
						in.Delimiter = &delimiter
					}
					if after != "" {
						in.StartAfter = &after
					}
					var got []string
					for p := s3.NewListObjectsV2Paginator(c, in); p.HasMorePages(); {
						page, err := p.NextPage(ctx)
						if err != nil {
							t.Fatal(err)
						}
						n := len(page.Contents) + len(page.CommonPrefixes)
						if n > size || n != int(*page.KeyCount) || *page.IsTruncated && n != size {
							t.Fatalf("%q %q: a page of %d with %d entries", prefix, delimiter, size, n)
						}
						var entries []string
						for _, o := range page.Contents {
							entries = append(entries, *o.Key)
						}
						for _, p := range page.CommonPrefixes {
							entries = append(entries, *p.Prefix)
						}
						slices.Sort(entries)
						got = append(got, entries...)
					}
					if !slices.Equal(got, want) {
						t.Fatalf("prefix %q, delimiter %q, after %q, pages of %d: got %q, want %q", prefix, delimiter, after, size, got, want)
					}
				}
			}
		}
	}
}

// rolledUp is the list as S3 defines it.
func rolledUp(keys []string, prefix, delimiter, after string) (out []string) {
	for _, k := range keys {
		rest, ok := strings.CutPrefix(k, prefix)
		if !ok || k <= after && after != "" {
			continue
		}
		if i := strings.Index(rest, delimiter); delimiter != "" && i >= 0 {
			k = prefix + rest[:i+len(delimiter)]
		}
		if !slices.Contains(out, k) {
			out = append(out, k)
		}
	}
	slices.Sort(out)
	return out
}

func TestListRefusals(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.stored("a b/c", "x")
	base := "/" + w.a.bucket + "?list-type=2"
	if got := w.send(w.a, "GET", base+"&encoding-type=url&max-keys=1000&prefix=a%20", nil, nil); got.status != 200 || !bytes.Contains(got.body, []byte("<Key>a%20b/c</Key>")) {
		t.Errorf("control: %d %s", got.status, got.body)
	}
	if got := w.send(w.a, "GET", base+"&max-keys=0", nil, nil); got.status != 200 || bytes.Contains(got.body, []byte("<Key>")) || !bytes.Contains(got.body, []byte("<IsTruncated>false<")) {
		t.Errorf("no keys: %d %s", got.status, got.body)
	}
	for name, c := range map[string]struct{ query, want string }{
		"negative page":          {"&max-keys=-1", "InvalidArgument"},
		"page that is no number": {"&max-keys=1e3", "InvalidArgument"},
		"huge page":              {"&max-keys=99999999999999999999", "InvalidArgument"},
		"made-up token":          {"&continuation-token=abc", "InvalidArgument"},
		"token with a bad bit":   {"&continuation-token=a2F", "InvalidArgument"},
		"empty token":            {"&continuation-token=", "InvalidArgument"},
		"unknown encoding":       {"&encoding-type=xml", "InvalidArgument"},
		"prefix twice":           {"&prefix=a&prefix=b", "InvalidArgument"},
		"unknown parameter":      {"&versions=1", "NotImplemented"},
	} {
		if got := w.send(w.a, "GET", base+c.query, nil, nil); got.code != c.want {
			t.Errorf("%s: %d %s", name, got.status, got.code)
		}
	}
	if got := w.send(w.a, "GET", "/"+w.a.bucket, nil, nil); got.code != "NotImplemented" {
		t.Errorf("the first version of the list, whose pages would be lost: %d %s", got.status, got.code)
	}
}

// TestConcurrentPuts: the last of many writes to one key is one of them, whole.
func TestConcurrentPuts(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const writers = 16
	body := func(i int) string { return strings.Repeat(string(rune('a'+i)), 100_000+i) }
	var wg sync.WaitGroup
	for i := range writers {
		wg.Go(func() {
			_, err := w.s3(w.a).PutObject(t.Context(), &s3.PutObjectInput{Bucket: &w.a.bucket, Key: aws.String("one"), Body: strings.NewReader(body(i))})
			if err != nil {
				t.Error(err)
			}
		})
	}
	for range writers {
		wg.Go(func() {
			if got := w.has("one"); got != "" && got != body(int(got[0]-'a')) {
				t.Error("a read saw half of a write")
			}
		})
	}
	wg.Wait()
	if got := w.has("one"); got == "" || got != body(int(got[0]-'a')) {
		t.Error("the object is none of those that were written")
	}
}
