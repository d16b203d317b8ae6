package main

import (
	"context"
	"io"
	"net/http"
	"os"

	"github.com/amwolff/awsig"
)

type credentials struct{ key, secret string }

func (c credentials) Provide(_ context.Context, key string) (string, struct{}, error) {
	if key != c.key {
		return "", struct{}{}, awsig.ErrInvalidAccessKeyID
	}
	return c.secret, struct{}{}, nil
}

// The body is read through awsig, which is when it compares the digests.
func main() {
	v := awsig.NewV4(credentials{os.Getenv("VERIFIER_KEY"), os.Getenv("VERIFIER_SECRET")},
		awsig.V4Config{Region: os.Getenv("VERIFIER_REGION"), Service: "s3"})
	serve(func(r *http.Request) error {
		got, err := v.Verify(r)
		if err != nil {
			return err
		}
		body, err := got.Reader()
		if err != nil {
			return err
		}
		_, err = io.Copy(io.Discard, body)
		return err
	})
}
