package cloud

import (
	"errors"
	"net/http"
	"time"

	"github.com/cloisterdev/cloister/fas/localsts"
	"github.com/cloisterdev/cloister/fas/sigv4"
	"github.com/cloisterdev/cloister/tenant"
)

// SessionVerifier checks sessions of the identity firewall.
type SessionVerifier interface {
	Lookup(accessKeyID, token string, now time.Time) (*localsts.Claims, tenant.Secret, error)
}

// caller is who signed a request: a customer's own user, or a session.
type caller struct {
	tenant  tenant.ID
	bucket  string           // a user's own bucket
	session *localsts.Claims // nil for a user
}

type authenticator struct {
	keys     *Keys
	sessions SessionVerifier
}

// authenticate verifies the signature over the raw request and body.
func (a *authenticator) authenticate(r *http.Request) (caller, []byte, error) {
	if r.ContentLength > MaxObject {
		return caller{}, nil, errTooLarge
	}
	ev, body, err := sigv4.CaptureWith(r, MaxObject, sigv4.CaptureOptions{S3: true})
	switch {
	case errors.Is(err, sigv4.ErrTooLarge):
		return caller{}, nil, errTooLarge
	case errors.Is(err, sigv4.ErrCutShort):
		return caller{}, nil, errIncomplete
	case errors.Is(err, sigv4.ErrPayload):
		return caller{}, nil, errPayload
	}
	if err != nil {
		return caller{}, nil, errSignature
	}
	var who caller
	now := time.Now()
	err = sigv4.Verify(ev, func(id string) (tenant.Secret, bool) {
		if token, ok := ev.Header("x-amz-security-token"); ok {
			claims, secret, err := a.sessions.Lookup(id, token, now)
			if err != nil {
				return tenant.Secret{}, false
			}
			who = caller{tenant: claims.Tenant, session: claims}
			return secret, true
		}
		k, ok := a.keys.lookup(id)
		who = caller{tenant: k.Tenant, bucket: k.Bucket}
		return k.Secret, ok
	}, now, sigv4.Options{Region: "us-east-1", Service: "s3"})
	if err != nil {
		return caller{}, nil, errSignature
	}
	return who, body, nil
}
