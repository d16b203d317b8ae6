package oidc

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"math"
	"net/http"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4/json"

	"github.com/cloisterdev/cloister/fas"
	"github.com/cloisterdev/cloister/tenant"
)

// MaxBody is the largest body that evidence carries along, in bytes.
const MaxBody = 64 << 10

// wire is evidence on its way to the firewall. There is nothing in it that the
// caller did not sign.
type wire struct {
	Token string `json:"t"`
	Proof string `json:"p"`
	Body  []byte `json:"b,omitempty"`
}

// Evidence is a token with a proof of one call. It is a claim until a [Verifier]
// accepted it. The zero value is no evidence and is refused everywhere.
type Evidence struct {
	w wire
	p *proof
}

// IsZero reports whether this is no evidence.
func (e Evidence) IsZero() bool { return e.p == nil }

// WithBody returns the evidence with its body, at most [MaxBody] bytes. A body
// that the proof is not about is refused with [ErrPayload].
func (e Evidence) WithBody(b []byte) (Evidence, error) {
	switch {
	case e.p == nil:
		return Evidence{}, ErrNoToken
	case len(b) > MaxBody:
		return Evidence{}, fmt.Errorf("%w: body", ErrTooLarge)
	case sha256.Sum256(b) != e.p.body:
		return Evidence{}, ErrPayload
	}
	e.w.Body = bytes.Clone(b)
	return e, nil
}

// Signed is the evidence as a firewall takes it.
func (e Evidence) Signed() (fas.Evidence, error) {
	if e.p == nil {
		return fas.Evidence{}, ErrNoToken
	}
	raw, err := json.Marshal(e.w)
	if err != nil {
		return fas.Evidence{}, err
	}
	return fas.NewEvidence(tenant.MethodOIDC, raw, e.w.claim(e.p, time.Time{}))
}

// Capture reads token and proof of a request and its body, of at most maxBody
// bytes, and checks that the proof is about this request. It verifies neither
// signature, and needs no key and no network. The body is returned, and r.Body
// is consumed; the evidence does not hold it.
func Capture(r *http.Request, maxBody int64) (Evidence, []byte, error) {
	auth, proofs := r.Header.Values("Authorization"), r.Header.Values("DPoP")
	if len(auth) == 0 || len(proofs) == 0 {
		return Evidence{}, nil, ErrNoToken
	}
	if len(auth) > 1 || len(proofs) > 1 {
		return Evidence{}, nil, fmt.Errorf("%w: two tokens or proofs", ErrMalformed)
	}
	token, ok := strings.CutPrefix(auth[0], "DPoP ")
	if !ok || token == "" {
		return Evidence{}, nil, ErrNoToken
	}
	p, err := parseProof(proofs[0], token)
	if err != nil {
		return Evidence{}, nil, err
	}
	path, query, _ := strings.Cut(r.RequestURI, "?")
	if p.Method != r.Method || p.path != path || *p.Query != query || p.host != normalHost(r.Host, p.scheme) {
		return Evidence{}, nil, ErrRequest
	}
	var body []byte
	// One byte more than the limit, which must not become less than nothing: the
	// body would be left unread.
	maxBody = min(max(maxBody, 0), math.MaxInt64-1)
	if r.Body != nil {
		if body, err = io.ReadAll(io.LimitReader(r.Body, maxBody+1)); err != nil {
			return Evidence{}, nil, fmt.Errorf("%w: read the body", ErrPayload)
		}
	}
	if int64(len(body)) > maxBody {
		return Evidence{}, nil, fmt.Errorf("%w: body", ErrTooLarge)
	}
	if sha256.Sum256(body) != p.body {
		return Evidence{}, nil, ErrPayload
	}
	return Evidence{wire{Token: token, Proof: proofs[0]}, p}, body, nil
}

// parse reads evidence again, for the firewall.
func parse(raw []byte) (w wire, p *proof, err error) {
	d := json.NewDecoder(bytes.NewReader(raw))
	if err := d.Decode(&w); err != nil {
		return w, nil, fmt.Errorf("%w: not evidence", ErrMalformed)
	}
	var more any
	if err := d.Decode(&more); err != io.EOF {
		return w, nil, fmt.Errorf("%w: data after the evidence", ErrMalformed)
	}
	if p, err = parseProof(w.Proof, w.Token); err != nil {
		return w, nil, err
	}
	if len(w.Body) > MaxBody {
		return w, nil, fmt.Errorf("%w: body", ErrTooLarge)
	}
	if len(w.Body) > 0 && sha256.Sum256(w.Body) != p.body {
		return w, nil, ErrPayload
	}
	return w, p, nil
}

// claim is what the proof says.
func (w wire) claim(p *proof, until time.Time) fas.Claim {
	c := fas.Claim{Digest: p.digest(w.Proof), Once: p.once(), Time: p.time(), Until: until, Method: p.Method, Path: p.path,
		Query: *p.Query, Level: fas.LevelCanonical}
	if len(w.Body) > 0 || p.body == sha256.Sum256(nil) {
		c.Body, c.Level = w.Body, fas.LevelBody
	}
	return c
}

func normalHost(host, scheme string) string {
	host = strings.ToLower(host)
	if scheme == "https" {
		return strings.TrimSuffix(host, ":443")
	}
	return strings.TrimSuffix(host, ":80")
}
