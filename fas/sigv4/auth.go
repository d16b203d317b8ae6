package sigv4

import (
	"encoding/hex"
	"net/http"
	"strings"
)

// parseAuth finds the one signature of a request, in its headers or in its
// query, and the list of signed headers.
func parseAuth(r *http.Request, rawQuery string, o CaptureOptions) (Evidence, string, error) {
	auth := r.Header["Authorization"]
	inQuery := hasReserved(rawQuery)
	for k, v := range r.Header {
		if len(v) > 1 && isAmz(k) {
			return Evidence{}, "", refuse("an X-Amz header", ErrDuplicated)
		}
	}
	switch {
	case len(auth) > 1:
		return Evidence{}, "", refuse("Authorization", ErrDuplicated)
	case len(auth) == 1 && inQuery:
		return Evidence{}, "", refuse("query", ErrBothAuth)
	case len(auth) == 1:
		return parseAuthorization(r, auth[0], o)
	case !inQuery:
		return Evidence{}, "", ErrNoSignature
	case !o.Presigned:
		return Evidence{}, "", refuse("query", ErrPresigned)
	}
	return parsePresigned(rawQuery, o)
}

// accepted reports whether name is an algorithm of these options, and which.
func accepted(name string, o CaptureOptions) (ecdsa bool, err error) {
	switch {
	case name == algorithm:
		return false, nil
	case name == asymmetric && o.SigV4A:
		return true, nil
	case strings.HasPrefix(name, "AWS4-"):
		return false, refuse("algorithm", ErrAlgorithm)
	}
	return false, ErrNoSignature
}

func parseAuthorization(r *http.Request, auth string, o CaptureOptions) (e Evidence, list string, err error) {
	name, rest, _ := strings.Cut(auth, " ")
	if e.ecdsa, err = accepted(name, o); err != nil {
		return Evidence{}, "", err
	}
	var fields [3]string
	for i, want := range [...]string{"Credential=", "SignedHeaders=", "Signature="} {
		part, after, more := strings.Cut(rest, ",")
		var ok bool
		if fields[i], ok = strings.CutPrefix(strings.Trim(part, " "), want); !ok || more != (i < 2) {
			return Evidence{}, "", refuse("Authorization", ErrMalformed)
		}
		rest = after
	}
	if e.date, err = single(r, "X-Amz-Date"); err != nil {
		return Evidence{}, "", err
	}
	set := ""
	if e.ecdsa {
		if set, err = single(r, "X-Amz-Region-Set"); err != nil {
			return Evidence{}, "", err
		}
	}
	return e, fields[1], e.claim(fields[0], set, fields[2])
}

func single(r *http.Request, name string) (string, error) {
	v := r.Header[name]
	if len(v) != 1 {
		return "", refuse(name, ErrMalformed)
	}
	return v[0], nil
}

// parsePresigned reads the parameters loosely: parseQuery compares them with
// the canonical form, which is what is signed.
func parsePresigned(rawQuery string, o CaptureOptions) (e Evidence, list string, err error) {
	var v [6]string
	names := [...]string{"X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Date", "X-Amz-SignedHeaders", "X-Amz-Signature", "X-Amz-Region-Set"}
	for rest := rawQuery; rest != ""; {
		var p string
		p, rest, _ = strings.Cut(rest, "&")
		k, value, _ := strings.Cut(p, "=")
		for i, n := range names {
			if !escapes(k, n) {
				continue
			}
			if v[i] != "" {
				return Evidence{}, "", refuse(n, ErrDuplicated)
			}
			s := borrow()
			plain, ok := unescape(s.out[:0], value)
			v[i] = string(plain)
			s.release()
			if !ok || v[i] == "" {
				return Evidence{}, "", refuse(n, ErrMalformed)
			}
		}
	}
	if e.ecdsa, err = accepted(v[0], o); err != nil {
		return Evidence{}, "", err
	}
	e.presigned, e.date = true, v[2]
	return e, v[3], e.claim(v[1], v[5], v[4])
}

// claim takes the fields of a credential, and the signature.
func (e *Evidence) claim(credential, set, signature string) error {
	parts := 5
	if e.ecdsa {
		parts = 4
	}
	if strings.Count(credential, "/") != parts-1 {
		return refuse("Credential", ErrMalformed)
	}
	var day, end string
	e.accessKeyID, credential, _ = strings.Cut(credential, "/")
	day, credential, _ = strings.Cut(credential, "/")
	if e.region = set; !e.ecdsa {
		e.region, credential, _ = strings.Cut(credential, "/")
	}
	e.service, end, _ = strings.Cut(credential, "/")
	if end != terminator {
		return refuse("Credential", ErrMalformed)
	}
	if len(e.date) != len(timeFormat) || day != e.date[:8] {
		return refuse("X-Amz-Date", ErrMalformed)
	}
	if len(signature) > 2*maxSig || len(signature)%2 != 0 || !lowerHex(signature) || !e.ecdsa && len(signature) != 64 {
		return refuse("Signature", ErrMalformed)
	}
	s := borrow()
	defer s.release()
	s.query = append(s.query[:0], signature...)
	n, err := hex.Decode(e.sig[:], s.query)
	if err != nil {
		return refuse("Signature", ErrMalformed)
	}
	e.sigLen = uint8(n)
	return nil
}

// hasReserved reports whether a query holds a parameter of a signature,
// however it is written.
func hasReserved(rawQuery string) bool {
	for rest := rawQuery; rest != ""; {
		var p string
		p, rest, _ = strings.Cut(rest, "&")
		k, _, _ := strings.Cut(p, "=")
		if len(k) < len(amz) || unreserved[k[0]] && k[0]|0x20 != 'x' {
			continue
		}
		s := borrow()
		plain, ok := unescape(s.out[:0], k)
		name := reservedName(string(plain))
		s.release()
		if ok && name != "" {
			return true
		}
	}
	return false
}

func queryValue(rawQuery, name string) string {
	for rest := rawQuery; rest != ""; {
		var p string
		p, rest, _ = strings.Cut(rest, "&")
		k, v, _ := strings.Cut(p, "=")
		if escapes(k, name) {
			return v
		}
	}
	return ""
}

func unescape(dst []byte, s string) ([]byte, bool) {
	for i := 0; i < len(s); {
		c, n := unescapeAt(s, i)
		if n == 0 {
			return dst, false
		}
		dst = append(dst, c)
		i += n
	}
	return dst, true
}
