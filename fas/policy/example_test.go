package policy_test

import (
	"errors"
	"fmt"
	"log"
	"time"

	"github.com/cloisterdev/cloister/fas/policy"
)

func must(d *policy.Document, err error) *policy.Document {
	if err != nil {
		log.Fatal(err)
	}
	return d
}

// A misspelt key widens access where decoders ignore it. Here it is refused.
func ExampleParse() {
	_, err := policy.Parse([]byte(`{"Version":"2012-10-17","Statement":[
		{"Effect":"Allow","Action":"s3:GetObject","Resources":"arn:aws:s3:::acme-code/*"}]}`))
	fmt.Println(err)
	fmt.Println(errors.Is(err, policy.ErrMalformed))
	// Output:
	// policy: malformed: statement 0: unknown key "Resources"
	// true
}

// Every layer must allow: a profile alone is not enough, and an absent
// scope-down allows nothing.
func ExampleAllowed() {
	profile := must(policy.Parse([]byte(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:*","Resource":"*"}]}`)))
	scope := must(policy.Parse([]byte(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:GetObject","Resource":"arn:aws:s3:::acme-code/src/*"}]}`)))
	other := policy.Request{Action: "s3:GetObject", Resource: "arn:aws:s3:::other-code/src/x.go"}
	mine := policy.Request{Action: "s3:GetObject", Resource: "arn:aws:s3:::acme-code/src/x.go"}
	fmt.Println(policy.Allowed(mine), policy.Allowed(mine, profile, nil), policy.Allowed(other, profile, scope))
	fmt.Println(policy.Allowed(mine, profile, scope))
	// Output:
	// false false false
	// true
}

func ExampleSubset() {
	profile := must(policy.Parse([]byte(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["s3:Get*","s3:List*"],"Resource":"arn:aws:s3:::acme-*"}]}`)))
	wide := must(policy.Parse([]byte(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:*Object","Resource":"arn:aws:s3:::acme-code/*"}]}`)))
	narrow := must(policy.Parse([]byte(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:GetObject","Resource":"arn:aws:s3:::acme-code/*"}]}`)))
	fmt.Println(policy.Subset(profile, wide).Reason)
	fmt.Println(policy.Subset(profile, narrow).Answer)
	// Output:
	// would allow s3:Object on arn:aws:s3:::acme-code/, which the profile does not (statement 0: s3:*Object on arn:aws:s3:::acme-code/*)
	// yes
}

// A tenant that calls its prefix "*" gets that prefix and no other.
func ExampleS3Prefix() {
	if _, err := policy.S3Prefix("acme*", "src/", "s3:GetObject"); err != nil {
		fmt.Println(err)
	}
	s, err := policy.S3Prefix("acme-code", "*/", "s3:GetObject")
	if err != nil {
		log.Fatal(err)
	}
	raw, err := policy.Marshal(s.Until(time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(string(raw))
	// Output:
	// policy: not a usable name: the bucket
	// {"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:GetObject","Resource":"arn:aws:s3:::acme-code/${*}/*","Condition":{"DateLessThan":{"aws:CurrentTime":"2026-11-24T12:00:00Z"}}}]}
}

// A request without tags satisfies ForAllValues.
func ExampleLint() {
	d := must(policy.Parse([]byte(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:PutObject","Resource":"arn:aws:s3:::acme-code/*",
		"Condition":{"ForAllValues:StringEquals":{"aws:TagKeys":["team"]}}}]}`)))
	for _, f := range policy.Lint(d) {
		fmt.Println(f.Statement, f.Code, f.Message)
	}
	// Output:
	// 0 for-all-values ForAllValues:StringEquals on aws:TagKeys holds when the key is absent; add {"Null": {"aws:TagKeys": "false"}}
}
