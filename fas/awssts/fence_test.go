package awssts_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sts"
)

// A resource's own policy that names the session as its principal is not
// stopped by what a session policy leaves out. The fence says it, and without
// the fence, on a server that has this rule of IAM, each of these is served.
func TestResourcePolicyThatNamesTheSession(t *testing.T) {
	t.Parallel()
	for name, fence := range map[string]bool{"with the fence": true, "without it": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := ministack(t)
			p.opts.WithoutFence = !fence
			check := func(what string, err error) {
				t.Helper()
				if fence {
					denied(t, what, err)
				} else if err != nil {
					t.Errorf("control: %s: %v; the fence would be for nothing", what, err)
				}
			}
			ctx, root := context.Background(), p.s3(config(static(p.root)))
			own, other := p.bucket(t), p.bucket(t)
			g := &grabber{Issuer: p.issuer(t)}
			w := newWorld(t, reads, g)
			principal := fmt.Sprintf("%s/%s", strings.Replace(strings.Replace(p.role.ARN, ":iam:", ":sts:", 1), ":role/", ":assumed-role/", 1), w.row)
			for _, b := range []string{own, other} {
				if _, err := root.PutBucketPolicy(ctx, &s3.PutBucketPolicyInput{Bucket: &b, Policy: aws.String(
					`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"` + principal + `"},"Action":["s3:GetObject","s3:PutObject"],"Resource":"arn:aws:s3:::` + b + `/*"}]}`)}); err != nil {
					t.Fatal(err)
				}
			}
			s, err := w.exchange(own, 4*time.Second)
			if err != nil {
				t.Fatal(err, g.err)
			}
			c, err := s.Credentials()
			if err != nil {
				t.Fatal(err)
			}
			keys := aws.Credentials{AccessKeyID: c.AccessKeyID, SessionToken: c.Token}
			if err := c.Secret.Use(func(b []byte) error { keys.SecretAccessKey = string(b); return nil }); err != nil {
				t.Fatal(err)
			}
			stolen := p.s3(config(static(keys)))
			if err := get(stolen, own, "src/a"); err != nil {
				t.Fatalf("control: %v", err)
			}
			check("another bucket", get(stolen, other, "src/a"))
			check("another prefix", get(stolen, own, "other/a"))
			_, err = stolen.PutObject(ctx, &s3.PutObjectInput{Bucket: &own, Key: aws.String("src/b"), Body: strings.NewReader("x")})
			check("another verb", err)
			time.Sleep(time.Until(s.Expires()) + time.Second)
			check("after its end", get(stolen, own, "src/a"))
		})
	}
}

// The same with a role whose trust policy names the session.
func TestRoleThatTrustsTheSession(t *testing.T) {
	t.Parallel()
	p := ministack(t)
	w := newWorld(t, reads, &grabber{Issuer: p.issuer(t)})
	name := "next-" + random()
	principal := fmt.Sprintf("%s/%s", strings.Replace(strings.Replace(p.role.ARN, ":iam:", ":sts:", 1), ":role/", ":assumed-role/", 1), w.row)
	next := between(p.query(t, "iam", "2010-05-08", "CreateRole", "RoleName", name, "AssumeRolePolicyDocument",
		`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"`+principal+`"},"Action":"sts:AssumeRole"}]}`), "<Arn>", "</Arn>")
	s, err := w.exchange(p.bucket(t), 0)
	if err != nil {
		t.Fatal(err)
	}
	c, err := s.Credentials()
	if err != nil {
		t.Fatal(err)
	}
	keys := aws.Credentials{AccessKeyID: c.AccessKeyID, SessionToken: c.Token}
	if err := c.Secret.Use(func(b []byte) error { keys.SecretAccessKey = string(b); return nil }); err != nil {
		t.Fatal(err)
	}
	assume := func(keys aws.Credentials) error {
		_, err := p.sts(config(static(keys))).AssumeRole(context.Background(), &sts.AssumeRoleInput{RoleArn: &next, RoleSessionName: aws.String("next")})
		return err
	}
	denied(t, "a session that assumes", assume(keys))
	// Control: a session of the same name without a session policy.
	out, err := p.sts(config(static(p.firewall))).AssumeRole(context.Background(), &sts.AssumeRoleInput{RoleArn: &p.role.ARN, ExternalId: &p.role.ExternalID, RoleSessionName: aws.String(w.row.String())})
	if err != nil {
		t.Fatal(err)
	}
	if err := assume(aws.Credentials{AccessKeyID: *out.Credentials.AccessKeyId, SecretAccessKey: *out.Credentials.SecretAccessKey, SessionToken: *out.Credentials.SessionToken}); err != nil {
		t.Errorf("control: %v", err)
	}
}
