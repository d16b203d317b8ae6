package kmsserver_test

import (
	"context"

	"net/http/httptest"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// A key policy's Deny denies by how, whence and by whom a request came; the
// caller's own words about that count for nothing.
func TestDenyOverHTTP(t *testing.T) {
	t.Parallel()
	h, _ := handle(t, nil, nil)
	plain, secure := httptest.NewServer(h), httptest.NewTLSServer(h)
	t.Cleanup(plain.Close)
	t.Cleanup(secure.Close)
	lie := func(o *kms.Options) {
		o.HTTPClient = secure.Client()
		o.APIOptions = append(o.APIOptions, func(s *middleware.Stack) error {
			return s.Build.Add(middleware.BuildMiddlewareFunc("lie", func(ctx context.Context, in middleware.BuildInput, next middleware.BuildHandler) (middleware.BuildOutput, middleware.Metadata, error) {
				for name, v := range map[string]string{"X-Forwarded-For": "203.0.113.1", "X-Forwarded-Proto": "https", "Forwarded": "for=203.0.113.1;proto=https", "X-Real-Ip": "203.0.113.1"} {
					in.Request.(*smithyhttp.Request).Header.Set(name, v)
				}
				return next.HandleBuild(ctx, in)
			}), middleware.After)
		})
	}
	root := client(plain.URL, "root")
	for condition, denied := range map[string]map[string]bool{
		`"Bool":{"aws:SecureTransport":"false"}`:           {plain.URL: true, secure.URL: false},
		`"Bool":{"aws:SecureTransport":"true"}`:            {plain.URL: false, secure.URL: true},
		`"IpAddress":{"aws:SourceIp":"127.0.0.0/8"}`:       {plain.URL: true, secure.URL: true},
		`"NotIpAddress":{"aws:SourceIp":"127.0.0.0/8"}`:    {plain.URL: false, secure.URL: false},
		`"NotIpAddress":{"aws:SourceIp":"203.0.113.0/24"}`: {plain.URL: true, secure.URL: true},
		`"StringEquals":{"aws:username":"user"}`:           {plain.URL: true, secure.URL: true},
		`"StringEquals":{"aws:username":"other"}`:          {plain.URL: false, secure.URL: false},
	} {
		policy := `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"kms:*","Resource":"*"},` +
			`{"Effect":"Deny","Principal":"*","Action":"kms:Encrypt","Resource":"*","Condition":{` + condition + `}}]}`
		made, err := root.CreateKey(t.Context(), &kms.CreateKeyInput{Policy: aws.String(policy)})
		must(t, err)
		for url, denied := range denied {
			_, err := client(url, "user").Encrypt(t.Context(), &kms.EncryptInput{KeyId: made.KeyMetadata.KeyId, Plaintext: []byte("x")}, lie)
			if want := map[bool]string{true: "AccessDeniedException", false: ""}[denied]; code(err) != want || (err == nil) == denied {
				t.Errorf("%s at %.5s: %v", condition, url, err)
			}
		}
	}
	_, err := root.CreateKey(t.Context(), &kms.CreateKeyInput{Policy: aws.String(
		`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"kms:*","Resource":"*","Condition":{"StringEquals":{"kms:NoSuchKey":"x"}}}]}`)})
	if code(err) != "MalformedPolicyDocumentException" {
		t.Errorf("a condition that is none: %v", err)
	}
}
