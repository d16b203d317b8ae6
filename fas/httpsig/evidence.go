package httpsig

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"
)

const (
	// MaxEvidence is the largest signature base accepted, in bytes.
	MaxEvidence = 16 << 10
	// MaxBody is the largest body that evidence carries along, in bytes.
	MaxBody = 64 << 10
)

// Evidence is what a caller signed. It is a claim until [Verify] accepted it.
// The zero value is no evidence and is refused everywhere.
type Evidence struct {
	base      string // RFC 9421, section 2.5
	signature [ed25519.SignatureSize]byte
	body      []byte

	params     params
	components []component // parsed back from base
	method     string
	authority  string
	path       string
	query      string
	payload    [32]byte
}

type component struct{ name, value string }

// KeyID returns the claimed key.
func (e Evidence) KeyID() string { return e.params.keyID }

// Nonce returns the signer's nonce.
func (e Evidence) Nonce() string { return e.params.nonce }

// Time returns when it was signed, with a resolution of one second.
func (e Evidence) Time() time.Time { return time.Unix(e.params.created, 0).UTC() }

// Expires returns when the signer wants it to end, and whether it said so.
func (e Evidence) Expires() (time.Time, bool) {
	return time.Unix(e.params.expires, 0).UTC(), e.params.expires != 0
}

// Method returns the signed method.
func (e Evidence) Method() string { return e.method }

// Authority returns the signed host, in lower case, with a port unless it is
// the scheme's own.
func (e Evidence) Authority() string { return e.authority }

// Path returns the signed path as it was escaped.
func (e Evidence) Path() string { return e.path }

// Query returns the signed query as it was escaped, without its question mark.
func (e Evidence) Query() string { return e.query }

// PayloadHash returns the signed SHA-256 of the body.
func (e Evidence) PayloadHash() [32]byte { return e.payload }

// Signature returns the claimed signature.
func (e Evidence) Signature() [ed25519.SignatureSize]byte { return e.signature }

// Body returns the body, if the evidence carries it.
func (e Evidence) Body() []byte { return e.body }

// IsZero reports whether this is no evidence.
func (e Evidence) IsZero() bool { return e.base == "" }

// Header returns a signed header, several fields of one name joined by ", "; an
// unsigned one is absent.
func (e Evidence) Header(name string) (string, bool) {
	name = strings.ToLower(name)
	if strings.HasPrefix(name, "@") {
		return "", false
	}
	return e.component(name)
}

func (e Evidence) component(name string) (string, bool) {
	for _, c := range e.components {
		if c.name == name {
			return c.value, true
		}
	}
	return "", false
}

// Digest returns the SHA-256 of the signature base, which names this signed
// call in audit records.
func (e Evidence) Digest() [32]byte { return sha256.Sum256([]byte(e.base)) }

// Once names this signed call in replay stores: key and nonce. Who signs two
// calls with one nonce can use one of them.
func (e Evidence) Once() [32]byte {
	// A key id holds no quotation mark.
	return sha256.Sum256([]byte(`"` + e.params.keyID + `" "` + e.params.nonce + `"`))
}

// WithBody returns the evidence with its body, at most [MaxBody] bytes. A body
// whose digest is not the signed one is refused with [ErrPayload].
func (e Evidence) WithBody(b []byte) (Evidence, error) {
	if len(b) > MaxBody {
		return Evidence{}, fmt.Errorf("%w: body", ErrTooLarge)
	}
	if sha256.Sum256(b) != e.payload {
		return Evidence{}, fmt.Errorf("%w: the body is not the signed one", ErrPayload)
	}
	e.body = bytes.Clone(b)
	return e, nil
}

type wire struct {
	Base      string `json:"s"`
	Signature []byte `json:"g"`
	Body      []byte `json:"b,omitempty"`
}

// MarshalBinary returns the form that [ParseEvidence] reads.
func (e Evidence) MarshalBinary() ([]byte, error) {
	if e.IsZero() {
		return nil, ErrNoSignature
	}
	return json.Marshal(wire{e.base, e.signature[:], e.body})
}

// ParseEvidence reads what [Evidence.MarshalBinary] wrote. Everything is
// derived from the signature base again, so that a field cannot say something
// else than what was signed.
func ParseEvidence(b []byte) (Evidence, error) {
	if len(b) > 2*MaxEvidence+2*MaxBody {
		return Evidence{}, ErrTooLarge
	}
	var w wire
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(&w); err != nil {
		return Evidence{}, fmt.Errorf("%w: not evidence", ErrMalformed)
	}
	if _, err := d.Token(); err != io.EOF {
		return Evidence{}, fmt.Errorf("%w: data after the evidence", ErrMalformed)
	}
	e := Evidence{base: w.Base}
	if copy(e.signature[:], w.Signature) != len(w.Signature) || len(w.Signature) != len(e.signature) {
		return Evidence{}, fmt.Errorf("%w: signature", ErrMalformed)
	}
	if err := e.complete(); err != nil {
		return Evidence{}, err
	}
	if len(w.Body) > 0 {
		return e.WithBody(w.Body)
	}
	return e, nil
}

// complete parses the signature base back and checks that it says all that it
// must. Capture and ParseEvidence both end here, so that neither accepts what
// the other does not.
func (e *Evidence) complete() error {
	if len(e.base) == 0 || len(e.base) > MaxEvidence {
		return fmt.Errorf("%w: signature base of %d bytes", ErrTooLarge, len(e.base))
	}
	lines := strings.Split(e.base, "\n")
	last := len(lines) - 1
	value, ok := strings.CutPrefix(lines[last], `"@signature-params": `)
	if !ok {
		return fmt.Errorf("%w: signature base", ErrMalformed)
	}
	names, p, err := parseValue(value)
	if err != nil {
		return err
	}
	if len(names) != last {
		return fmt.Errorf("%w: signature base", ErrMalformed)
	}
	e.params, e.components = p, make([]component, last)
	for i, name := range names {
		v, ok := strings.CutPrefix(lines[i], `"`+name+`": `)
		if !ok || !printable(v) || v != strings.Trim(v, " \t") {
			return fmt.Errorf("%w: value of a component", ErrMalformed)
		}
		e.components[i] = component{name, v}
	}
	return e.derive()
}

// derive finds the request line in the components.
func (e *Evidence) derive() error {
	var digest string
	for name, to := range map[string]*string{"@method": &e.method, "@authority": &e.authority, "content-digest": &digest} {
		v, ok := e.component(name)
		if !ok || v == "" {
			return fmt.Errorf("%w: %s", ErrNotSigned, name)
		}
		*to = v
	}
	if !isMethod(e.method) {
		return fmt.Errorf("%w: method", ErrMalformed)
	}
	if !isAuthority(e.authority) {
		return fmt.Errorf("%w: authority", ErrMalformed)
	}
	path, hasPath := e.component("@path")
	query, hasQuery := e.component("@query")
	uri, hasURI := e.component("@target-uri")
	if hasQuery && !strings.HasPrefix(query, "?") {
		return fmt.Errorf("%w: query", ErrMalformed)
	}
	query = strings.TrimPrefix(query, "?")
	if hasURI {
		_, target, ok := strings.Cut(uri, "://"+e.authority)
		if !ok || uri != "https://"+e.authority+target && uri != "http://"+e.authority+target {
			return fmt.Errorf("%w: target URI", ErrMalformed)
		}
		p, q, _ := strings.Cut(target, "?")
		if hasPath && path != p || hasQuery && query != q {
			return fmt.Errorf("%w: two request targets", ErrMalformed)
		}
		path, query = p, q
	} else if !hasPath || !hasQuery {
		return fmt.Errorf("%w: path and query", ErrNotSigned)
	}
	if strings.ContainsAny(path+query, "# \t") || strings.Contains(path, "?") {
		return fmt.Errorf("%w: request target", ErrMalformed)
	}
	e.path, e.query = path, query
	if err := CheckPath(path); err != nil {
		return err
	}
	var err error
	e.payload, err = parseContentDigest(digest)
	return err
}
