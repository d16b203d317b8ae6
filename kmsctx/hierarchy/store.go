package hierarchy

import (
	"context"
	"maps"
	"regexp"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	ddb "github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"github.com/cloisterdev/cloister/kmsctx"
	"github.com/cloisterdev/cloister/tenant"
)

// ItemReader is what a [Store] needs of *dynamodb.Client.
type ItemReader interface {
	GetItem(context.Context, *dynamodb.GetItemInput, ...func(*dynamodb.Options)) (*dynamodb.GetItemOutput, error)
}

// Decrypter is what a [Store] needs of *kms.Client.
type Decrypter interface {
	Decrypt(context.Context, *kms.DecryptInput, ...func(*kms.Options)) (*kms.DecryptOutput, error)
}

// Place says where branch keys are kept and what wraps them.
type Place struct {
	// Table is the name of the DynamoDB table. Required.
	Table string
	// Name is the logical name of the key store. Every branch key is bound to
	// it, so it stays when the table is restored under another name; two tables
	// in use never share one. Required.
	Name string
	// Key is the whole ARN of the KMS key; an alias could be moved. Required.
	Key string
	// GrantTokens go with every call of KMS. They are seldom needed.
	GrantTokens []string
}

var (
	tableName = regexp.MustCompile(`^[A-Za-z0-9_.-]{3,255}$`)
	keyARN    = regexp.MustCompile(`^arn:aws[a-z-]{0,16}:kms:[a-z0-9-]{1,32}:[0-9]{12}:key/[A-Za-z0-9-]{1,64}$`)
	printable = regexp.MustCompile(`^[\x21-\x7e]{1,256}$`)
)

func (p Place) check(op string, clients bool) error {
	switch {
	case !clients:
		return fault(op, kmsctx.ErrMalformed, "it needs a client of DynamoDB and one of KMS")
	case !tableName.MatchString(p.Table) || !printable.MatchString(p.Name):
		return fault(op, kmsctx.ErrMalformed, "it needs a table and the logical name of the key store")
	case !keyARN.MatchString(p.Key):
		return fault(op, kmsctx.ErrMalformed, "the key is named by its whole ARN, arn:aws:kms:REGION:ACCOUNT:key/ID; an alias or ID is not accepted")
	}
	return nil
}

// get reads one item. It is a strongly consistent read: a version that another
// process has just made is there, and one that was removed is not.
func (p Place) get(ctx context.Context, items ItemReader, op, id, kind string) (item, error) {
	if !printable.MatchString(id) {
		return item{}, fault(op, kmsctx.ErrMalformed, "a branch key's ID has 1 to 256 printable ASCII characters")
	}
	if err := ctx.Err(); err != nil {
		return item{}, err
	}
	out, err := items.GetItem(ctx, &dynamodb.GetItemInput{TableName: aws.String(p.Table), ConsistentRead: aws.Bool(true),
		Key: map[string]ddb.AttributeValue{attrID: &ddb.AttributeValueMemberS{Value: id}, attrType: &ddb.AttributeValueMemberS{Value: kind}}})
	if err != nil {
		return item{}, mapped(ctx, op, id, err)
	}
	if len(out.Item) == 0 {
		return item{}, &kmsctx.Error{Op: "hierarchy: " + op, Kind: kmsctx.ErrKeyNotFound, KeyID: id}
	}
	i, why := parseItem(out.Item)
	switch {
	case why != "":
		return item{}, badItem(op, id, why)
	case i.id != id || i.kind != kind:
		return item{}, badItem(op, id, "it is another branch key or version than was asked for")
	case i.key != p.Key:
		return item{}, badItem(op, id, "another KMS key wraps it")
	}
	return i, nil
}

// BranchKey is an opened branch key. It belongs to whoever receives it, who
// calls Key.Destroy after use.
type BranchKey struct {
	ID      string
	Version Version
	Bound   map[string]string // the pairs that it was created with
	Key     tenant.Secret     // 32 bytes
}

// Store opens branch keys. Every call asks DynamoDB and KMS; [Keyring] keeps
// what it got.
type Store struct {
	items ItemReader
	keys  Decrypter
	at    Place
}

// NewStore returns the store at a place. It makes no call. What is missing or
// malformed it refuses with [kmsctx.ErrMalformed].
func NewStore(items ItemReader, keys Decrypter, at Place) (*Store, error) {
	if err := at.check("new store", items != nil && keys != nil); err != nil {
		return nil, err
	}
	return &Store{items, keys, at}, nil
}

// Active opens the version of a branch key that wraps new data keys.
func (s *Store) Active(ctx context.Context, id string) (*BranchKey, error) {
	return s.open(ctx, "active branch key", id, typeActive)
}

// Version opens one version of a branch key.
func (s *Store) Version(ctx context.Context, id string, v Version) (*BranchKey, error) {
	const op = "version of a branch key"
	if !v.valid() {
		return nil, fault(op, kmsctx.ErrMalformed, "it is not a version 4 UUID")
	}
	return s.open(ctx, op, id, typeVersion+v.String())
}

func (s *Store) open(ctx context.Context, op, id, kind string) (*BranchKey, error) {
	i, err := s.at.get(ctx, s.items, op, id, kind)
	if err != nil {
		return nil, err
	}
	out, err := s.keys.Decrypt(ctx, &kms.DecryptInput{KeyId: aws.String(s.at.Key), CiphertextBlob: i.enc, EncryptionContext: i.context(s.at.Name),
		GrantTokens: s.at.GrantTokens, EncryptionAlgorithm: types.EncryptionAlgorithmSpecSymmetricDefault})
	if err != nil {
		return nil, mapped(ctx, op, id, err)
	}
	if aws.ToString(out.KeyId) != s.at.Key || len(out.Plaintext) != branchKeyLen {
		clear(out.Plaintext)
		return nil, said(op, id, ErrAnswer)
	}
	return &BranchKey{ID: i.id, Version: i.version, Bound: maps.Clone(i.bound), Key: tenant.NewSecret(out.Plaintext)}, nil
}
