package awssts_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/cloisterdev/cloister/fas/awssts"
	"github.com/cloisterdev/cloister/fas/policy"
)

// What is sent to STS allows, until the end, what the scope-down allows, but
// for identity services; and after the end nothing. The second evaluation is of
// the scope-down as it came.
func FuzzSessionPolicy(f *testing.F) {
	stmt := func(s string) string { return `{"Version":"2012-10-17","Statement":[` + s + `]}` }
	f.Add(stmt(`{"Effect":"Allow","Action":"s3:GetObject","Resource":"arn:aws:s3:::a/src/*"}`), "s3:GetObject", "arn:aws:s3:::a/src/x", true)
	f.Add(stmt(`{"Effect":"Allow","Action":["s3:*","sts:*"],"Resource":["*"]},{"Effect":"Deny","NotAction":"s3:Get*","Resource":"*"}`), "sts:AssumeRole", "arn:aws:iam::1:role/x", true)
	f.Add(stmt(`{"Effect":"Allow","Action":"*","Resource":"arn:aws:s3:::${aws:username}/*","Condition":{"DateLessThan":{"aws:TokenIssueTime":"2026-01-01T00:00:00Z"}}}`), "s3:GetObject", "arn:aws:s3:::a/b", false)
	f.Add(stmt(`{"Effect":"Allow","Action":"s3:GetObject","Resource":"*","Condition":{"DateLessThanIfExists":{"aws:CurrentTime":"2099-01-01T00:00:00Z"}}}`), "s3:GetObject", "arn:aws:s3:::a/b", true)
	everything := []byte(stmt(`{"Effect":"Allow","Action":"*","Resource":"*"}`))
	end := time.Date(2026, 6, 1, 12, 0, 0, 500, time.UTC)
	f.Fuzz(func(t *testing.T, scope, action, resource string, fence bool) {
		text, err := awssts.SessionPolicy(everything, []byte(scope), end, fence)
		if err != nil {
			if text != "" || !errors.Is(err, awssts.ErrScope) && !errors.Is(err, awssts.ErrTooLarge) {
				t.Fatal(err)
			}
			return
		}
		sent, err := policy.Parse([]byte(text))
		if err != nil {
			t.Fatalf("%v: %s", err, text)
		}
		lower, err := policy.Parse([]byte(scope))
		if err != nil {
			t.Fatal(err)
		}
		at := func(when time.Time) (r policy.Request) {
			return policy.Request{Action: action, Resource: resource, Context: map[string]string{"aws:currenttime": when.Format(time.RFC3339), "s3:prefix": "src/"}}
		}
		if at(end).Err() != nil {
			return
		}
		during, after := at(end.Add(-time.Minute)), at(end)
		if policy.Allowed(after, sent) || policy.Allowed(at(end.Add(100*time.Hour)), sent) {
			t.Fatalf("allowed after the end: %s", text)
		}
		if policy.Allowed(during, sent) && !policy.Allowed(during, lower) {
			t.Fatalf("wider than the scope-down: %s", text)
		}
		service, _, _ := strings.Cut(strings.ToLower(action), ":")
		if fence && (service == "sts" || service == "iam") && policy.Allowed(during, sent) {
			t.Fatalf("an identity service: %s", text)
		}
		if policy.Allowed(during, lower) && !policy.Allowed(during, sent) && service != "sts" && service != "iam" && !strings.Contains(scope, "${") {
			t.Fatalf("narrower than the scope-down: %s", text)
		}
	})
}
