package api

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/cloisterdev/cloister/fas/httpsig"
	"github.com/cloisterdev/cloister/fas/oidc"
	"github.com/cloisterdev/cloister/fas/sigv4"
)

// A request has one signature, in one scheme.
func TestCaptureOneScheme(t *testing.T) {
	for _, c := range []struct {
		name    string
		headers map[string]string
		want    error
	}{
		{"nothing", nil, sigv4.ErrNoSignature},
		{"a bearer token", map[string]string{"Authorization": "Bearer x"}, sigv4.ErrNoSignature},
		{"a bound token without a proof", map[string]string{"Authorization": "DPoP x"}, sigv4.ErrNoSignature},
		{"a proof without a token", map[string]string{"DPoP": "x"}, oidc.ErrNoToken},
		{"a proof with a bearer token", map[string]string{"DPoP": "x", "Authorization": "Bearer x"}, oidc.ErrNoToken},
		{"half a message signature", map[string]string{"Signature": "x"}, httpsig.ErrMalformed},
		{"the other half", map[string]string{"Signature-Input": "x"}, httpsig.ErrMalformed},
		{"a message signature and a token", map[string]string{"Signature": "x", "Authorization": "Bearer x"}, errSchemes},
		{"a message signature and SigV4", map[string]string{"Signature-Input": "x", "Authorization": "AWS4-HMAC-SHA256 x"}, errSchemes},
		{"a message signature and a proof", map[string]string{"Signature": "x", "DPoP": "x"}, errSchemes},
		{"a proof and SigV4", map[string]string{"DPoP": "x", "Authorization": "AWS4-HMAC-SHA256 x"}, errSchemes},
	} {
		r := httptest.NewRequest(http.MethodPost, "/Op", strings.NewReader("{}"))
		for k, v := range c.headers {
			r.Header.Set(k, v)
		}
		if _, _, err := capture(r, 1<<10); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
}

// Whatever is wrong with a signature has one answer, and each its reason.
func TestSignatureErrorsArePublic(t *testing.T) {
	for _, c := range signatureErrors {
		err := fmt.Errorf("%w: inside", c.err)
		if public(err) != error(ErrDenied) || reasonOf(err) != c.reason {
			t.Errorf("%v: %v, %q", err, public(err), reasonOf(err))
		}
	}
	for _, large := range []error{sigv4.ErrTooLarge, httpsig.ErrTooLarge, oidc.ErrTooLarge} {
		var e *Error
		if err := public(large); !errors.As(err, &e) || e.Status != http.StatusBadRequest || reasonOf(large) != "body-too-large" {
			t.Errorf("%v: %v, %q", large, err, reasonOf(large))
		}
	}
}
