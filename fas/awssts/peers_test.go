package awssts_test

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"

	"github.com/cloisterdev/cloister/fas/awssts"
)

// peer is a server that evaluates session policies.
type peer struct {
	name, url string
	root      aws.Credentials
	firewall  aws.Credentials // who may assume the role
	role      role
	opts      awssts.Options
}

type static aws.Credentials

func (s static) Retrieve(context.Context) (aws.Credentials, error) { return aws.Credentials(s), nil }

func config(p aws.CredentialsProvider) aws.Config {
	return aws.Config{Region: "us-east-1", Credentials: p, RetryMaxAttempts: 1}
}

// A real server under load may drop a connection; the SDK asks again.
const attempts = 4

func (p *peer) s3(c aws.Config) *s3.Client {
	c.RetryMaxAttempts = attempts
	return s3.NewFromConfig(c, func(o *s3.Options) { o.BaseEndpoint, o.UsePathStyle = &p.url, true })
}

func (p *peer) sts(c aws.Config) *sts.Client {
	c.RetryMaxAttempts = attempts
	return sts.NewFromConfig(c, func(o *sts.Options) { o.BaseEndpoint = &p.url })
}

func (p *peer) issuer(t testing.TB) *awssts.Issuer {
	t.Helper()
	i, err := awssts.NewIssuer(p.sts(config(static(p.firewall))), p.role, &p.opts)
	if err != nil {
		t.Fatal(err)
	}
	return i
}

// bucket makes a bucket with an object below src/ and one beside it.
func (p *peer) bucket(t testing.TB) string {
	t.Helper()
	name, ctx, c := "fas-"+random(), context.Background(), p.s3(config(static(p.root)))
	if _, err := c.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: &name}); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"src/a", "other/a"} {
		if _, err := c.PutObject(ctx, &s3.PutObjectInput{Bucket: &name, Key: &key, Body: strings.NewReader("hello")}); err != nil {
			t.Fatal(err)
		}
	}
	return name
}

func random() string {
	b := make([]byte, 6)
	_, _ = rand.Read(b)
	return hex.EncodeToString(b)
}

// fromEnv finds the address and root keys of a server, or skips.
func fromEnv(t testing.TB, name string) (string, aws.Credentials) {
	t.Helper()
	at, id, secret := os.Getenv("CLOISTER_PEER_"+name), os.Getenv("CLOISTER_PEER_"+name+"_ACCESS_KEY_ID"), os.Getenv("CLOISTER_PEER_"+name+"_SECRET_ACCESS_KEY")
	if at == "" || id == "" || secret == "" {
		t.Skipf("CLOISTER_PEER_%s and its _ACCESS_KEY_ID and _SECRET_ACCESS_KEY name no server", name)
	}
	return at, aws.Credentials{AccessKeyID: id, SecretAccessKey: secret}
}

// minio evaluates session policies on real objects. It ignores the role, and
// refuses a policy with the fence's denials.
func minio(t testing.TB) *peer {
	at, root := fromEnv(t, "MINIO")
	return &peer{name: "minio", url: at, root: root, firewall: root,
		role: role{"arn:aws:iam::123456789012:role/tenant", "external-id"}, opts: awssts.Options{WithoutFence: true}}
}

// ministack evaluates trust policies too, all but sts:SourceIdentity, which it
// does not know, and the fence.
func ministack(t testing.TB) *peer {
	at, root := fromEnv(t, "MINISTACK")
	p := &peer{name: "ministack", url: at, root: root}
	user := "fw-" + random()
	form := p.query(t, "iam", "2010-05-08", "CreateUser", "UserName", user)
	arn := between(form, "<Arn>", "</Arn>")
	form = p.query(t, "iam", "2010-05-08", "CreateAccessKey", "UserName", user)
	p.firewall = aws.Credentials{AccessKeyID: between(form, "<AccessKeyId>", "</AccessKeyId>"), SecretAccessKey: between(form, "<SecretAccessKey>", "</SecretAccessKey>")}
	p.query(t, "iam", "2010-05-08", "PutUserPolicy", "UserName", user, "PolicyName", "p", "PolicyDocument",
		`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["sts:AssumeRole","sts:TagSession","sts:SetSourceIdentity"],"Resource":"*"}]}`)
	trust, err := json.Marshal(map[string]any{"Version": "2012-10-17", "Statement": []any{map[string]any{"Effect": "Allow", "Principal": map[string]any{"AWS": arn},
		"Action": []string{"sts:AssumeRole", "sts:TagSession", "sts:SetSourceIdentity"}, "Condition": map[string]any{"StringEquals": map[string]any{"sts:ExternalId": "ext-" + user}}}}})
	if err != nil {
		t.Fatal(err)
	}
	form = p.query(t, "iam", "2010-05-08", "CreateRole", "RoleName", user, "AssumeRolePolicyDocument", string(trust))
	// The role may do what a session may not: read, write, and assume.
	p.query(t, "iam", "2010-05-08", "PutRolePolicy", "RoleName", user, "PolicyName", "p", "PolicyDocument",
		`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["s3:*","sts:*"],"Resource":"*"}]}`)
	p.role = role{between(form, "<Arn>", "</Arn>"), "ext-" + user}
	return p
}

// query makes one call of the query protocol with the root's keys.
func (p *peer) query(t testing.TB, service, version, action string, pairs ...string) string {
	t.Helper()
	for range attempts - 1 {
		if out, err := p.tryQuery(t, service, version, action, pairs...); err == nil {
			return out
		}
	}
	out, err := p.tryQuery(t, service, version, action, pairs...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func (p *peer) tryQuery(t testing.TB, service, version, action string, pairs ...string) (string, error) {
	t.Helper()
	form := url.Values{"Action": {action}, "Version": {version}}
	for i := 0; i < len(pairs); i += 2 {
		form.Set(pairs[i], pairs[i+1])
	}
	body := form.Encode()
	r, err := http.NewRequest(http.MethodPost, p.url+"/", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	sum := sha256.Sum256([]byte(body))
	if err := v4.NewSigner().SignHTTP(context.Background(), p.root, r, hex.EncodeToString(sum[:]), service, "us-east-1", time.Now()); err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err == nil && res.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s %s", action, res.Status, b)
	}
	return string(b), err
}

func between(s, from, to string) string {
	_, s, _ = strings.Cut(s, from)
	s, _, _ = strings.Cut(s, to)
	var out string
	if xml.Unmarshal([]byte("<a>"+s+"</a>"), &out) != nil {
		return ""
	}
	return out
}

// denied demands that the server itself said AccessDenied.
func denied(t *testing.T, what string, err error) {
	t.Helper()
	var api smithy.APIError
	if !errors.As(err, &api) || api.ErrorCode() != "AccessDenied" {
		t.Errorf("%s: got %v, want AccessDenied of the server", what, err)
	}
}

func get(c *s3.Client, bucket, key string) error {
	out, err := c.GetObject(context.Background(), &s3.GetObjectInput{Bucket: &bucket, Key: &key})
	if err != nil {
		return err
	}
	defer out.Body.Close()
	b, err := io.ReadAll(out.Body)
	if err == nil && string(b) != "hello" {
		err = fmt.Errorf("read %q", b)
	}
	return err
}
