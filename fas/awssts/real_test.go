package awssts_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/cloisterdev/cloister/fas"
	"github.com/cloisterdev/cloister/fas/awssts"
)

// each runs a test against every server that evaluates session policies.
func each(t *testing.T, f func(t *testing.T, p *peer)) {
	t.Helper()
	for name, start := range map[string]func(testing.TB) *peer{"minio": minio, "ministack": ministack} {
		t.Run(name, func(t *testing.T) { f(t, start(t)) })
	}
}

// reader is a session on src/ of a bucket, as a client of S3.
func reader(t *testing.T, p *peer, bucket string, ttl time.Duration) (*fas.Session, *awssts.Provider, *s3.Client) {
	t.Helper()
	g := &grabber{Issuer: p.issuer(t)}
	s, err := newWorld(t, reads, g).exchange(bucket, ttl)
	if err != nil {
		t.Fatal(err, g.err)
	}
	t.Cleanup(func() { _ = s.Close() })
	provider, err := awssts.NewProvider(s)
	if err != nil {
		t.Fatal(err)
	}
	return s, provider, p.s3(provider.AWSConfig(config(static(p.root))))
}

// clientOf is an S3 client of a session.
func clientOf(t *testing.T, p *peer, s *fas.Session) *s3.Client {
	t.Helper()
	provider, err := awssts.NewProvider(s)
	if err != nil {
		t.Fatal(err)
	}
	return p.s3(provider.AWSConfig(config(nil)))
}

func TestBucketOfTheSession(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, p *peer) {
		t.Parallel()
		a, b := p.bucket(t), p.bucket(t)
		_, _, c := reader(t, p, a, 0)
		denied(t, "the other bucket", get(c, b, "src/a"))
		denied(t, "another prefix", get(c, a, "other/a"))
		if err := get(c, a, "src/a"); err != nil {
			t.Errorf("control: %v", err)
		}
		if err := get(p.s3(config(static(p.root))), b, "src/a"); err != nil {
			t.Errorf("control: the other bucket is there for who may read it: %v", err)
		}
	})
}

func TestVerbOutsideTheProfile(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, p *peer) {
		t.Parallel()
		a := p.bucket(t)
		_, _, c := reader(t, p, a, 0)
		put := func(c *s3.Client) error {
			_, err := c.PutObject(context.Background(), &s3.PutObjectInput{Bucket: &a, Key: aws.String("src/b"), Body: strings.NewReader("x")})
			return err
		}
		del := func(c *s3.Client) error {
			_, err := c.DeleteObject(context.Background(), &s3.DeleteObjectInput{Bucket: &a, Key: aws.String("src/a")})
			return err
		}
		denied(t, "put", put(c))
		denied(t, "delete", del(c))
		if err := get(c, a, "src/a"); err != nil {
			t.Errorf("control: %v", err)
		}
		if err := put(p.s3(config(static(p.root)))); err != nil {
			t.Errorf("control: %v", err)
		}
	})
}

// The keys of a session that somebody stole end when the session does, long
// before STS lets them: the server refuses them by the session policy.
func TestAfterTheEnd(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, p *peer) {
		t.Parallel()
		a := p.bucket(t)
		s, provider, c := reader(t, p, a, 4*time.Second)
		keys, err := provider.Retrieve(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		stolen := p.s3(config(static(keys)))
		if err := get(stolen, a, "src/a"); err != nil {
			t.Fatalf("control: %v", err)
		}
		time.Sleep(time.Until(s.Expires()) + time.Second)
		denied(t, "stolen keys", get(stolen, a, "src/a"))
		if err := get(c, a, "src/a"); !errors.Is(err, fas.ErrExpired) {
			t.Errorf("the session itself: %v", err)
		}
		// Control: STS's own end has not come. Without the condition they live.
		out, err := p.sts(config(static(p.firewall))).AssumeRole(context.Background(), &sts.AssumeRoleInput{RoleArn: &p.role.ARN, ExternalId: &p.role.ExternalID,
			RoleSessionName: aws.String("control"), DurationSeconds: aws.Int32(900), Policy: aws.String(string(scopeOf(t, a)))})
		if err != nil {
			t.Fatal(err)
		}
		if out.Credentials.Expiration.Before(time.Now().Add(10 * time.Minute)) {
			t.Error("the server ends credentials early by itself: this test shows nothing")
		}
	})
}

func TestChainedAssumeRole(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, p *peer) {
		t.Parallel()
		_, provider, _ := reader(t, p, p.bucket(t), 0)
		again := func(c aws.Config) error {
			_, err := p.sts(c).AssumeRole(context.Background(), &sts.AssumeRoleInput{RoleArn: &p.role.ARN, ExternalId: &p.role.ExternalID, RoleSessionName: aws.String("again")})
			return err
		}
		denied(t, "with the session", again(provider.AWSConfig(config(nil))))
		if err := again(config(static(p.firewall))); err != nil {
			t.Errorf("control: %v", err)
		}
	})
}

// The keys of a process's environment, here those of the server's root, serve
// nothing once the session is over.
func TestAmbientRoleIsNotUsed(t *testing.T) {
	for name, start := range map[string]func(testing.TB) *peer{"minio": minio, "ministack": ministack} {
		t.Run(name, func(t *testing.T) {
			p := start(t)
			a := p.bucket(t)
			var asked atomic.Int32
			imds := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked.Add(1) }))
			defer imds.Close()
			for k, v := range map[string]string{"AWS_ACCESS_KEY_ID": p.root.AccessKeyID, "AWS_SECRET_ACCESS_KEY": p.root.SecretAccessKey,
				"AWS_EC2_METADATA_SERVICE_ENDPOINT": imds.URL, "AWS_CONTAINER_CREDENTIALS_FULL_URI": imds.URL} {
				t.Setenv(k, v)
			}
			_, provider, c := reader(t, p, a, 0)
			if err := get(c, a, "src/a"); err != nil {
				t.Fatalf("control: %v", err)
			}
			denied(t, "root's bucket with the session", get(c, a, "other/a"))
			if err := provider.Close(); err != nil {
				t.Fatal(err)
			}
			if err := get(c, a, "src/a"); !errors.Is(err, fas.ErrClosed) {
				t.Errorf("after Close: %v", err)
			}
			if err := get(p.s3(config(fallback{provider})), a, "src/a"); err != nil {
				t.Errorf("control: a provider that falls back on the environment is served: %v", err)
			}
			if asked.Load() != 0 {
				t.Error("the metadata service was asked")
			}
			if err := awssts.CheckNoAmbient(); !errors.Is(err, awssts.ErrAmbient) || strings.Contains(err.Error(), p.root.SecretAccessKey) {
				t.Errorf("the check at the start: %v", err)
			}
		})
	}
}

// What an external ID is for: the role of another tenant.
func TestTrustPolicy(t *testing.T) {
	t.Parallel()
	p := ministack(t)
	other := *p
	other.role.ExternalID = "ext-of-another-tenant"
	a := p.bucket(t)
	for name, bad := range map[string]*peer{"another external ID": &other, "a role that is not there": func() *peer { q := *p; q.role.ARN += "x"; return &q }(),
		"who may not assume": func() *peer { q := *ministack(t); q.role = p.role; return &q }()} {
		g := &grabber{Issuer: bad.issuer(t)}
		if s, err := newWorld(t, reads, g).exchange(a, 0); !errors.Is(err, fas.ErrDenied) || s != nil || !errors.Is(g.err, awssts.ErrRefused) {
			t.Errorf("%s: %v, %v, %v", name, s, err, g.err)
		}
	}
	reader(t, p, a, 0) // control
}
