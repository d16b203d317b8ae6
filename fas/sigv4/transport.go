package sigv4

import (
	"net/http"
	"time"

	"github.com/cloisterdev/cloister/internal/bodyread"
	"github.com/cloisterdev/cloister/tenant"
)

// Transport signs every request before it goes to Base. It never follows its
// caller into another credential: without a secret the request fails. It is
// safe for concurrent use when Base is.
type Transport struct {
	AccessKeyID     string
	Secret          tenant.Secret
	SessionToken    string
	Region, Service string
	// RegionSet, unless empty, makes the signatures SigV4A.
	RegionSet string
	// Base is used for the signed request; nil means http.DefaultTransport.
	Base http.RoundTripper
}

// RoundTrip signs a copy of the request and sends it. The body is read into
// memory first, since its digest is signed.
func (t *Transport) RoundTrip(r *http.Request) (*http.Response, error) {
	r, body, err := bodyread.Clone(r)
	if err != nil {
		return nil, err
	}
	c := Credentials{AccessKeyID: t.AccessKeyID, Secret: t.Secret, SessionToken: t.SessionToken, Region: t.Region, Service: t.Service, RegionSet: t.RegionSet}
	if err := SignRequest(r, body, c, time.Now()); err != nil {
		return nil, err
	}
	base := t.Base
	if base == nil {
		base = http.DefaultTransport
	}
	return base.RoundTrip(r)
}
