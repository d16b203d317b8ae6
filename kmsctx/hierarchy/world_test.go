package hierarchy_test

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"reflect"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	ddb "github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/smithy-go"

	"github.com/cloisterdev/cloister/kmsctx"
	"github.com/cloisterdev/cloister/kmsctx/hierarchy"
	"github.com/cloisterdev/cloister/kmsctx/localkms"
	"github.com/cloisterdev/cloister/tenant"
)

// table is a table in memory, for faults that no server produces: the tests
// with moto's DynamoDB prove that the requests are right.
type table struct {
	mu    sync.Mutex
	items map[[2]string]map[string]ddb.AttributeValue
	reads atomic.Int64
	// read and write are called before, and may fail or change the answer.
	read  func(out map[string]ddb.AttributeValue) (map[string]ddb.AttributeValue, error)
	write func() error
}

func text(a ddb.AttributeValue) string { return a.(*ddb.AttributeValueMemberS).Value }

func keyOf(m map[string]ddb.AttributeValue) [2]string {
	return [2]string{text(m["branch-key-id"]), text(m["type"])}
}

func (d *table) GetItem(ctx context.Context, in *dynamodb.GetItemInput, _ ...func(*dynamodb.Options)) (*dynamodb.GetItemOutput, error) {
	d.reads.Add(1)
	if !aws.ToBool(in.ConsistentRead) {
		return nil, &smithy.GenericAPIError{Code: "ValidationException", Message: "a stale read"}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	out := maps.Clone(d.items[keyOf(in.Key)])
	if d.read != nil {
		var err error
		if out, err = d.read(out); err != nil {
			return nil, err
		}
	}
	return &dynamodb.GetItemOutput{Item: out}, ctx.Err()
}

func (d *table) TransactWriteItems(_ context.Context, in *dynamodb.TransactWriteItemsInput, _ ...func(*dynamodb.Options)) (*dynamodb.TransactWriteItemsOutput, error) {
	if d.write != nil {
		if err := d.write(); err != nil {
			return nil, err
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, w := range in.TransactItems {
		old, met := d.items[keyOf(w.Put.Item)], false
		switch *w.Put.ConditionExpression {
		case "attribute_not_exists(#id)":
			met = old == nil
		case "attribute_exists(#id) AND enc = :old":
			met = old != nil && reflect.DeepEqual(old["enc"], w.Put.ExpressionAttributeValues[":old"])
		}
		if !met {
			return nil, &ddb.TransactionCanceledException{CancellationReasons: []ddb.CancellationReason{{Code: aws.String("None")}, {Code: aws.String("ConditionalCheckFailed")}}}
		}
	}
	for _, w := range in.TransactItems {
		d.items[keyOf(w.Put.Item)] = maps.Clone(w.Put.Item)
	}
	return &dynamodb.TransactWriteItemsOutput{}, nil
}

// keys is localkms with the methods of *kms.Client: states and contexts are
// enforced, which no other KMS that runs here does for both.
type keys struct {
	svc    *localkms.Service
	opened atomic.Int64
	delay  time.Duration
	// after may change what Decrypt answers.
	after func(*kms.DecryptOutput) error
}

var account = localkms.Principal{ARN: "arn:aws:iam::000000000000:root"}

func coded(err error) error {
	if err == nil {
		return nil
	}
	return &smithy.GenericAPIError{Code: localkms.Code(err), Message: err.Error()}
}

func (k *keys) Decrypt(ctx context.Context, in *kms.DecryptInput, _ ...func(*kms.Options)) (*kms.DecryptOutput, error) {
	k.opened.Add(1)
	if k.delay > 0 {
		select {
		case <-time.After(k.delay):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	out, err := k.svc.Decrypt(ctx, account, &localkms.DecryptInput{CiphertextBlob: in.CiphertextBlob, KeyID: aws.ToString(in.KeyId),
		EncryptionContext: in.EncryptionContext, GrantTokens: in.GrantTokens})
	if err != nil {
		return nil, coded(err)
	}
	o := &kms.DecryptOutput{KeyId: &out.KeyID, Plaintext: out.Plaintext}
	if k.after != nil {
		err = k.after(o)
	}
	return o, err
}

func (k *keys) GenerateDataKeyWithoutPlaintext(ctx context.Context, in *kms.GenerateDataKeyWithoutPlaintextInput, _ ...func(*kms.Options)) (*kms.GenerateDataKeyWithoutPlaintextOutput, error) {
	n := int(aws.ToInt32(in.NumberOfBytes))
	out, err := k.svc.GenerateDataKeyWithoutPlaintext(ctx, account, &localkms.GenerateDataKeyInput{KeyID: aws.ToString(in.KeyId), NumberOfBytes: &n, EncryptionContext: in.EncryptionContext})
	if err != nil {
		return nil, coded(err)
	}
	return &kms.GenerateDataKeyWithoutPlaintextOutput{KeyId: &out.KeyID, CiphertextBlob: out.CiphertextBlob}, nil
}

func (k *keys) ReEncrypt(ctx context.Context, in *kms.ReEncryptInput, _ ...func(*kms.Options)) (*kms.ReEncryptOutput, error) {
	out, err := k.svc.ReEncrypt(ctx, account, &localkms.ReEncryptInput{CiphertextBlob: in.CiphertextBlob,
		SourceKeyID: aws.ToString(in.SourceKeyId), SourceEncryptionContext: in.SourceEncryptionContext,
		DestinationKeyID: aws.ToString(in.DestinationKeyId), DestinationEncryptionContext: in.DestinationEncryptionContext})
	if err != nil {
		return nil, coded(err)
	}
	return &kms.ReEncryptOutput{KeyId: &out.KeyID, SourceKeyId: &out.SourceKeyID, CiphertextBlob: out.CiphertextBlob}, nil
}

type silent struct{}

func (silent) Record(context.Context, localkms.Event) error { return nil }

// world is a table, a KMS and a place over both.
type world struct {
	table *table
	keys  *keys
	place hierarchy.Place
	admin *hierarchy.Admin
	store *hierarchy.Store
}

func (w *world) newKey(ctx context.Context) (string, error) {
	out, err := w.keys.svc.CreateKey(ctx, account, &localkms.CreateKeyInput{})
	if err != nil {
		return "", err
	}
	return out.KeyMetadata.Arn, nil
}

func newWorld(ctx context.Context, dir string) (*world, error) {
	k, err := localkms.Open(dir, tenant.NewSecret(bytes.Repeat([]byte{1}, 32)))
	if err != nil {
		return nil, err
	}
	svc, err := localkms.NewService(k, silent{}, nil)
	if err != nil {
		return nil, err
	}
	w := &world{table: &table{items: map[[2]string]map[string]ddb.AttributeValue{}}, keys: &keys{svc: svc}}
	arn, err := w.newKey(ctx)
	if err != nil {
		return nil, err
	}
	w.place = hierarchy.Place{Table: "branch-keys", Name: "test-store", Key: arn}
	if w.admin, err = hierarchy.NewAdmin(w.table, w.keys, w.place); err != nil {
		return nil, err
	}
	w.store, err = hierarchy.NewStore(w.table, w.keys, w.place)
	return w, err
}

func testWorld(t testing.TB) *world {
	t.Helper()
	w, err := newWorld(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *world) disable(t testing.TB, off bool) {
	t.Helper()
	var err error
	if in := (&localkms.KeyInput{KeyID: w.place.Key}); off {
		_, err = w.keys.svc.DisableKey(t.Context(), account, in)
	} else {
		_, err = w.keys.svc.EnableKey(t.Context(), account, in)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func pairs(t testing.TB, kv ...string) kmsctx.Context {
	t.Helper()
	m := map[string]string{}
	for i := 0; i < len(kv); i += 2 {
		m[kv[i]] = kv[i+1]
	}
	c, err := kmsctx.NewContext(m)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func of(t testing.TB, id string) kmsctx.Context { t.Helper(); return pairs(t, "tenant", id) }

func create(t testing.TB, a *hierarchy.Admin, id string) hierarchy.Version {
	t.Helper()
	v, err := a.Create(t.Context(), id, of(t, id))
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func ring(t testing.TB, s *hierarchy.Store, branch hierarchy.Supplier, opts *hierarchy.Options) *hierarchy.Keyring {
	t.Helper()
	r, err := hierarchy.New(s, time.Minute, branch, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	return r
}

// always names one branch key whatever the context.
func always(id string) hierarchy.Supplier {
	return func(kmsctx.Context) (string, error) { return id, nil }
}

// only names one branch key, to those contexts that name it.
func only(id string) hierarchy.Supplier {
	return func(ec kmsctx.Context) (string, error) {
		if got, err := hierarchy.ByPair("tenant")(ec); err != nil || got != id {
			return "", errors.New("not this tenant's")
		}
		return id, nil
	}
}
