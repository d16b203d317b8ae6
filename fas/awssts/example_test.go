package awssts_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/cloisterdev/cloister/fas"
	"github.com/cloisterdev/cloister/fas/awssts"
	"github.com/cloisterdev/cloister/tenant"
)

// Nobody but a firewall that verified a signed call makes a grant, and without
// one STS is not even asked.
func ExampleIssuer_Issue() {
	issuer, err := awssts.NewIssuer(sts.New(sts.Options{Region: "us-east-1"}),
		role{ARN: "arn:aws:iam::123456789012:role/cloister-source", ExternalID: "external-id-of-the-tenant"}, nil)
	if err != nil {
		panic(err)
	}
	_, err = issuer.Issue(context.Background(), fas.Grant{})
	fmt.Println(errors.Is(err, awssts.ErrGrant))
	// Output: true
}

// A session that is over signs nothing, whatever else the process could find.
func ExampleProvider() {
	_, err := awssts.NewProvider(&fas.Session{})
	fmt.Println(errors.Is(err, fas.ErrClosed))
	// Output: true
}

// A proof for one service is refused by another before STS is asked, and, were
// it relabelled, by STS.
func ExampleProofVerifier_Verify() {
	store, err := fas.MemoryReplay(1000)
	if err != nil {
		panic(err)
	}
	v, err := awssts.NewProofVerifier(awssts.ProofConfig{Audience: "rag.example.com", Regions: []string{"us-east-1"}, Replay: store})
	if err != nil {
		panic(err)
	}
	// The caller's side.
	keys := static(aws.Credentials{AccessKeyID: "ASIAEXAMPLE", SecretAccessKey: "secret", SessionToken: "token"})
	call := awssts.CallDigest("POST", "/CreateCustomization", []byte("{}"))
	p, err := awssts.Prove(context.Background(), keys, "us-east-1", "another.example.com", call)
	if err != nil {
		panic(err)
	}
	// The verifier's side.
	_, err = v.Verify(context.Background(), p, call)
	fmt.Println(errors.Is(err, awssts.ErrAudience))
	// Output: true
}

// What a caller sealed for one request does not open for another.
func ExampleOpener_Open() {
	secret, err := awssts.NewSealingSecret()
	if err != nil {
		panic(err)
	}
	firewall, err := awssts.NewOpener(secret)
	if err != nil {
		panic(err)
	}
	// The caller's side; Mint.Sealed gets the keys from STS.
	call := awssts.CallDigest("POST", "/CreateCustomization", []byte("{}"))
	sealed, err := awssts.Seal(firewall.Key(), call, awssts.CallerKeys{AccessKeyID: "ASIAEXAMPLE",
		Secret: tenant.NewSecret([]byte("secret")), Token: "token", Expires: time.Now().Add(15 * time.Minute)})
	if err != nil {
		panic(err)
	}
	// The firewall's side.
	_, err = firewall.Open(sealed, awssts.CallDigest("POST", "/DeleteCustomization", []byte("{}")))
	fmt.Println(errors.Is(err, awssts.ErrSealed))
	keys, err := firewall.Open(sealed, call)
	fmt.Println(keys.AccessKeyID, keys.Secret, err)
	// Output:
	// true
	// ASIAEXAMPLE [secret] <nil>
}

// A process that handles sessions has no other credentials, or does not start.
func ExampleCheckNoAmbient() {
	if err := awssts.CheckNoAmbient(); errors.Is(err, awssts.ErrAmbient) {
		os.Exit(1)
	}
}
