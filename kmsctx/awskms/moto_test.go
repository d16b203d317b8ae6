package awskms_test

import (
	"context"
	"os"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"

	"github.com/cloisterdev/cloister/kmsctx"
	"github.com/cloisterdev/cloister/kmsctx/awskms"
	"github.com/cloisterdev/cloister/kmsctx/kmstest"
)

func ec(t testing.TB, kv ...string) kmsctx.Context {
	t.Helper()
	m := map[string]string{}
	for i := 0; i < len(kv); i += 2 {
		m[kv[i]] = kv[i+1]
	}
	c, err := kmsctx.NewContext(m)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func client(url, id, secret string) *kms.Client {
	return kms.New(kms.Options{Region: "us-east-1", BaseEndpoint: aws.String(url), RetryMaxAttempts: 1,
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: id, SecretAccessKey: secret}, nil
		})})
}

func createKey(t testing.TB, c *kms.Client) string {
	t.Helper()
	out, err := c.CreateKey(t.Context(), &kms.CreateKeyInput{})
	if err != nil {
		t.Fatal(err)
	}
	return *out.KeyMetadata.Arn
}

func ring(t testing.TB, c awskms.API, key string) *awskms.Keyring {
	t.Helper()
	r, err := awskms.New(c, key, nil)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// A server of somebody else's. It is known to serialize contexts without
// lengths, so that {ab: c} opens as {a: bc}; the suite must find that and
// nothing else.
func TestConformanceMoto(t *testing.T) {
	t.Parallel()
	url := os.Getenv("CLOISTER_PEER_MOTO")
	if url == "" {
		t.Skip("CLOISTER_PEER_MOTO names no moto server")
	}
	c := client(url, "AKIAIOSFODNN7EXAMPLE", "any")
	rings := kmstest.Rings{Ring: ring(t, c, createKey(t, c)), Other: ring(t, c, createKey(t, c))}
	err := kmstest.Check(t.Context(), func() (kmstest.Rings, error) { return rings, nil })
	if err == nil {
		t.Fatal("the suite does not see that moto confuses contexts")
	}
	for _, line := range strings.Split(err.Error(), "\n") {
		if !strings.Contains(line, "a boundary moved") {
			t.Error(line)
		}
	}
}
