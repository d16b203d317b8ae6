package httpsig

import (
	"crypto/ed25519"
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"
)

// params is what stands behind the list of components: RFC 9421, section 2.3.
type params struct {
	created, expires int64 // expires is 0 where it is absent
	nonce, keyID     string
}

const (
	maxComponents = 64
	maxText       = 256 // of a nonce or key id
)

// parseInput reads a Signature-Input field with one member. It accepts only
// the form that RFC 8941 serializes to, so that what was received is, to the
// byte, what is signed. It returns the member's label, its value, and the value
// taken apart.
func parseInput(field string) (label, value string, names []string, p params, err error) {
	label, value, ok := strings.Cut(field, "=")
	if !ok || !isKey(label) {
		return "", "", nil, p, fmt.Errorf("%w: label of Signature-Input", ErrMalformed)
	}
	if names, p, err = parseValue(value); err != nil {
		return "", "", nil, p, err
	}
	return label, value, names, p, nil
}

// parseValue reads ("a" "b");created=1;... to its end.
func parseValue(s string) (names []string, p params, err error) {
	rest, ok := strings.CutPrefix(s, "(")
	if !ok {
		return nil, p, fmt.Errorf("%w: the components are not a list", ErrMalformed)
	}
	seen := map[string]bool{}
	for first := true; !strings.HasPrefix(rest, ")"); first = false {
		if !first {
			if rest, ok = strings.CutPrefix(rest, " "); !ok {
				if strings.HasPrefix(rest, ";") {
					return nil, p, fmt.Errorf("%w: with parameters", ErrComponent)
				}
				return nil, p, fmt.Errorf("%w: list of components", ErrMalformed)
			}
		}
		var name string
		if name, rest, ok = quoted(rest); !ok {
			return nil, p, fmt.Errorf("%w: name of a component", ErrMalformed)
		}
		if !coverable(name) || seen[name] {
			return nil, p, fmt.Errorf("%w: unknown here, or twice", ErrComponent)
		}
		seen[name] = true
		if names = append(names, name); len(names) > maxComponents {
			return nil, p, fmt.Errorf("%w: more than %d components", ErrTooLarge, maxComponents)
		}
	}
	p, err = parseParams(rest[1:])
	return names, p, err
}

func parseParams(rest string) (p params, err error) {
	seen := map[string]bool{}
	for rest != "" {
		if rest[0] == ',' || rest[0] == ' ' || rest[0] == '\t' {
			if strings.HasPrefix(strings.TrimLeft(rest, " \t"), ",") {
				return p, ErrSignatures
			}
			return p, fmt.Errorf("%w: after the parameters", ErrMalformed)
		}
		key, value, ok := strings.Cut(strings.TrimPrefix(rest, ";"), "=")
		if !ok || rest[0] != ';' || !isKey(key) {
			return p, fmt.Errorf("%w: parameter", ErrMalformed)
		}
		if seen[key] {
			return p, fmt.Errorf("%w: one is there twice", ErrParameter)
		}
		seen[key] = true
		switch key {
		case "created", "expires":
			var n int64
			if n, rest, ok = integer(value); !ok {
				return p, fmt.Errorf("%w: a time is not a positive whole number", ErrMalformed)
			}
			if key == "created" {
				p.created = n
			} else {
				p.expires = n
			}
		case "nonce", "keyid", "alg":
			var text string
			if text, rest, ok = quoted(value); !ok || text == "" || len(text) > maxText {
				return p, fmt.Errorf("%w: a parameter is not a plain string of 1 to %d characters", ErrMalformed, maxText)
			}
			switch key {
			case "nonce":
				p.nonce = text
			case "keyid":
				p.keyID = text
			case "alg":
				if text != "ed25519" {
					return p, ErrAlgorithm
				}
			}
		default:
			return p, fmt.Errorf("%w: one is unknown", ErrParameter)
		}
	}
	for _, must := range []string{"created", "nonce", "keyid", "alg"} {
		if !seen[must] {
			return p, fmt.Errorf("%w: %s is missing", ErrParameter, must)
		}
	}
	if seen["expires"] && p.expires <= p.created {
		return p, fmt.Errorf("%w: it expires before it was created", ErrParameter)
	}
	return p, nil
}

// parseSignature reads a Signature field whose one member has this label.
func parseSignature(field, label string) (sig [ed25519.SignatureSize]byte, err error) {
	got, value, ok := strings.Cut(field, "=")
	if !ok || !isKey(got) {
		return sig, fmt.Errorf("%w: label of Signature", ErrMalformed)
	}
	if got != label {
		return sig, fmt.Errorf("%w: Signature and Signature-Input have different labels", ErrMalformed)
	}
	if strings.Contains(value, ",") {
		return sig, ErrSignatures
	}
	return sig, byteSequence(sig[:], value)
}

// parseContentDigest reads a Content-Digest field with SHA-256 alone. A second
// digest is refused: nobody would say which of them was checked.
func parseContentDigest(field string) (sum [32]byte, err error) {
	value, ok := strings.CutPrefix(field, "sha-256=")
	if !ok {
		return sum, fmt.Errorf("%w: the digest is not sha-256", ErrPayload)
	}
	if byteSequence(sum[:], value) != nil {
		return sum, fmt.Errorf("%w: the digest is malformed, or not alone", ErrPayload)
	}
	return sum, nil
}

// byteSequence reads :base64: of exactly len(to) bytes, in the one form that
// encodes them.
func byteSequence(to []byte, s string) error {
	enc := base64.StdEncoding.Strict()
	n := enc.EncodedLen(len(to))
	if len(s) != n+2 || s[0] != ':' || s[n+1] != ':' || strings.ContainsAny(s, "\r\n") {
		return fmt.Errorf("%w: not a byte sequence of %d bytes", ErrMalformed, len(to))
	}
	b, err := enc.DecodeString(s[1 : n+1])
	if err != nil || len(b) != len(to) {
		return fmt.Errorf("%w: not a byte sequence of %d bytes", ErrMalformed, len(to))
	}
	copy(to, b)
	return nil
}

// quoted reads a string without escapes.
func quoted(s string) (text, rest string, ok bool) {
	if s, ok = strings.CutPrefix(s, `"`); !ok {
		return "", "", false
	}
	for i := range len(s) {
		switch c := s[i]; {
		case c == '"':
			return s[:i], s[i+1:], true
		case c < ' ' || c > '~' || c == '\\':
			return "", "", false
		}
	}
	return "", "", false
}

// integer reads a positive number in its one form.
func integer(s string) (n int64, rest string, ok bool) {
	i := 0
	for i < len(s) && s[i] >= '0' && s[i] <= '9' {
		i++
	}
	if i == 0 || i > 12 || s[0] == '0' {
		return 0, "", false
	}
	n, err := strconv.ParseInt(s[:i], 10, 64)
	return n, s[i:], err == nil
}

func isKey(s string) bool {
	if s == "" || len(s) > 64 {
		return false
	}
	for i := range len(s) {
		c := s[i]
		letter := c >= 'a' && c <= 'z' || c == '*'
		if !letter && (i == 0 || (c < '0' || c > '9') && c != '_' && c != '-' && c != '.') {
			return false
		}
	}
	return true
}

// coverable reports whether a component may be covered: one of the derived
// ones, or a header that reaches the application as it was sent.
func coverable(name string) bool {
	switch name {
	case "@method", "@authority", "@path", "@query", "@target-uri":
		return true
	case "", "host", "signature", "signature-input", "connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade":
		return false
	}
	for i := range len(name) {
		c := name[i]
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && !strings.ContainsRune("!#$%&'*+-.^_`|~", rune(c)) {
			return false
		}
	}
	return !strings.HasPrefix(name, "proxy-")
}
