package awssts

import (
	"context"
	"fmt"
	"os"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/cloisterdev/cloister/fas"
)

// Provider gives the credentials of one session to clients of aws-sdk-go-v2.
// It never refreshes and asks nobody else: at the session's end, or after
// Close, every call of every client that holds it fails with
// [fas.ErrExpired] or [fas.ErrClosed]. It is safe for concurrent use.
type Provider struct{ session *fas.Session }

// NewProvider refuses a session that is over, closed, or not on a bucket, with
// the error of [fas.Session.Credentials].
func NewProvider(s *fas.Session) (*Provider, error) {
	if _, err := s.Credentials(); err != nil {
		return nil, err
	}
	return &Provider{s}, nil
}

// Retrieve implements [aws.CredentialsProvider]. The SDK needs the secret as a
// string, of which Go keeps copies that cannot be wiped; they are dropped with
// the request that they signed.
func (p *Provider) Retrieve(context.Context) (aws.Credentials, error) {
	if p == nil || p.session == nil {
		return aws.Credentials{}, fas.ErrClosed
	}
	c, err := p.session.Credentials()
	if err != nil {
		return aws.Credentials{}, err
	}
	out := aws.Credentials{AccessKeyID: c.AccessKeyID, SessionToken: c.Token, Source: "cloister/fas", CanExpire: true, Expires: p.session.Expires()}
	if err := c.Secret.Use(func(b []byte) error { out.SecretAccessKey = string(b); return nil }); err != nil {
		return aws.Credentials{}, fas.ErrClosed // in the meantime
	}
	return out, nil
}

// Close ends the session and wipes its credentials. It is harmless twice.
func (p *Provider) Close() error {
	if p == nil {
		return nil
	}
	return p.session.Close()
}

// AWSConfig returns a copy of base with the session's credentials and no other
// way to any: no bearer tokens, and none of the sources that base was loaded
// from. The provider is not wrapped in a cache, so that Close counts at once;
// do not wrap it.
func (p *Provider) AWSConfig(base aws.Config) aws.Config {
	c := base.Copy()
	c.Credentials, c.BearerAuthTokenProvider, c.ConfigSources = p, nil, nil
	return c
}

// ambient are the variables by which the SDKs find credentials.
var ambient = []string{
	"AWS_ACCESS_KEY_ID", "AWS_ACCESS_KEY", "AWS_SECRET_ACCESS_KEY", "AWS_SECRET_KEY", "AWS_SESSION_TOKEN", "AWS_SECURITY_TOKEN",
	"AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE", "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_ROLE_ARN",
	"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_CONTAINER_AUTHORIZATION_TOKEN",
	"AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
}

// CheckNoAmbient returns an error wrapping [ErrAmbient], with the names of the
// variables and never their values, if this process could find AWS credentials
// by its environment. A process that handles sessions calls it when it starts.
// It does not look for an instance's metadata service; close that by network
// policy or with AWS_EC2_METADATA_DISABLED.
func CheckNoAmbient() error {
	var found []string
	for _, name := range ambient {
		if os.Getenv(name) != "" {
			found = append(found, name)
		}
	}
	if len(found) > 0 {
		return fmt.Errorf("%w: %s", ErrAmbient, strings.Join(found, ", "))
	}
	return nil
}
