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

	"github.com/cloisterdev/cloister/fas"
	"github.com/cloisterdev/cloister/fas/sigv4"
)

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
	var used atomic.Bool
	base := &http.Transport{
		DisableCompression: true,
		DialContext: func(context.Context, string, string) (net.Conn, error) {
			if used.Swap(true) {
				return nil, errors.New("work: the one connection to the bucket is gone")
			}
			return conn, nil
		},
		MaxConnsPerHost: 1,
	}
	sign := &sigv4.Transport{AccessKeyID: c.AccessKeyID, Secret: c.Secret, SessionToken: c.Token,
		Region: "us-east-1", Service: "s3", Base: base}
	return &bucket{&http.Client{Transport: sign}, "http://" + host, c.Bucket}, nil
}

type listing struct {
	IsTruncated           bool
	NextContinuationToken string
	Contents              []struct {
		Key  string
		Size int64
	}
}

func (b *bucket) do(ctx context.Context, path, query string) ([]byte, error) {
	u := b.base + path
	if query != "" {
		u += "?" + query
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, u, nil)
	if err != nil {
		return nil, err
	}
	res, err := b.http.Do(r)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, 64<<20))
	if err != nil {
		return nil, err
	}
	if res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("work: the bucket answered %d", res.StatusCode)
	}
	return body, nil
}

// list calls f for every object below the prefix.
func (b *bucket) list(ctx context.Context, prefix string, f func(key string, size int64) error) error {
	token := ""
	for {
		q := url.Values{"list-type": {"2"}, "prefix": {prefix}}
		if token != "" {
			q.Set("continuation-token", token)
		}
		// Values.Encode writes a space as "+", which S3 signers do not.
		body, err := b.do(ctx, "/"+b.name, strings.ReplaceAll(q.Encode(), "+", "%20"))
		if err != nil {
			return err
		}
		var l listing
		if err := xml.Unmarshal(body, &l); err != nil {
			return fmt.Errorf("work: the bucket's list: %w", err)
		}
		for _, o := range l.Contents {
			if err := f(o.Key, o.Size); err != nil {
				return err
			}
		}
		if !l.IsTruncated {
			return nil
		}
		token = l.NextContinuationToken
	}
}

func (b *bucket) get(ctx context.Context, key string) ([]byte, error) {
	return b.do(ctx, "/"+b.name+"/"+escapeKey(key), "")
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
