package cmd

import (
	"errors"
	"io"
	"net/http"

	"github.com/minio/minio/internal/auth"
)

// Verifier is what the server does for a call to its API: whole, with the body
// read and its digest compared, or the signature alone.
func Verifier(key, secret, region, part string) func(*http.Request) error {
	globalActiveCred = auth.Credentials{AccessKey: key, SecretKey: secret, Status: auth.AccountOn}
	verdict := func(code APIErrorCode) error {
		if code != ErrNone {
			return errors.New(errorCodes[code].Code)
		}
		return nil
	}
	if part == "signature alone" {
		return func(r *http.Request) error { return verdict(reqSignatureV4Verify(r, region, serviceS3)) }
	}
	return func(r *http.Request) error {
		if err := verdict(isReqAuthenticated(r.Context(), r, region, serviceS3)); err != nil {
			return err
		}
		_, err := io.Copy(io.Discard, r.Body)
		return err
	}
}
