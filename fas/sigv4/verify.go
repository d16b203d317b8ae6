package sigv4

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"time"

	"github.com/cloisterdev/cloister/tenant"
)

// Options bounds what [Verify] accepts.
type Options struct {
	// Region and Service are what callers must have signed for. Required.
	Region, Service string
	// MaxPast is how old a signature may be: zero means 5 minutes, and it is
	// at most 15.
	MaxPast time.Duration
	// MaxFuture is how far a caller's clock may be ahead: zero means 30
	// seconds, and it is at most 15 minutes.
	MaxFuture time.Duration
}

const maxWindow = 15 * time.Minute

// Verify decides whether the evidence was signed with the secret of its access
// key, for this region and service, at about now. An unknown key and a wrong
// signature are one error, [ErrSignature], after the same computation.
func Verify(e Evidence, key func(accessKeyID string) (tenant.Secret, bool), now time.Time, o Options) error {
	if e.IsZero() || key == nil || o.Region == "" || o.Service == "" {
		return ErrNoSignature
	}
	past, future := o.MaxPast, o.MaxFuture
	if past == 0 {
		past = 5 * time.Minute
	}
	if future == 0 {
		future = 30 * time.Second
	}
	past, future = min(past, maxWindow), min(future, maxWindow)
	secret, known := key(e.accessKeyID)
	if !known {
		// The same work is done for a key that nobody has, so that the time
		// does not tell which keys exist.
		secret = dummy
	}
	var match bool
	err := secret.Use(func(b []byte) error {
		mac := sign(signingKey(b, e.date[:8], e.region, e.service), e.stringToSign())
		match = subtle.ConstantTimeCompare(mac, e.signature[:]) == 1
		return nil
	})
	if err != nil || !match || !known {
		return ErrSignature
	}
	if e.region != o.Region || e.service != o.Service {
		return ErrScope
	}
	if age := now.Sub(e.at); age > past || age < -future {
		return fmt.Errorf("%w: %s off", ErrSkew, age.Round(time.Second))
	}
	return nil
}

var dummy = tenant.NewSecret(make([]byte, 40))

func sign(key []byte, s string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(s))
	return h.Sum(nil)
}

func signingKey(secret []byte, day, region, service string) []byte {
	k := append([]byte("AWS4"), secret...)
	defer clear(k)
	return sign(sign(sign(sign(k, day), region), service), "aws4_request")
}
