package oidc

import (
	"crypto"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/json"

	"github.com/cloisterdev/cloister/fas/httpsig"
	"github.com/cloisterdev/cloister/internal/weakkey"
)

const (
	maxToken = 16 << 10
	maxProof = 8 << 10
	maxText  = 256
)

// proofAlgorithms are asymmetric, of one strength, and never "none".
var proofAlgorithms = []jose.SignatureAlgorithm{jose.ES256, jose.EdDSA}

// claims are those of a proof. JSON is read case-sensitively, and no member may
// be there twice.
type claims struct {
	ID       string  `json:"jti"`
	Method   string  `json:"htm"`
	URL      string  `json:"htu"`
	Query    *string `json:"htq"`
	Body     string  `json:"htd"`
	Token    string  `json:"ath"`
	IssuedAt int64   `json:"iat"`
}

// proof is a DPoP proof, read and not yet verified.
type proof struct {
	claims
	jws          *jose.JSONWebSignature
	key          jose.JSONWebKey
	thumbprint   [32]byte
	scheme, host string
	path         string
	body         [32]byte
}

func (p *proof) time() time.Time { return time.Unix(p.IssuedAt, 0).UTC() }

// parseProof reads a proof of this token. The claims are the signer's word until
// [proof.verify] agreed.
func parseProof(text, token string) (*proof, error) {
	if len(text) > maxProof || len(token) > maxToken {
		return nil, fmt.Errorf("%w: token or proof", ErrTooLarge)
	}
	jws, err := compact(text, proofAlgorithms)
	if err != nil {
		return nil, err
	}
	p := &proof{jws: jws}
	h := jws.Signatures[0].Protected
	if h.ExtraHeaders["typ"] != "dpop+jwt" {
		return nil, fmt.Errorf("%w: type", ErrProof)
	}
	if p.key, err = proofKey(h); err != nil {
		return nil, err
	}
	sum, err := p.key.Thumbprint(crypto.SHA256)
	if err != nil || copy(p.thumbprint[:], sum) != 32 {
		return nil, fmt.Errorf("%w: thumbprint", ErrProof)
	}
	if err := json.Unmarshal(jws.UnsafePayloadWithoutVerification(), &p.claims); err != nil {
		return nil, fmt.Errorf("%w: claims of the proof", ErrMalformed)
	}
	if p.ID == "" || len(p.ID) > maxText || p.IssuedAt <= 0 || p.IssuedAt > 1<<40 || p.Query == nil || !isMethod(p.Method) {
		return nil, fmt.Errorf("%w: claims of the proof", ErrMalformed)
	}
	if p.Token != digestText([]byte(token)) {
		return nil, fmt.Errorf("%w: another token", ErrProof)
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(p.Body)
	if err != nil || len(b) != 32 || digestLen != len(p.Body) {
		return nil, fmt.Errorf("%w: digest of the body", ErrMalformed)
	}
	copy(p.body[:], b)
	return p, p.target()
}

// proofKey is the key that a proof holds. The parser refuses weak keys too, but
// does not promise to.
func proofKey(h jose.Header) (jose.JSONWebKey, error) {
	if h.JSONWebKey == nil || !h.JSONWebKey.Valid() || !h.JSONWebKey.IsPublic() || h.KeyID != "" {
		return jose.JSONWebKey{}, fmt.Errorf("%w: it must hold one public key", ErrProof)
	}
	if k, ok := h.JSONWebKey.Key.(ed25519.PublicKey); ok && weakkey.Ed25519(k) {
		return jose.JSONWebKey{}, fmt.Errorf("%w: a key for which anybody signs", ErrProof)
	}
	return *h.JSONWebKey, nil
}

// target takes the URL apart: scheme, host and path, and nothing else.
func (p *proof) target() error {
	scheme, rest, ok := strings.Cut(p.URL, "://")
	i := strings.IndexByte(rest, '/')
	if !ok || i < 1 || scheme != "https" && scheme != "http" {
		return fmt.Errorf("%w: URL of the proof", ErrMalformed)
	}
	p.scheme, p.host, p.path = scheme, rest[:i], rest[i:]
	if strings.ContainsAny(p.path, "?# ") || strings.ContainsAny(p.host, "@?#\\ ") || p.host != strings.ToLower(p.host) {
		return fmt.Errorf("%w: URL of the proof", ErrMalformed)
	}
	if strings.ContainsAny(*p.Query, "# ") {
		return fmt.Errorf("%w: query of the proof", ErrMalformed)
	}
	if err := httpsig.CheckPath(p.path); err != nil {
		return fmt.Errorf("%w: %w", ErrAmbiguousPath, err)
	}
	return nil
}

// verify checks the proof's signature with the key in it.
func (p *proof) verify() error {
	if _, err := p.jws.Verify(&p.key); err != nil {
		return fmt.Errorf("%w: signature", ErrProof)
	}
	return nil
}

// digest names the signed call: header and claims of the proof.
func (p *proof) digest(text string) [32]byte {
	return sha256.Sum256([]byte(text[:strings.LastIndexByte(text, '.')]))
}

// once names the proof, whatever else it says: the key and its number.
func (p *proof) once() [32]byte {
	return sha256.Sum256(append(p.thumbprint[:], p.ID...))
}

// compact reads a JWS in its compact form, signed once with one of these
// algorithms.
func compact(text string, algorithms []jose.SignatureAlgorithm) (*jose.JSONWebSignature, error) {
	if strings.Count(text, ".") != 2 || strings.ContainsAny(text, " \t\r\n{") {
		return nil, fmt.Errorf("%w: not a compact JWS", ErrMalformed)
	}
	jws, err := jose.ParseSignedCompact(text, algorithms)
	if err != nil || len(jws.Signatures) != 1 {
		return nil, fmt.Errorf("%w: a JWS of another form or algorithm", ErrProof)
	}
	if h := jws.Signatures[0].Protected.ExtraHeaders; h["crit"] != nil || h["b64"] != nil {
		return nil, fmt.Errorf("%w: a JWS with extensions", ErrProof)
	}
	return jws, nil
}

var digestLen = base64.RawURLEncoding.EncodedLen(32)

func digestText(b []byte) string {
	sum := sha256.Sum256(b)
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

func isMethod(s string) bool {
	for i := range len(s) {
		if s[i] < 'A' || s[i] > 'Z' {
			return false
		}
	}
	return s != "" && len(s) <= 32
}
