package work

import (
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/cloisterdev/cloister/fas"
	"github.com/cloisterdev/cloister/fas/sigv4"
)

// Limits of what is read from a bucket. It belongs to somebody else, and what
// answers there may be anything.
const (
	maxPage   = 8 << 20     // bytes of one page of a list
	maxHeader = 64 << 10    // bytes of the headers of an answer
	patience  = time.Minute // for one answer, to its last byte
)

// ErrBucket is returned when a bucket refuses, breaks off, is too slow, or
// answers otherwise than S3 does: with a list that is out of order, goes
// beyond its prefix, does not end or names a negative size.
var ErrBucket = errors.New("work: the bucket cannot be read")

// bucket reads one prefix of a bucket with a session's credentials, over one
// socket that was connected before the worker was confined. The worker can
// open no other.
type bucket struct {
	http *http.Client
	base string
	name string
}

func newBucket(socket *os.File, host string, c fas.Credentials) (*bucket, error) {
	conn, err := net.FileConn(socket)
	if err != nil {
		return nil, fmt.Errorf("work: the bucket's socket: %w", err)
	}
	return bucketOver(conn, host, c), nil
}

func bucketOver(conn net.Conn, host string, c fas.Credentials) *bucket {
	var used atomic.Bool
	base := &http.Transport{
		DisableCompression: true,
		DialContext: func(context.Context, string, string) (net.Conn, error) {
			if used.Swap(true) {
				return nil, errors.New("work: the one connection to the bucket is gone")
			}
			return conn, nil
		},
		MaxConnsPerHost:        1,
		MaxResponseHeaderBytes: maxHeader,
	}
	sign := &sigv4.Transport{AccessKeyID: c.AccessKeyID, Secret: c.Secret, SessionToken: c.Token,
		Region: "us-east-1", Service: "s3", Base: base}
	// A redirect would be signed again, for wherever the bucket points.
	stay := func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &bucket{&http.Client{Transport: sign, CheckRedirect: stay}, "http://" + host, c.Bucket}
}

type listing struct {
	XMLName               xml.Name `xml:"ListBucketResult"`
	IsTruncated           bool
	NextContinuationToken string
	Contents              []struct {
		Key  string
		Size int64
	}
}

// do returns the body of an answer of at most limit bytes.
func (b *bucket) do(ctx context.Context, path, query string, limit int64) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	u := b.base + path
	if query != "" {
		u += "?" + query
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, u, nil)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrBucket, err)
	}
	res, err := b.http.Do(r)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrBucket, err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%w: it answered %d", ErrBucket, res.StatusCode)
	}
	body, err := io.ReadAll(io.LimitReader(res.Body, limit+1))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrBucket, err)
	}
	if int64(len(body)) > limit {
		return nil, fmt.Errorf("%w: more than %d bytes", ErrBucket, limit)
	}
	return body, nil
}

// list calls f for every object below the prefix, at most [MaxListed]. A list
// is in order, as S3 promises, so that nothing in it comes twice and it has an
// end.
func (b *bucket) list(ctx context.Context, prefix string, f func(key string, size int64) error) error {
	token, last, n := "", "", 0
	for {
		q := url.Values{"list-type": {"2"}, "prefix": {prefix}}
		if token != "" {
			q.Set("continuation-token", token)
		}
		// Values.Encode writes a space as "+", which S3 signers do not.
		body, err := b.do(ctx, "/"+b.name, strings.ReplaceAll(q.Encode(), "+", "%20"), maxPage)
		if err != nil {
			return err
		}
		var l listing
		if err := xml.Unmarshal(body, &l); err != nil {
			return fmt.Errorf("%w: its list: %w", ErrBucket, err)
		}
		for _, o := range l.Contents {
			if o.Size < 0 || !strings.HasPrefix(o.Key, prefix) || o.Key <= last {
				return fmt.Errorf("%w: its list is out of order", ErrBucket)
			}
			if n++; n > MaxListed {
				return ErrTooLarge
			}
			last = o.Key
			if err := f(o.Key, o.Size); err != nil {
				return err
			}
		}
		if !l.IsTruncated {
			return nil
		}
		token = l.NextContinuationToken
		if len(l.Contents) == 0 {
			return fmt.Errorf("%w: its list does not go on", ErrBucket)
		}
	}
}

// get returns an object of at most [MaxFile] bytes, whatever a list said.
func (b *bucket) get(ctx context.Context, key string) ([]byte, error) {
	return b.do(ctx, "/"+b.name+"/"+escapeKey(key), "", MaxFile)
}

// escapeKey escapes as SigV4 does: everything but unreserved characters and
// the slash.
func escapeKey(key string) string {
	var sb strings.Builder
	for i := 0; i < len(key); i++ {
		c := key[i]
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("-._~/", c) >= 0 {
			sb.WriteByte(c)
		} else {
			fmt.Fprintf(&sb, "%%%02X", c)
		}
	}
	return sb.String()
}
