package hierarchy_test

import (
	"bytes"
	"context"
	"errors"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	ddb "github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"github.com/cloisterdev/cloister/kmsctx"
	"github.com/cloisterdev/cloister/kmsctx/hierarchy"
	"github.com/cloisterdev/cloister/kmsctx/kmsserver"
	"github.com/cloisterdev/cloister/kmsctx/localkms"
	"github.com/cloisterdev/cloister/tenant"
)

const twoPrincipals = `{"principals": [
	{"accessKeyId": "AKIDROOT", "secretAccessKey": "secret-0123456789-root", "arn": "arn:aws:iam::000000000000:root"},
	{"accessKeyId": "AKIDREAD", "secretAccessKey": "secret-0123456789-read", "arn": "arn:aws:iam::000000000000:user/read"}]}`

// clients are those of aws-sdk-go-v2 against a server that enforces grants,
// constraints and states.
func clients(t *testing.T) (root, read *kms.Client) {
	t.Helper()
	k, err := localkms.Open(t.TempDir(), tenant.NewSecret(bytes.Repeat([]byte{1}, 32)))
	if err != nil {
		t.Fatal(err)
	}
	svc, err := localkms.NewService(k, silent{}, &localkms.Options{Propagation: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	who, err := kmsserver.ParsePrincipals([]byte(twoPrincipals))
	if err != nil {
		t.Fatal(err)
	}
	h, err := kmsserver.New(svc, who, nil)
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	as := func(id, secret string) *kms.Client {
		return kms.New(kms.Options{Region: "us-east-1", BaseEndpoint: &s.URL, RetryMaxAttempts: 1,
			Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
				return aws.Credentials{AccessKeyID: id, SecretAccessKey: secret}, nil
			})})
	}
	return as("AKIDROOT", "secret-0123456789-root"), as("AKIDREAD", "secret-0123456789-read")
}

// A reader whose grant names one branch key opens that one only, although one
// KMS key wraps all: the item's attributes are KMS's encryption context.
func TestGrantForOneBranchKey(t *testing.T) {
	t.Parallel()
	root, read := clients(t)
	key, err := root.CreateKey(t.Context(), &kms.CreateKeyInput{})
	if err != nil {
		t.Fatal(err)
	}
	d := &table{items: map[[2]string]map[string]ddb.AttributeValue{}}
	at := hierarchy.Place{Table: "branch-keys", Name: "test-store", Key: *key.KeyMetadata.Arn}
	admin, err := hierarchy.NewAdmin(d, root, at)
	if err != nil {
		t.Fatal(err)
	}
	v := create(t, admin, "tn-1")
	create(t, admin, "tn-2")
	g, err := root.CreateGrant(t.Context(), &kms.CreateGrantInput{KeyId: &at.Key, GranteePrincipal: aws.String("arn:aws:iam::000000000000:user/read"),
		Operations:  []types.GrantOperation{types.GrantOperationDecrypt},
		Constraints: &types.GrantConstraints{EncryptionContextSubset: map[string]string{"branch-key-id": "tn-1", "tablename": "test-store"}}})
	if err != nil {
		t.Fatal(err)
	}
	reader := func(tokens ...string) *hierarchy.Store {
		p := at
		p.GrantTokens = tokens
		s, err := hierarchy.NewStore(d, read, p)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	refused := func(name string, s *hierarchy.Store, id string, want error) {
		t.Helper()
		if k, err := s.Active(t.Context(), id); !errors.Is(err, want) || k != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	with := reader(*g.GrantToken)
	refused("another branch key", with, "tn-2", kmsctx.ErrNotAuthorized)
	refused("before the grant has spread", reader(), "tn-1", kmsctx.ErrNotAuthorized)
	refused("a token that is none", reader("x"), "tn-1", kmsctx.ErrNotAuthorized)
	if _, err := with.Active(t.Context(), "tn-1"); err != nil {
		t.Errorf("control: %v", err)
	}
	if _, err := with.Version(t.Context(), "tn-1", v); err != nil {
		t.Errorf("control: %v", err)
	}

	// Decrypt alone neither makes nor rotates.
	p := at
	p.GrantTokens = []string{*g.GrantToken}
	own, err := hierarchy.NewAdmin(d, read, p)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := own.Create(t.Context(), "tn-3", of(t, "tn-3")); !errors.Is(err, kmsctx.ErrNotAuthorized) {
		t.Errorf("the reader creates: %v", err)
	}
	if _, err := own.Rotate(t.Context(), "tn-1"); !errors.Is(err, kmsctx.ErrNotAuthorized) {
		t.Errorf("the reader rotates: %v", err)
	}
	if len(d.items) != 6 {
		t.Errorf("%d items", len(d.items))
	}

	if _, err := root.DisableKey(t.Context(), &kms.DisableKeyInput{KeyId: &at.Key}); err != nil {
		t.Fatal(err)
	}
	refused("disabled", with, "tn-1", kmsctx.ErrKeyDisabled)
	if _, err := root.EnableKey(t.Context(), &kms.EnableKeyInput{KeyId: &at.Key}); err != nil {
		t.Fatal(err)
	}
	if _, err := with.Active(t.Context(), "tn-1"); err != nil {
		t.Errorf("enabled again: %v", err)
	}
	if _, err := root.RevokeGrant(t.Context(), &kms.RevokeGrantInput{KeyId: &at.Key, GrantId: g.GrantId}); err != nil {
		t.Fatal(err)
	}
	refused("revoked", with, "tn-1", kmsctx.ErrNotAuthorized)
	if _, err := root.ScheduleKeyDeletion(t.Context(), &kms.ScheduleKeyDeletionInput{KeyId: &at.Key}); err != nil {
		t.Fatal(err)
	}
	s, err := hierarchy.NewStore(d, root, at)
	if err != nil {
		t.Fatal(err)
	}
	refused("to be deleted", s, "tn-1", kmsctx.ErrKeyPendingDeletion)
}
