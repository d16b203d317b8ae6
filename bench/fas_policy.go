package main

import (
	"context"
	"fmt"
	"time"

	cedar "github.com/cedar-policy/cedar-go"
	"github.com/cedar-policy/cedar-go/types"
	vgw "github.com/versity/versitygw/iamapi/policy"
	vgwtypes "github.com/versity/versitygw/iamapi/types"

	"github.com/cloisterdev/cloister/fas/policy"
)

// Two layers of four statements each, the last of which decides. A variable with
// a slash in its name, as of a tag, is one that not every evaluator knows.
const (
	profileJSON = `{"Version":"2012-10-17","Statement":[
{"Effect":"Deny","Action":["iam:*","sts:*"],"Resource":"*"},
{"Effect":"Deny","Action":"s3:*","Resource":"*","Condition":{"Bool":{"aws:SecureTransport":"false"}}},
{"Effect":"Allow","Action":"s3:ListBucket","Resource":"arn:aws:s3:::*"},
{"Effect":"Allow","Action":["s3:GetObject","s3:GetObjectTagging"],"Resource":"arn:aws:s3:::*/*","Condition":{"StringEquals":{"aws:ResourceTag/tenant":"${aws:username}"}}}]}`
	scopeJSON = `{"Version":"2012-10-17","Statement":[
{"Effect":"Deny","Action":"s3:*","NotResource":["arn:aws:s3:::acme-code","arn:aws:s3:::acme-code/*"]},
{"Effect":"Deny","Action":"s3:*","Resource":"arn:aws:s3:::acme-code/*/secret/*"},
{"Effect":"Allow","Action":"s3:ListBucket","Resource":"arn:aws:s3:::acme-code","Condition":{"StringLike":{"s3:prefix":"src/*"}}},
{"Effect":"Allow","Action":"s3:GetObject","Resource":"arn:aws:s3:::acme-code/src/*","Condition":{"DateLessThan":{"aws:CurrentTime":"2027-01-01T00:00:00Z"},"IpAddress":{"aws:SourceIp":"10.0.0.0/8"}}}]}`

	profileCedar = `
forbid (principal, action, resource) when { context.service == "iam" || context.service == "sts" };
forbid (principal, action, resource) when { !context.secure };
permit (principal, action == Action::"s3:ListBucket", resource) when { context.arn like "arn:aws:s3:::*" };
permit (principal, action in [Action::"s3:GetObject", Action::"s3:GetObjectTagging"], resource)
when { context.arn like "arn:aws:s3:::*/*" && context.owner == context.tenant };`
	scopeCedar = `
forbid (principal, action, resource) unless { context.arn == "arn:aws:s3:::acme-code" || context.arn like "arn:aws:s3:::acme-code/*" };
forbid (principal, action, resource) when { context.arn like "arn:aws:s3:::acme-code/*/secret/*" };
permit (principal, action == Action::"s3:ListBucket", resource)
when { context.arn == "arn:aws:s3:::acme-code" && context has prefix && context.prefix like "src/*" };
permit (principal, action == Action::"s3:GetObject", resource)
when { context.arn like "arn:aws:s3:::acme-code/src/*" && context.now < datetime("2027-01-01T00:00:00Z") && context.ip.isInRange(ip("10.0.0.0/8")) };`
)

// access is one request, in words that each decider turns into its own.
type access struct {
	action, arn, secure, owner, now, ip string
}

// accesses are what each decider must decide before it is timed: one to allow,
// and that one with each part of it wrong.
func accesses() (allowed access, refused []access) {
	allowed = access{"s3:GetObject", "arn:aws:s3:::acme-code/src/main/deep/deep/deep/deep/x.go", "true", "acme", "2026-11-24T10:00:00Z", "10.1.2.3"}
	for _, change := range []func(*access){
		func(a *access) { a.action = "s3:PutObject" },
		func(a *access) { a.action = "s3:GetObjectTagging" },
		func(a *access) { a.arn = "arn:aws:s3:::other-code/src/x.go" },
		func(a *access) { a.arn = "arn:aws:s3:::acme-code/src/secret/x.go" },
		func(a *access) { a.secure = "false" },
		func(a *access) { a.owner = "other" },
		func(a *access) { a.now = "2027-01-01T00:00:00Z" },
		func(a *access) { a.ip = "11.1.2.3" },
	} {
		a := allowed
		change(&a)
		refused = append(refused, a)
	}
	return allowed, refused
}

// decider decides one access by both layers; prepare does what a server would
// have done before.
type decider struct {
	name    string
	prepare func(access) (func() bool, error)
}

// policyRows gives the row policy/decision.
func policyRows(ctx context.Context, quick bool) ([]row, error) {
	rounds, slice := 15, 60*time.Millisecond
	if quick {
		rounds, slice = 3, 20*time.Millisecond
	}
	deciders, err := policyDeciders()
	if err != nil {
		return nil, err
	}
	allowed, refused := accesses()
	var cs []contender
	for _, d := range deciders {
		for _, a := range refused {
			decide, err := d.prepare(a)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", d.name, err)
			}
			if decide() {
				return nil, fmt.Errorf("%s allows %+v", d.name, a)
			}
		}
		decide, err := d.prepare(allowed)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", d.name, err)
		}
		if !decide() {
			return nil, fmt.Errorf("%s refuses %+v", d.name, allowed)
		}
		cs = append(cs, contender{d.name, func(n int) error {
			for range n {
				if !decide() {
					return fmt.Errorf("refuses %+v", allowed)
				}
			}
			return nil
		}})
	}
	took, err := interleave(ctx, cs, rounds, slice)
	if err != nil {
		return nil, err
	}
	for i := range took {
		took[i] *= 1e9
	}
	return rowsOf("policy/decision", "ns", names(cs), took)
}

// policyDeciders are ours; the evaluator of an S3 gateway in Go, which reads
// IAM's language and parses it at every decision, since it exports nothing
// compiled; and Cedar, which is compiled but another language, and gets its
// time and address parsed.
func policyDeciders() ([]decider, error) {
	profile, err := policy.Parse([]byte(profileJSON))
	if err != nil {
		return nil, err
	}
	scope, err := policy.Parse([]byte(scopeJSON))
	if err != nil {
		return nil, err
	}
	upper, err := cedar.NewPolicySetFromBytes("profile", []byte(profileCedar))
	if err != nil {
		return nil, err
	}
	lower, err := cedar.NewPolicySetFromBytes("scope", []byte(scopeCedar))
	if err != nil {
		return nil, err
	}
	return []decider{
		{"fas/policy, compiled", func(a access) (func() bool, error) {
			r := policy.Request{Action: a.action, Resource: a.arn, Context: map[string]string{"aws:securetransport": a.secure,
				"aws:resourcetag/tenant": a.owner, "aws:username": "acme", "aws:currenttime": a.now, "aws:sourceip": a.ip}}
			return func() bool { return policy.Allowed(r, profile, scope) }, r.Err()
		}},
		{"versitygw " + version("github.com/versity/versitygw") + " iamapi/policy, parses each time", func(a access) (func() bool, error) {
			layers := [][]vgwtypes.PolicyEntry{{{PolicyDocument: profileJSON}}, {{PolicyDocument: scopeJSON}}}
			r := vgw.RequestContext{Action: a.action, Resource: a.arn, Condition: map[string][]string{"aws:SecureTransport": {a.secure},
				"aws:ResourceTag/tenant": {a.owner}, "aws:username": {"acme"}, "aws:CurrentTime": {a.now}, "aws:SourceIp": {a.ip}}}
			return func() bool {
				return vgw.EvaluateIdentityPolicies(layers[0], r) == vgw.DecisionAllow && vgw.EvaluateIdentityPolicies(layers[1], r) == vgw.DecisionAllow
			}, nil
		}},
		{"cedar-go " + version("github.com/cedar-policy/cedar-go") + ", the same in Cedar", func(a access) (func() bool, error) {
			now, err := types.ParseDatetime(a.now)
			if err != nil {
				return nil, err
			}
			ip, err := types.ParseIPAddr(a.ip)
			if err != nil {
				return nil, err
			}
			r := cedar.Request{Principal: cedar.NewEntityUID("Caller", "acme"), Action: cedar.NewEntityUID("Action", types.String(a.action)), Resource: cedar.NewEntityUID("Object", types.String(a.arn)),
				Context: cedar.NewRecord(cedar.RecordMap{"service": types.String("s3"), "arn": types.String(a.arn), "secure": types.Boolean(a.secure == "true"),
					"owner": types.String(a.owner), "tenant": types.String("acme"), "now": now, "ip": ip})}
			return func() bool {
				one, _ := cedar.Authorize(upper, types.EntityMap{}, r)
				two, _ := cedar.Authorize(lower, types.EntityMap{}, r)
				return one == cedar.Allow && two == cedar.Allow
			}, nil
		}},
	}, nil
}
