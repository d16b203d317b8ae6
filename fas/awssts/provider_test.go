package awssts_test

import (
	"context"
	"os"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/cloisterdev/cloister/fas/awssts"
)

// fallback is what a provider must not be: when the session is over it takes
// what the environment has.
type fallback struct{ *awssts.Provider }

func (f fallback) Retrieve(ctx context.Context) (aws.Credentials, error) {
	c, err := f.Provider.Retrieve(ctx)
	if err != nil {
		return aws.Credentials{AccessKeyID: os.Getenv("AWS_ACCESS_KEY_ID"), SecretAccessKey: os.Getenv("AWS_SECRET_ACCESS_KEY")}, nil
	}
	return c, nil
}
