package sigv4

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"sort"
	"strconv"
	"strings"
)

// CaptureOptions changes what [Capture] expects. The zero value is for every
// service but S3.
type CaptureOptions struct {
	// S3 makes the path rules those of S3: the path is escaped once, and
	// segments such as ".." are ordinary parts of a key.
	S3 bool
}

// Capture reads the signature of a request and its body, of at most maxBody
// bytes, and checks that the body is the signed one. It does not check the
// signature itself. The body is returned, and r.Body is consumed.
func Capture(r *http.Request, maxBody int64) (Evidence, []byte, error) {
	return CaptureWith(r, maxBody, CaptureOptions{})
}

// CaptureWith is [Capture] with options.
func CaptureWith(r *http.Request, maxBody int64, o CaptureOptions) (Evidence, []byte, error) {
	e, names, signature, err := parseAuthorization(r)
	if err != nil {
		return Evidence{}, nil, err
	}
	e.signature = signature
	rawPath, rawQuery, _ := strings.Cut(r.RequestURI, "?")
	if !strings.HasPrefix(rawPath, "/") {
		return Evidence{}, nil, fmt.Errorf("%w: request target", ErrMalformed)
	}
	query, err := canonicalQuery(rawQuery)
	if err != nil {
		return Evidence{}, nil, err
	}
	headers, err := canonicalHeaders(r, names)
	if err != nil {
		return Evidence{}, nil, err
	}
	path, err := canonicalPath(rawPath, o.S3)
	if err != nil {
		return Evidence{}, nil, err
	}
	body, err := io.ReadAll(io.LimitReader(orEmpty(r.Body), maxBody+1))
	if err != nil {
		return Evidence{}, nil, fmt.Errorf("%w: read the body", ErrTooLarge)
	}
	if int64(len(body)) > maxBody {
		return Evidence{}, nil, ErrTooLarge
	}
	sum := sha256.Sum256(body)
	payload := hex.EncodeToString(sum[:])
	if claimed := r.Header.Get("X-Amz-Content-Sha256"); claimed != "" && claimed != payload {
		return Evidence{}, nil, fmt.Errorf("%w: the digest is not the body's, or the payload is unsigned or streaming", ErrPayload)
	}
	e.canonical = r.Method + "\n" + path + "\n" + query + "\n" + headers + "\n" + strings.Join(names, ";") + "\n" + payload
	if err := e.complete(); err != nil {
		return Evidence{}, nil, err
	}
	return e, body, nil
}

func orEmpty(r io.Reader) io.Reader {
	if r == nil {
		return strings.NewReader("")
	}
	return r
}

func parseAuthorization(r *http.Request) (e Evidence, names []string, sig [32]byte, err error) {
	bad := func(what string) (Evidence, []string, [32]byte, error) {
		return Evidence{}, nil, sig, fmt.Errorf("%w: %s", ErrMalformed, what)
	}
	auth := r.Header.Values("Authorization")
	if len(auth) == 0 {
		return Evidence{}, nil, sig, ErrNoSignature
	}
	if len(auth) > 1 {
		return bad("two Authorization headers")
	}
	for k, v := range r.Header {
		if len(v) > 1 && strings.HasPrefix(strings.ToLower(k), "x-amz-") {
			return bad("an X-Amz header occurs twice")
		}
	}
	rest, ok := strings.CutPrefix(auth[0], algorithm+" ")
	if !ok {
		return Evidence{}, nil, sig, ErrNoSignature
	}
	parts := strings.Split(rest, ",")
	if len(parts) != 3 {
		return bad("Authorization needs Credential, SignedHeaders and Signature")
	}
	var fields [3]string
	for i, want := range []string{"Credential=", "SignedHeaders=", "Signature="} {
		if fields[i], ok = strings.CutPrefix(strings.Trim(parts[i], " "), want); !ok {
			return bad("Authorization needs Credential, SignedHeaders and Signature, in this order")
		}
	}
	cred := strings.Split(fields[0], "/")
	if len(cred) != 5 || cred[4] != "aws4_request" {
		return bad("Credential")
	}
	e = Evidence{accessKeyID: cred[0], region: cred[2], service: cred[3], date: r.Header.Get("X-Amz-Date")}
	if len(e.date) != len(timeFormat) || cred[1] != e.date[:8] {
		return bad("X-Amz-Date is absent or of another day than the scope")
	}
	names = strings.Split(fields[1], ";")
	for i, n := range names {
		if n == "" || n != strings.ToLower(n) || i > 0 && names[i-1] >= n {
			return bad("SignedHeaders must be lower-case, sorted and unique")
		}
	}
	if len(fields[2]) != 64 || strings.ToLower(fields[2]) != fields[2] {
		return bad("Signature")
	}
	if _, err := hex.Decode(sig[:], []byte(fields[2])); err != nil {
		return bad("Signature")
	}
	return e, names, sig, nil
}

// canonicalHeaders takes the values as they arrived. Go's server moves Host
// and Content-Length out of the header map; they are put back here.
func canonicalHeaders(r *http.Request, names []string) (string, error) {
	signed := map[string]bool{}
	var b strings.Builder
	for _, n := range names {
		signed[n] = true
		var values []string
		switch n {
		case "host":
			values = []string{r.Host}
		case "content-length":
			values = []string{strconv.FormatInt(r.ContentLength, 10)}
		case "transfer-encoding", "connection", "authorization":
			return "", fmt.Errorf("%w: %s cannot be signed", ErrMalformed, n)
		default:
			values = r.Header.Values(n)
		}
		if len(values) == 0 {
			return "", fmt.Errorf("%w: a signed header is absent", ErrMalformed)
		}
		b.WriteString(n)
		b.WriteByte(':')
		for i, v := range values {
			if i > 0 {
				b.WriteByte(',')
			}
			b.WriteString(collapse(v))
		}
		b.WriteByte('\n')
	}
	if !signed["host"] {
		return "", fmt.Errorf("%w: host", ErrNotSigned)
	}
	for k := range r.Header {
		if l := strings.ToLower(k); strings.HasPrefix(l, "x-amz-") && !signed[l] {
			return "", fmt.Errorf("%w: an x-amz header", ErrNotSigned)
		}
	}
	return b.String(), nil
}

// collapse trims a value and folds inner runs of spaces, as signers do.
func collapse(v string) string {
	return strings.Join(strings.FieldsFunc(v, func(r rune) bool { return r == ' ' || r == '\t' || r == '\n' || r == '\r' }), " ")
}

// canonicalPath escapes the path as it stood on the wire. Outside S3 clients
// disagree on what an empty or dotted segment means, and so might a router, so
// such paths are refused.
func canonicalPath(raw string, s3 bool) (string, error) {
	if s3 {
		p, err := url.PathUnescape(raw)
		if err != nil {
			return "", fmt.Errorf("%w: escape in the path", ErrMalformed)
		}
		return escape(p, true), nil
	}
	if raw != "/" {
		for _, seg := range strings.Split(raw[1:], "/") {
			plain, err := url.PathUnescape(seg)
			if err != nil {
				return "", fmt.Errorf("%w: escape in the path", ErrMalformed)
			}
			if plain == "" || plain == "." || plain == ".." || strings.ContainsAny(plain, "/\\\x00") {
				return "", ErrAmbiguousPath
			}
		}
	}
	return escape(raw, true), nil
}

func canonicalQuery(raw string) (string, error) {
	if raw == "" {
		return "", nil
	}
	var pairs []string
	for _, p := range strings.Split(raw, "&") {
		if p == "" {
			continue
		}
		k, v, _ := strings.Cut(p, "=")
		k, err1 := url.PathUnescape(k)
		v, err2 := url.PathUnescape(v)
		if err1 != nil || err2 != nil {
			return "", fmt.Errorf("%w: escape in the query", ErrMalformed)
		}
		if l := strings.ToLower(k); l == "x-amz-signature" || l == "x-amz-algorithm" || l == "x-amz-credential" {
			return "", fmt.Errorf("%w: authentication in the query is not supported", ErrMalformed)
		}
		pairs = append(pairs, escape(k, false)+"="+escape(v, false))
	}
	sort.Strings(pairs)
	return strings.Join(pairs, "&"), nil
}

const upperHex = "0123456789ABCDEF"

func escape(s string, path bool) string {
	var b strings.Builder
	for i := range len(s) {
		c := s[i]
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '.' || c == '_' || c == '~' || path && c == '/' {
			b.WriteByte(c)
		} else {
			b.WriteByte('%')
			b.WriteByte(upperHex[c>>4])
			b.WriteByte(upperHex[c&15])
		}
	}
	return b.String()
}
