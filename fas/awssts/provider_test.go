package awssts_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go/auth/bearer"

	"github.com/cloisterdev/cloister/fas"
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

// bucketServer keeps who signed the requests that it got.
type bucketServer struct {
	*httptest.Server
	mu      sync.Mutex
	signers []string
}

func newBucketServer(t testing.TB) *bucketServer {
	t.Helper()
	b := &bucketServer{}
	b.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, key, _ := strings.Cut(r.Header.Get("Authorization"), "Credential=")
		key, _, _ = strings.Cut(key, "/")
		b.mu.Lock()
		defer b.mu.Unlock()
		b.signers = append(b.signers, key)
		_, _ = w.Write([]byte("hello"))
	}))
	t.Cleanup(b.Close)
	return b
}

func (b *bucketServer) took() (out []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	out, b.signers = b.signers, nil
	return out
}

func (b *bucketServer) client(c aws.Config) *s3.Client {
	return s3.NewFromConfig(c, func(o *s3.Options) { o.BaseEndpoint, o.UsePathStyle = &b.URL, true })
}

// surround puts credentials wherever the SDKs look for them, and counts who
// asks the metadata service.
func surround(t *testing.T) *atomic.Int32 {
	t.Helper()
	asked := &atomic.Int32{}
	imds := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked.Add(1) }))
	t.Cleanup(imds.Close)
	file := filepath.Join(t.TempDir(), "credentials")
	if err := os.WriteFile(file, []byte("[default]\naws_access_key_id=AKIASHAREDFILE\naws_secret_access_key=s\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for k, v := range map[string]string{"AWS_ACCESS_KEY_ID": "AKIAAMBIENT", "AWS_SECRET_ACCESS_KEY": "an ambient secret", "AWS_SHARED_CREDENTIALS_FILE": file, "AWS_PROFILE": "default",
		"AWS_EC2_METADATA_SERVICE_ENDPOINT": imds.URL, "AWS_CONTAINER_CREDENTIALS_FULL_URI": imds.URL} {
		t.Setenv(k, v)
	}
	return asked
}

func TestProviderNeverFallsBack(t *testing.T) {
	for name, end := range map[string]struct {
		ttl  time.Duration
		end  func(*fas.Session, *awssts.Provider)
		want error
	}{
		"expired":        {time.Second, func(s *fas.Session, _ *awssts.Provider) { time.Sleep(time.Until(s.Expires()) + time.Millisecond) }, fas.ErrExpired},
		"closed":         {0, func(_ *fas.Session, p *awssts.Provider) { _ = p.Close(); _ = p.Close() }, fas.ErrClosed},
		"session closed": {0, func(s *fas.Session, _ *awssts.Provider) { _ = s.Close() }, fas.ErrClosed},
	} {
		t.Run(name, func(t *testing.T) {
			asked, srv := surround(t), newBucketServer(t)
			s, err := newWorld(t, reads, &grabber{}).exchange("acme-src", end.ttl)
			if err != nil {
				t.Fatal(err)
			}
			p, err := awssts.NewProvider(s)
			if err != nil {
				t.Fatal(err)
			}
			c := srv.client(p.AWSConfig(config(static{AccessKeyID: "AKIABASE", SecretAccessKey: "s"})))
			if err := get(c, "acme-src", "src/a"); err != nil {
				t.Fatalf("control: %v", err)
			}
			if got := srv.took(); len(got) != 1 || got[0] != "ASIASESSION" {
				t.Fatalf("control: signed by %v", got)
			}
			end.end(s, p)
			if err := get(c, "acme-src", "src/a"); !errors.Is(err, end.want) {
				t.Errorf("got %v, want %v", err, end.want)
			}
			if got := srv.took(); len(got) != 0 {
				t.Errorf("requests signed by %v", got)
			}
			// The saboteur: what this test would see of a provider that falls back.
			if err := get(srv.client(config(fallback{p})), "acme-src", "src/a"); err != nil {
				t.Error(err)
			}
			if got := srv.took(); len(got) != 1 || got[0] != "AKIAAMBIENT" {
				t.Errorf("control: signed by %v", got)
			}
			if n := asked.Load(); n != 0 {
				t.Errorf("the metadata service was asked %d times", n)
			}
			if _, err := awssts.NewProvider(s); !errors.Is(err, end.want) {
				t.Errorf("a provider for what is over: %v", err)
			}
		})
	}
}

func TestProviderTellsItsEnd(t *testing.T) {
	t.Parallel()
	s, err := newWorld(t, reads, &grabber{}).exchange("acme-src", time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	p, err := awssts.NewProvider(s)
	if err != nil {
		t.Fatal(err)
	}
	c, err := p.Retrieve(context.Background())
	if err != nil || !c.CanExpire || !c.Expires.Equal(s.Expires()) || c.SecretAccessKey != "a secret of the session" || c.SessionToken != "a token" {
		t.Errorf("%v, %v", c.Expires, err)
	}
	// Not refreshable, by any door that the SDK knows.
	var any any = p
	if _, ok := any.(aws.HandleFailRefreshCredentialsCacheStrategy); ok {
		t.Error("it handles a failed refresh")
	}
	if _, ok := any.(aws.AdjustExpiresByCredentialsCacheStrategy); ok {
		t.Error("it adjusts its end")
	}
	for name, q := range map[string]*awssts.Provider{"nil": nil, "zero": {}} {
		if c, err := q.Retrieve(context.Background()); !errors.Is(err, fas.ErrClosed) || c.HasKeys() {
			t.Errorf("%s: %v", name, err)
		}
		if err := q.Close(); err != nil {
			t.Error(err)
		}
	}
	if _, err := awssts.NewProvider(nil); !errors.Is(err, fas.ErrClosed) {
		t.Errorf("nil: %v", err)
	}
}

func TestAWSConfigHasNoOtherSource(t *testing.T) {
	t.Parallel()
	s, err := newWorld(t, reads, &grabber{}).exchange("acme-src", 0)
	if err != nil {
		t.Fatal(err)
	}
	p, err := awssts.NewProvider(s)
	if err != nil {
		t.Fatal(err)
	}
	base := aws.Config{Region: "eu-west-1", Credentials: static{AccessKeyID: "AKIABASE"}, ConfigSources: []any{1},
		BearerAuthTokenProvider: bearer.TokenProviderFunc(func(context.Context) (bearer.Token, error) { return bearer.Token{}, nil })}
	c := p.AWSConfig(base)
	if c.Credentials != aws.CredentialsProvider(p) || c.BearerAuthTokenProvider != nil || c.ConfigSources != nil || c.Region != "eu-west-1" {
		t.Errorf("%+v", c)
	}
	if base.Credentials != aws.CredentialsProvider(static{AccessKeyID: "AKIABASE"}) || base.ConfigSources == nil {
		t.Error("the base was changed")
	}
}

func TestCheckNoAmbient(t *testing.T) {
	for _, name := range awssts.Ambient {
		t.Setenv(name, "")
	}
	if err := awssts.CheckNoAmbient(); err != nil {
		t.Errorf("control: %v", err)
	}
	for _, name := range awssts.Ambient {
		t.Run(name, func(t *testing.T) {
			t.Setenv(name, "a value")
			if err := awssts.CheckNoAmbient(); !errors.Is(err, awssts.ErrAmbient) || !strings.Contains(err.Error(), name) || strings.Contains(err.Error(), "a value") {
				t.Errorf("%v", err)
			}
		})
	}
}
