package hierarchy_test

import (
	"context"
	"crypto/rand"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	ddb "github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/kms"

	"github.com/cloisterdev/cloister/kmsctx"
	"github.com/cloisterdev/cloister/kmsctx/hierarchy"
	"github.com/cloisterdev/cloister/kmsctx/kmstest"
)

// real is a table and a KMS key of a server that somebody else wrote. It
// enforces the cryptography and the table's conditions, neither states of keys
// nor permissions.
type real struct {
	table *dynamodb.Client
	place hierarchy.Place
	admin *hierarchy.Admin
	store *hierarchy.Store
}

func motoWorld(t *testing.T) *real {
	t.Helper()
	url := os.Getenv("CLOISTER_PEER_MOTO")
	if url == "" {
		t.Skip("CLOISTER_PEER_MOTO names no moto server")
	}
	cred := aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
		return aws.Credentials{AccessKeyID: "AKIAIOSFODNN7EXAMPLE", SecretAccessKey: "any"}, nil
	})
	k := kms.New(kms.Options{Region: "us-east-1", BaseEndpoint: &url, RetryMaxAttempts: 1, Credentials: cred})
	w := &real{table: dynamodb.New(dynamodb.Options{Region: "us-east-1", BaseEndpoint: &url, RetryMaxAttempts: 1, Credentials: cred})}
	key, err := k.CreateKey(t.Context(), &kms.CreateKeyInput{})
	if err != nil {
		t.Fatal(err)
	}
	w.place = hierarchy.Place{Table: "hierarchy-" + strings.ToLower(rand.Text()), Name: "moto-store", Key: *key.KeyMetadata.Arn}
	_, err = w.table.CreateTable(t.Context(), &dynamodb.CreateTableInput{TableName: &w.place.Table, BillingMode: ddb.BillingModePayPerRequest,
		KeySchema: []ddb.KeySchemaElement{{AttributeName: aws.String("branch-key-id"), KeyType: ddb.KeyTypeHash}, {AttributeName: aws.String("type"), KeyType: ddb.KeyTypeRange}},
		AttributeDefinitions: []ddb.AttributeDefinition{{AttributeName: aws.String("branch-key-id"), AttributeType: ddb.ScalarAttributeTypeS},
			{AttributeName: aws.String("type"), AttributeType: ddb.ScalarAttributeTypeS}}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_, _ = w.table.DeleteTable(context.WithoutCancel(t.Context()), &dynamodb.DeleteTableInput{TableName: &w.place.Table})
	})
	if w.admin, err = hierarchy.NewAdmin(w.table, k, w.place); err != nil {
		t.Fatal(err)
	}
	if w.store, err = hierarchy.NewStore(w.table, k, w.place); err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *real) row(t *testing.T, id, kind string) map[string]ddb.AttributeValue {
	t.Helper()
	out, err := w.table.GetItem(t.Context(), &dynamodb.GetItemInput{TableName: &w.place.Table, Key: map[string]ddb.AttributeValue{"branch-key-id": str(id), "type": str(kind)}})
	if err != nil || len(out.Item) == 0 {
		t.Fatalf("no row %s %s: %v", id, kind, err)
	}
	return out.Item
}

func (w *real) put(t *testing.T, m map[string]ddb.AttributeValue) {
	t.Helper()
	if _, err := w.table.PutItem(t.Context(), &dynamodb.PutItemInput{TableName: &w.place.Table, Item: m}); err != nil {
		t.Fatal(err)
	}
}

func TestMotoConformance(t *testing.T) {
	t.Parallel()
	w := motoWorld(t)
	create(t, w.admin, "tn-1")
	create(t, w.admin, "tn-2")
	rings := kmstest.Rings{Ring: ring(t, w.store, only("tn-1"), nil), Other: ring(t, w.store, only("tn-2"), nil),
		Context: pairs(t, "tenant", "tn-1", "purpose", "kmstest"), OtherContext: pairs(t, "tenant", "tn-2", "purpose", "kmstest")}
	kmstest.Run(t, func(*testing.T) kmstest.Rings { return rings })
}

func TestMotoLifeOfABranchKey(t *testing.T) {
	t.Parallel()
	w := motoWorld(t)
	if _, err := w.store.Active(t.Context(), "tn-1"); !errors.Is(err, kmsctx.ErrKeyNotFound) {
		t.Errorf("before it exists: %v", err)
	}
	v1 := create(t, w.admin, "tn-1")
	if _, err := w.admin.Create(t.Context(), "tn-1", of(t, "tn-1")); !errors.Is(err, hierarchy.ErrExists) {
		t.Errorf("twice: %v", err)
	}
	r := ring(t, w.store, hierarchy.ByPair("tenant"), nil)
	env, err := kmsctx.New(r, nil)
	if err != nil {
		t.Fatal(err)
	}
	message, err := env.Seal(t.Context(), nil, []byte("func main() {}"), of(t, "tn-1"))
	if err != nil {
		t.Fatal(err)
	}
	v2, err := w.admin.Rotate(t.Context(), "tn-1")
	if err != nil || v1 == v2 {
		t.Fatal(err)
	}
	r.Forget("tn-1")
	if _, err := env.Open(t.Context(), nil, message, of(t, "tn-2")); !errors.Is(err, kmsctx.ErrContextMismatch) {
		t.Errorf("another tenant: %v", err)
	}
	if plain, err := env.Open(t.Context(), nil, message, of(t, "tn-1")); err != nil || string(plain) != "func main() {}" {
		t.Errorf("control: %v", err)
	}
	if a, err := w.store.Active(t.Context(), "tn-1"); err != nil || a.Version != v2 {
		t.Errorf("the active version: %v", err)
	}
	if _, err := w.store.Version(t.Context(), "tn-1", v1); err != nil {
		t.Errorf("the old version: %v", err)
	}
}

// Rows are moved about in a real table; a real KMS refuses.
func TestMotoTampered(t *testing.T) {
	t.Parallel()
	w := motoWorld(t)
	create(t, w.admin, "tn-1")
	create(t, w.admin, "tn-2")
	good := w.row(t, "tn-1", "branch:ACTIVE")

	theirs := w.row(t, "tn-2", "branch:ACTIVE")
	theirs["branch-key-id"] = str("tn-1")
	w.put(t, theirs)
	if k, err := w.store.Active(t.Context(), "tn-1"); !errors.Is(err, kmsctx.ErrInvalidCiphertext) || k != nil {
		t.Errorf("another branch key's row: %v", err)
	}
	if _, err := w.admin.Rotate(t.Context(), "tn-1"); !errors.Is(err, kmsctx.ErrInvalidCiphertext) {
		t.Errorf("rotating it: %v", err)
	}
	w.put(t, good)

	bound := w.row(t, "tn-1", "branch:ACTIVE")
	bound["aws-crypto-ec:tenant"] = str("tn-2")
	w.put(t, bound)
	if k, err := w.store.Active(t.Context(), "tn-1"); !errors.Is(err, kmsctx.ErrInvalidCiphertext) || k != nil {
		t.Errorf("bound to another tenant: %v", err)
	}
	w.put(t, good)
	if _, err := w.store.Active(t.Context(), "tn-1"); err != nil {
		t.Errorf("control: %v", err)
	}
}

func TestMotoNoTable(t *testing.T) {
	t.Parallel()
	w := motoWorld(t)
	create(t, w.admin, "tn-1")
	p := w.place
	p.Table = "no-such-table"
	s, err := hierarchy.NewStore(w.table, &kms.Client{}, p)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Active(t.Context(), "tn-1"); !errors.Is(err, kmsctx.ErrUnavailable) {
		t.Error(err)
	}
	if _, err := w.store.Active(t.Context(), "tn-1"); err != nil {
		t.Errorf("control: %v", err)
	}
}
