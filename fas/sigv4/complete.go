package sigv4

import (
	"strconv"
	"strings"
	"time"
)

// complete checks the claimed fields and parses the canonical request back.
// Evidence from a request and evidence from another process both pass here:
// whoever holds a key can sign any text, and not all of it is a request.
func (e *Evidence) complete() error {
	more := ""
	if e.ecdsa {
		more = ",*"
	}
	if !token(e.accessKeyID, 128, "") || !token(e.region, 256, more) || !token(e.service, 64, "") {
		return refuse("Credential", ErrMalformed)
	}
	// Parse takes fractions of a second, which the form has not.
	at, err := time.Parse(timeFormat, e.date)
	if err != nil || len(e.date) != len(timeFormat) {
		return refuse("X-Amz-Date", ErrMalformed)
	}
	e.at = at
	if !e.ecdsa && e.sigLen != 32 || e.ecdsa && (e.sigLen < 8 || e.sigLen > maxSig) {
		return refuse("Signature", ErrMalformed)
	}
	if e.canonical == "" {
		return nil
	}
	return e.parseCanonical()
}

func (e *Evidence) parseCanonical() error {
	if len(e.canonical) > MaxEvidence {
		return refuse("canonical request", ErrMalformed)
	}
	rest, payload, ok1 := cutLast(e.canonical)
	rest, list, ok2 := cutLast(rest)
	var ok3, ok4, ok5 bool
	e.method, rest, ok3 = strings.Cut(rest, "\n")
	e.path, rest, ok4 = strings.Cut(rest, "\n")
	e.query, rest, ok5 = strings.Cut(rest, "\n")
	if !ok1 || !ok2 || !ok3 || !ok4 || !ok5 || e.method == "" || !strings.HasPrefix(e.path, "/") || !strings.HasSuffix(rest, "\n") {
		return refuse("canonical request", ErrMalformed)
	}
	if !all(e.method, &inMethod) || !escaped(e.path, true) || !canonicalQuery(e.query) {
		return refuse("canonical request", ErrMalformed)
	}
	e.headers, e.payload = rest, payload
	var host, date, sum, set string
	err := names(list, func(name string) error {
		var line string
		var ok bool
		if line, rest, ok = strings.Cut(rest, "\n"); !ok {
			return refuse("canonical request", ErrMalformed)
		}
		k, v, ok := strings.Cut(line, ":")
		if !ok || k != name {
			return refuse("canonical request", ErrMalformed)
		}
		switch k {
		case "host":
			host = v
		case "x-amz-date":
			date = v
		case "x-amz-content-sha256":
			sum = v
		case "x-amz-region-set":
			set = v
		}
		return nil
	})
	if err != nil {
		return err
	}
	switch {
	case rest != "":
		return refuse("canonical request", ErrMalformed)
	case host == "":
		return refuse("host", ErrNotSigned)
	case e.presigned && date != "":
		return refuse("X-Amz-Date", ErrBothAuth)
	case !e.presigned && date != e.date:
		return refuse("X-Amz-Date", ErrNotSigned)
	case e.ecdsa && !e.presigned && set != e.region:
		return refuse("X-Amz-Region-Set", ErrNotSigned)
	}
	if err := e.parseQuery(list, sum); err != nil {
		return err
	}
	return checkPayload(e.payload)
}

func checkPayload(p string) error {
	switch {
	case p == unsigned:
		return nil
	case strings.HasPrefix(p, streaming):
		return refuse("X-Amz-Content-Sha256", ErrStreaming)
	case len(p) != 64 || !lowerHex(p):
		return refuse("X-Amz-Content-Sha256", ErrPayload)
	}
	return nil
}

// parseQuery checks that the parameters of a signature are all there, in
// agreement with the fields, if and only if the request is presigned.
func (e *Evidence) parseQuery(list, sum string) error {
	found, before := 0, ""
	err := parameters(e.query, func(k, v string) error {
		if !isAmz(k) {
			return nil
		}
		if k == before { // the query is sorted
			return refuse("query", ErrDuplicated)
		}
		before = k
		which := reservedName(k)
		if which == "" {
			return nil
		}
		if !e.presigned {
			return refuse(which, ErrBothAuth)
		}
		if which != k {
			return refuse(which, ErrMalformed)
		}
		ok := true
		switch k {
		case "X-Amz-Algorithm":
			ok = v == e.algorithm()
		case "X-Amz-Credential":
			ok = e.isCredential(v)
		case "X-Amz-Date":
			ok = v == e.date
		case "X-Amz-SignedHeaders":
			ok = escapes(v, list)
		case "X-Amz-Region-Set":
			ok = e.ecdsa && escapes(v, e.region)
		case "X-Amz-Expires":
			n, err := strconv.Atoi(v)
			if err != nil || n < 1 || n > maxExpires || strconv.Itoa(n) != v {
				return refuse(k, ErrExpires)
			}
			e.expires = time.Duration(n) * time.Second
		case "X-Amz-Content-Sha256":
			if sum != "" && sum != v {
				return refuse(k, ErrPayload)
			}
			sum = v
			return nil
		case "X-Amz-Security-Token":
			return nil
		case "X-Amz-Signature":
			ok = false // it cannot cover itself
		}
		if !ok {
			return refuse(k, ErrMalformed)
		}
		found++
		return nil
	})
	need := 5
	if e.ecdsa {
		need++
	}
	switch {
	case err != nil:
		return err
	case e.presigned && found != need:
		return refuse("query", ErrMalformed)
	case sum != "" && sum != e.payload:
		return refuse("X-Amz-Content-Sha256", ErrPayload)
	}
	return nil
}

// reservedName returns the proper form of a parameter with which requests are
// signed, however it is written, or "".
func reservedName(k string) string {
	for _, r := range reserved {
		if len(r) == len(k) && strings.EqualFold(r, k) {
			return r
		}
	}
	return ""
}

func (e *Evidence) isCredential(escaped string) bool {
	s := borrow()
	defer s.release()
	s.out = e.appendScope(append(append(s.out[:0], e.accessKeyID...), '/'))
	return escapes(escaped, string(s.out))
}

func cutLast(s string) (before, after string, ok bool) {
	i := strings.LastIndexByte(s, '\n')
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+1:], true
}
