package api

import (
	"errors"
	"net/http"
	"strings"

	"github.com/cloisterdev/cloister/fas"
	"github.com/cloisterdev/cloister/fas/httpsig"
	"github.com/cloisterdev/cloister/fas/oidc"
	"github.com/cloisterdev/cloister/fas/sigv4"
)

// errSchemes refuses a request that is signed in two ways: nobody would say
// which of them counts.
var errSchemes = errors.New("api: signed in two ways")

// signed makes the evidence of a captured call, with its body or, for nil,
// without: the firewall sees bodies of changes only.
type signed func(body []byte) (fas.Evidence, error)

// capture reads the one signature of a request, whatever its scheme.
func capture(r *http.Request, maxBody int64) (signed, []byte, error) {
	has := func(name string) bool { return len(r.Header.Values(name)) > 0 }
	message := has("Signature") || has("Signature-Input")
	proof := has("DPoP")
	switch {
	case message && (proof || has("Authorization")):
		return nil, nil, errSchemes
	case message:
		ev, body, err := httpsig.Capture(r, maxBody)
		return func(b []byte) (fas.Evidence, error) { return withBody(ev, b, fas.HTTPSignatureEvidence) }, body, err
	case proof && strings.HasPrefix(r.Header.Get("Authorization"), "AWS4"):
		return nil, nil, errSchemes
	case proof:
		ev, body, err := oidc.Capture(r, maxBody)
		return func(b []byte) (fas.Evidence, error) { return withBody(ev, b, oidc.Evidence.Signed) }, body, err
	}
	ev, body, err := sigv4.Capture(r, maxBody)
	return func(b []byte) (fas.Evidence, error) { return withBody(ev, b, fas.SigV4Evidence) }, body, err
}

func withBody[E interface{ WithBody([]byte) (E, error) }](ev E, body []byte, evidence func(E) (fas.Evidence, error)) (fas.Evidence, error) {
	if body != nil {
		var err error
		if ev, err = ev.WithBody(body); err != nil {
			return fas.Evidence{}, err
		}
	}
	return evidence(ev)
}

// signatureErrors are the refusals of a capture, in any scheme, and what the
// audit log calls them; "" is what the firewall has no other name for.
var signatureErrors = []struct {
	err    error
	reason string
}{
	{errSchemes, "two-schemes"},
	{sigv4.ErrNoSignature, "unsigned"}, {httpsig.ErrNoSignature, "unsigned"}, {oidc.ErrNoToken, "unsigned"},
	{sigv4.ErrPayload, "body-not-signed"}, {httpsig.ErrPayload, "body-not-signed"}, {oidc.ErrPayload, "body-not-signed"},
	{sigv4.ErrNotSigned, "header-not-signed"}, {httpsig.ErrNotSigned, "header-not-signed"},
	{sigv4.ErrAmbiguousPath, "path-ambiguous"}, {httpsig.ErrAmbiguousPath, "path-ambiguous"}, {oidc.ErrAmbiguousPath, "path-ambiguous"},
	{sigv4.ErrMalformed, "signature-malformed"}, {httpsig.ErrMalformed, "signature-malformed"}, {oidc.ErrMalformed, "signature-malformed"},
	{httpsig.ErrSignatures, "signature-malformed"}, {httpsig.ErrComponent, "signature-malformed"}, {httpsig.ErrParameter, "signature-malformed"},
	{httpsig.ErrAlgorithm, "signature-malformed"}, {oidc.ErrProof, "proof-of-another-token"}, {oidc.ErrRequest, "proof-of-another-request"},
	{sigv4.ErrSignature, "internal"}, {sigv4.ErrScope, "internal"}, {sigv4.ErrSkew, "internal"},
}

// tooLarge reports a body or a signature beyond its limit.
func tooLarge(err error) bool {
	return errors.Is(err, sigv4.ErrTooLarge) || errors.Is(err, httpsig.ErrTooLarge) || errors.Is(err, oidc.ErrTooLarge)
}
