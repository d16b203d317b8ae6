package awskms_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"github.com/cloisterdev/cloister/kmsctx"
	"github.com/cloisterdev/cloister/kmsctx/awskms"
	"github.com/cloisterdev/cloister/kmsctx/kmsserver"
	"github.com/cloisterdev/cloister/kmsctx/localkms"
	"github.com/cloisterdev/cloister/tenant"
)

const workerARN = "arn:aws:iam::000000000000:user/worker"

// exampleService is what the command serves, where a new grant needs its token
// for an hour.
func exampleService() (url string, root, worker *kms.Client, stop func()) {
	dir, err := os.MkdirTemp("", "kms")
	if err != nil {
		log.Fatal(err)
	}
	store, err := localkms.Open(dir, tenant.NewSecret(bytes.Repeat([]byte{1}, 32)))
	if err != nil {
		log.Fatal(err)
	}
	s, err := localkms.NewService(store, unrecorded{}, &localkms.Options{Propagation: time.Hour})
	if err != nil {
		log.Fatal(err)
	}
	who, err := kmsserver.ParsePrincipals([]byte(`{"principals": [
		{"accessKeyId": "AKIDROOT", "secretAccessKey": "secret-0123456789", "arn": "arn:aws:iam::000000000000:root"},
		{"accessKeyId": "AKIDWORKER", "secretAccessKey": "secret-0123456789", "arn": "` + workerARN + `"}]}`))
	if err != nil {
		log.Fatal(err)
	}
	h, err := kmsserver.New(s, who, nil)
	if err != nil {
		log.Fatal(err)
	}
	l, err := kmsserver.Listen("127.0.0.1:0", nil)
	if err != nil {
		log.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- kmsserver.Serve(ctx, l, h) }()
	url = "http://" + l.Addr().String()
	return url, client(url, "AKIDROOT", "secret-0123456789"), client(url, "AKIDWORKER", "secret-0123456789"), func() {
		cancel()
		if err := errors.Join(<-done, os.RemoveAll(dir)); err != nil {
			log.Fatal(err)
		}
	}
}

// A worker opens one tenant's objects while its grant lives, and nobody else's.
func ExampleKeyring_grant() {
	ctx := context.Background()
	_, root, worker, stop := exampleService() // two *kms.Client of aws-sdk-go-v2
	defer stop()
	key, err := root.CreateKey(ctx, &kms.CreateKeyInput{})
	if err != nil {
		log.Fatal(err)
	}
	acme, err1 := kmsctx.NewContext(map[string]string{"tenant": "acme"})
	globex, err2 := kmsctx.NewContext(map[string]string{"tenant": "globex"})
	only, err3 := acme.GrantConstraint()
	if err := errors.Join(err1, err2, err3); err != nil {
		log.Fatal(err)
	}
	grant, err := root.CreateGrant(ctx, &kms.CreateGrantInput{KeyId: key.KeyMetadata.KeyId, Name: aws.String("acme-index"),
		GranteePrincipal: aws.String(workerARN), RetiringPrincipal: aws.String(workerARN),
		Operations:  []types.GrantOperation{types.GrantOperationGenerateDataKey, types.GrantOperationDecrypt},
		Constraints: &types.GrantConstraints{EncryptionContextEquals: only.Equals}})
	if err != nil {
		log.Fatal(err)
	}
	ring, err1 := awskms.New(worker, *key.KeyMetadata.Arn, nil)
	env, err2 := kmsctx.New(ring, nil)
	if err := errors.Join(err1, err2); err != nil {
		log.Fatal(err)
	}

	_, err = env.Seal(ctx, nil, []byte("42 EUR"), acme)
	fmt.Println("refused without the token:", errors.Is(err, kmsctx.ErrNotAuthorized))
	ctx = awskms.WithGrant(ctx, awskms.Grant{ID: *grant.GrantId, Token: *grant.GrantToken})
	_, err = env.Seal(ctx, nil, []byte("42 EUR"), globex)
	fmt.Println("refused for another tenant:", errors.Is(err, kmsctx.ErrNotAuthorized))

	sealed, err := env.Seal(ctx, nil, []byte("42 EUR"), acme)
	if err != nil {
		log.Fatal(err)
	}
	plain, err := env.Open(ctx, nil, sealed, acme)
	fmt.Printf("opened: %s %v\n", plain, err)

	if _, err := worker.RetireGrant(ctx, &kms.RetireGrantInput{GrantToken: grant.GrantToken}); err != nil {
		log.Fatal(err)
	}
	_, err = env.Open(ctx, nil, sealed, acme)
	fmt.Println("refused after retiring:", errors.Is(err, kmsctx.ErrNotAuthorized))
	// Output:
	// refused without the token: true
	// refused for another tenant: true
	// opened: 42 EUR <nil>
	// refused after retiring: true
}
