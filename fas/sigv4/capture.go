package sigv4

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"strconv"
	"strings"
)

// CaptureOptions changes what [Capture] expects. The zero value is for every
// service but S3, and takes header-signed SigV4 over the body only. What is
// switched on here is also to be switched on in [Options].
type CaptureOptions struct {
	// S3 makes the path rules those of S3: the path is escaped once, and
	// segments such as ".." are ordinary parts of a key.
	S3 bool
	// Presigned also takes requests that are signed in their query.
	Presigned bool
	// UnsignedPayload takes UNSIGNED-PAYLOAD, which with S3 is also the payload
	// of a presigned request that names none. The body is returned although
	// nobody signed it, and evidence can never carry it.
	UnsignedPayload bool
	// SigV4A also takes ECDSA P-256 signatures.
	SigV4A bool
	// TokenAfterSigning leaves X-Amz-Security-Token out of what a presigned
	// request signed, as some services want it. The token cannot be read from
	// the evidence then.
	TokenAfterSigning bool
}

// Capture reads the signature of a request and its body, of at most maxBody
// bytes, and checks that the body is the signed one. It does not check the
// signature itself. The body is returned, and r.Body is consumed.
//
// It reads the request line from r.RequestURI, as it stood on the wire, so
// that r must be a request that a server received.
func Capture(r *http.Request, maxBody int64) (Evidence, []byte, error) {
	return CaptureWith(r, maxBody, CaptureOptions{})
}

// CaptureWith is [Capture] with options.
func CaptureWith(r *http.Request, maxBody int64, o CaptureOptions) (Evidence, []byte, error) {
	if len(r.RequestURI) > MaxEvidence {
		return Evidence{}, nil, refuse("request target", ErrMalformed)
	}
	rawPath, rawQuery, _ := strings.Cut(r.RequestURI, "?")
	e, list, err := parseAuth(r, rawQuery, o)
	if err != nil {
		return Evidence{}, nil, err
	}
	s := borrow()
	defer s.release()
	out := append(append(s.out[:0], r.Method...), '\n')
	if out, err = appendPath(out, rawPath, o.S3); err != nil {
		return Evidence{}, nil, err
	}
	drop := make([]string, 0, 2)
	if e.presigned {
		drop = append(drop, "X-Amz-Signature")
		if o.TokenAfterSigning {
			drop = append(drop, "X-Amz-Security-Token")
		}
	}
	out = append(out, '\n')
	if out, err = s.appendQuery(out, rawQuery, drop...); err != nil {
		return Evidence{}, nil, err
	}
	out = append(out, '\n')
	if out, err = s.appendHeaders(out, r, list); err != nil {
		return Evidence{}, nil, err
	}
	// What cannot become evidence is not worth its body.
	if out = append(append(append(out, '\n'), list...), '\n'); len(out) > MaxEvidence-64 {
		return Evidence{}, nil, refuse("canonical request", ErrMalformed)
	}
	claimed, err := claimedPayload(r, &e, rawQuery, o)
	if err != nil {
		return Evidence{}, nil, err
	}
	body, err := readBody(r, maxBody)
	if err != nil {
		return Evidence{}, nil, err
	}
	if claimed == unsigned {
		out = append(out, unsigned...)
	} else {
		sum := sha256.Sum256(body)
		out = hex.AppendEncode(out, sum[:])
		if claimed != "" && claimed != string(out[len(out)-64:]) {
			return Evidence{}, nil, refuse("body", ErrPayload)
		}
	}
	s.out = out
	e.canonical, e.hash = string(out), s.hash(out)
	if err := e.complete(); err != nil {
		return Evidence{}, nil, err
	}
	return e, body, nil
}

// claimedPayload returns the signed digest of the body, [unsigned], or "" where
// the request names none, and refuses what cannot be checked before the body
// is read.
func claimedPayload(r *http.Request, e *Evidence, rawQuery string, o CaptureOptions) (string, error) {
	claimed := r.Header.Get("X-Amz-Content-Sha256")
	if e.presigned && claimed == "" {
		claimed = queryValue(rawQuery, "X-Amz-Content-Sha256")
		if claimed == "" && o.S3 && o.UnsignedPayload {
			claimed = unsigned
		}
	}
	if claimed == "" {
		return "", nil
	}
	if err := checkPayload(claimed); err != nil {
		return "", err
	}
	if claimed == unsigned && !o.UnsignedPayload {
		return "", refuse("X-Amz-Content-Sha256", ErrUnsignedPayload)
	}
	return claimed, nil
}

// startSize bounds what a Content-Length alone makes this process allocate.
const startSize = 64 << 10

func readBody(r *http.Request, limit int64) ([]byte, error) {
	limit = min(max(limit, 0), math.MaxInt64-1)
	if r.ContentLength > limit {
		return nil, refuse("body", ErrTooLarge)
	}
	if r.Body == nil || r.Body == http.NoBody {
		return []byte{}, nil
	}
	// One byte more, so that the end is seen without growing.
	b := make([]byte, 0, min(max(r.ContentLength, 0), startSize)+1)
	for {
		n, err := r.Body.Read(b[len(b):min(int64(cap(b)), limit+1)])
		b = b[:len(b)+n]
		switch {
		case int64(len(b)) > limit:
			return nil, refuse("body", ErrTooLarge)
		case err == io.EOF:
			return b, nil
		case err != nil:
			return nil, unread(err)
		case len(b) == cap(b):
			b = append(b, 0)[:len(b)]
		}
	}
}

func unread(err error) error {
	if large := (*http.MaxBytesError)(nil); errors.As(err, &large) {
		return refuse("body", ErrTooLarge)
	}
	return refuse("body", fmt.Errorf("%w: %w", ErrCutShort, err))
}

// appendHeaders takes the values as they arrived. Go's server moves Host and
// Content-Length out of the header map; they are put back here. Every received
// X-Amz-* header must be among the signed ones.
func (s *scratch) appendHeaders(dst []byte, r *http.Request, list string) ([]byte, error) {
	amzSigned, hostSigned := 0, false
	err := names(list, func(n string) error {
		dst = append(append(dst, n...), ':')
		switch n {
		case "host":
			hostSigned = true
			dst = appendFolded(dst, r.Host)
		case "content-length":
			if r.ContentLength < 0 {
				return refuse("header "+n, ErrMalformed)
			}
			dst = strconv.AppendInt(dst, r.ContentLength, 10)
		case "transfer-encoding", "connection", "authorization":
			return refuse("header "+n, ErrMalformed)
		default:
			values := s.values(r.Header, n)
			if len(values) == 0 {
				return refuse("a signed header is absent", ErrMalformed)
			}
			if isAmz(n) {
				amzSigned++
			}
			for i, v := range values {
				if i > 0 {
					dst = append(dst, ',')
				}
				dst = appendFolded(dst, v)
			}
		}
		dst = append(dst, '\n')
		return nil
	})
	if err != nil {
		return dst, err
	}
	if !hostSigned {
		return dst, refuse("host", ErrNotSigned)
	}
	// Signed names are unique and were all found, so that as many as there are
	// is all of them.
	received := 0
	for k := range r.Header {
		if isAmz(k) {
			received++
		}
	}
	if received != amzSigned {
		return dst, refuse("an X-Amz header", ErrNotSigned)
	}
	return dst, nil
}

// values finds a header by its lower-case name.
func (s *scratch) values(h http.Header, name string) []string {
	s.header = append(s.header[:0], name...)
	first := true
	for i, c := range s.header {
		if first && c >= 'a' && c <= 'z' {
			s.header[i] = c - 'a' + 'A'
		}
		first = c == '-'
	}
	return h[string(s.header)]
}
