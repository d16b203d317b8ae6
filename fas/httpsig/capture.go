package httpsig

import (
	"crypto/sha256"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// CaptureOptions changes what [Capture] expects.
type CaptureOptions struct {
	// Scheme is the one that callers see, "https" or "http"; empty means that
	// of this connection. Set it behind a proxy that ends TLS.
	Scheme string
}

// Capture reads the signature of a request and its body, of at most maxBody
// bytes, and checks that the body is the signed one. It does not check the
// signature itself. The body is returned, and r.Body is consumed.
func Capture(r *http.Request, maxBody int64) (Evidence, []byte, error) {
	return CaptureWith(r, maxBody, CaptureOptions{})
}

// CaptureWith is [Capture] with options.
func CaptureWith(r *http.Request, maxBody int64, o CaptureOptions) (Evidence, []byte, error) {
	input, signature := r.Header.Values("Signature-Input"), r.Header.Values("Signature")
	switch {
	case len(input) == 0 && len(signature) == 0:
		return Evidence{}, nil, ErrNoSignature
	case len(input) > 1 || len(signature) > 1:
		return Evidence{}, nil, ErrSignatures
	case len(input) == 0 || len(signature) == 0:
		return Evidence{}, nil, fmt.Errorf("%w: Signature and Signature-Input belong together", ErrMalformed)
	case len(input[0]) > MaxEvidence:
		return Evidence{}, nil, fmt.Errorf("%w: Signature-Input", ErrTooLarge)
	}
	label, value, names, _, err := parseInput(input[0])
	if err != nil {
		return Evidence{}, nil, err
	}
	var e Evidence
	if e.signature, err = parseSignature(signature[0], label); err != nil {
		return Evidence{}, nil, err
	}
	if e.base, err = base(r, names, value, o); err != nil {
		return Evidence{}, nil, err
	}
	if err := e.complete(); err != nil {
		return Evidence{}, nil, err
	}
	for _, h := range []string{"Content-Type", "Content-Encoding"} {
		// It decides what the signed bytes mean.
		if _, signed := e.Header(h); !signed && len(r.Header.Values(h)) > 0 {
			return Evidence{}, nil, fmt.Errorf("%w: %s", ErrNotSigned, h)
		}
	}
	body, err := readBody(r, maxBody)
	if err != nil {
		return Evidence{}, nil, err
	}
	if sha256.Sum256(body) != e.payload {
		return Evidence{}, nil, fmt.Errorf("%w: the body is not the signed one", ErrPayload)
	}
	return e, body, nil
}

func readBody(r *http.Request, limit int64) ([]byte, error) {
	if r.Body == nil {
		return nil, nil
	}
	// One byte more than the limit, which must not become less than nothing: a
	// reader of less than nothing reads nothing, and the body would be left to
	// whoever comes next.
	limit = min(max(limit, 0), math.MaxInt64-1)
	body, err := io.ReadAll(io.LimitReader(r.Body, limit+1))
	if err != nil {
		return nil, fmt.Errorf("%w: read the body", ErrPayload)
	}
	if int64(len(body)) > limit {
		return nil, fmt.Errorf("%w: body", ErrTooLarge)
	}
	return body, nil
}

// base is the signature base of RFC 9421, section 2.5.
func base(r *http.Request, names []string, value string, o CaptureOptions) (string, error) {
	scheme := o.Scheme
	if scheme == "" {
		scheme = "http"
		if r.TLS != nil {
			scheme = "https"
		}
	}
	if scheme != "http" && scheme != "https" {
		return "", fmt.Errorf("%w: scheme", ErrConfig)
	}
	target := r.RequestURI
	if !strings.HasPrefix(target, "/") {
		return "", fmt.Errorf("%w: request target", ErrMalformed)
	}
	authority := normalAuthority(r.Host, scheme)
	path, query, _ := strings.Cut(target, "?")
	var b strings.Builder
	for _, name := range names {
		var v string
		switch name {
		case "@method":
			v = r.Method
		case "@authority":
			v = authority
		case "@path":
			v = path
		case "@query":
			v = "?" + query
		case "@target-uri":
			v = scheme + "://" + authority + target
		case "content-length":
			// Go's server takes it out of the header map.
			if r.ContentLength < 0 {
				return "", fmt.Errorf("%w: a signed header is absent", ErrMalformed)
			}
			v = strconv.FormatInt(r.ContentLength, 10)
		default:
			values := r.Header.Values(name)
			if len(values) == 0 {
				return "", fmt.Errorf("%w: a signed header is absent", ErrMalformed)
			}
			if name == "content-digest" && len(values) > 1 {
				return "", fmt.Errorf("%w: two Content-Digest headers", ErrMalformed)
			}
			v = joined(values)
		}
		b.WriteString(`"` + name + `": ` + v + "\n")
		if b.Len() > MaxEvidence {
			return "", fmt.Errorf("%w: signature base", ErrTooLarge)
		}
	}
	return b.String() + `"@signature-params": ` + value, nil
}

func joined(values []string) string {
	trimmed := make([]string, len(values))
	for i, v := range values {
		trimmed[i] = strings.Trim(v, " \t")
	}
	return strings.Trim(strings.Join(trimmed, ", "), " \t")
}

// normalAuthority is RFC 9421, section 2.2.3.
func normalAuthority(host, scheme string) string {
	host = strings.ToLower(host)
	if scheme == "https" {
		return strings.TrimSuffix(host, ":443")
	}
	return strings.TrimSuffix(host, ":80")
}

// CheckPath refuses, with [ErrAmbiguousPath] or [ErrMalformed], an escaped path
// of which two routers would make two things.
func CheckPath(path string) error {
	if !strings.HasPrefix(path, "/") {
		return fmt.Errorf("%w: path", ErrMalformed)
	}
	if path == "/" {
		return nil
	}
	for _, segment := range strings.Split(path[1:], "/") {
		plain, err := url.PathUnescape(segment)
		if err != nil {
			return fmt.Errorf("%w: escape in the path", ErrMalformed)
		}
		if plain == "" || plain == "." || plain == ".." || strings.ContainsAny(plain, "/\\\x00") {
			return ErrAmbiguousPath
		}
	}
	return nil
}

// printable reports whether a value can stand in a signature base.
func printable(s string) bool {
	for i := range len(s) {
		if c := s[i]; (c < ' ' || c > '~') && c != '\t' {
			return false
		}
	}
	return true
}

func isMethod(s string) bool {
	for i := range len(s) {
		if s[i] < 'A' || s[i] > 'Z' {
			return false
		}
	}
	return s != "" && len(s) <= 32
}

func isAuthority(s string) bool {
	for i := range len(s) {
		c := s[i]
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && !strings.ContainsRune("-._:[]", rune(c)) {
			return false
		}
	}
	return s != "" && len(s) <= 255
}
