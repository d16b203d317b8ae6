package hierarchy

import (
	"context"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	ddb "github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/kms"

	"github.com/cloisterdev/cloister/kmsctx"
)

// ItemWriter is what an [Admin] needs of *dynamodb.Client.
type ItemWriter interface {
	ItemReader
	TransactWriteItems(context.Context, *dynamodb.TransactWriteItemsInput, ...func(*dynamodb.Options)) (*dynamodb.TransactWriteItemsOutput, error)
}

// KeyMaker is what an [Admin] needs of *kms.Client. Neither call shows a
// plaintext key.
type KeyMaker interface {
	GenerateDataKeyWithoutPlaintext(context.Context, *kms.GenerateDataKeyWithoutPlaintextInput, ...func(*kms.Options)) (*kms.GenerateDataKeyWithoutPlaintextOutput, error)
	ReEncrypt(context.Context, *kms.ReEncryptInput, ...func(*kms.Options)) (*kms.ReEncryptOutput, error)
}

// Admin creates and rotates branch keys. It never sees one in plaintext.
type Admin struct {
	items ItemWriter
	keys  KeyMaker
	at    Place
}

// NewAdmin returns the administration of the branch keys at a place. It makes no
// call. What is missing or malformed it refuses with [kmsctx.ErrMalformed].
func NewAdmin(items ItemWriter, keys KeyMaker, at Place) (*Admin, error) {
	if err := at.check("new admin", items != nil && keys != nil); err != nil {
		return nil, err
	}
	return &Admin{items, keys, at}, nil
}

// Create makes a branch key, and the beacon key that the format demands beside
// it. The pairs of bound are authenticated with every version of it, can never
// be changed, and must be in the context of every message that it is for: a
// tenant's branch key is bound to the tenant. The ID and bound are readable in
// the table and in CloudTrail.
//
// Refusals: [ErrExists]; [kmsctx.ErrContext] for a context without pairs.
func (a *Admin) Create(ctx context.Context, id string, bound kmsctx.Context) (Version, error) {
	const op = "create branch key"
	if !printable.MatchString(id) {
		return Version{}, fault(op, kmsctx.ErrMalformed, "a branch key's ID has 1 to 256 printable ASCII characters")
	}
	if bound.IsZero() || len(bound.Pairs()) == 0 {
		return Version{}, fault(op, kmsctx.ErrContext, "a branch key is bound to the context of its tenant")
	}
	i := item{id: id, bound: bound.Pairs(), key: a.at.Key}
	kept, active, err := a.wrapped(ctx, op, i)
	if err != nil {
		return Version{}, err
	}
	i.created = kept.created
	beacon := i.beacon()
	if beacon.enc, err = a.generate(ctx, op, beacon); err != nil {
		return Version{}, err
	}
	err = a.write(ctx, op, ErrExists, a.putNew(kept), a.putNew(active), a.putNew(beacon))
	if err != nil {
		return Version{}, err
	}
	return kept.version, nil
}

// Rotate makes a new version of a branch key and makes it the active one; older
// versions open what they wrapped. Keyrings that hold the old one wrap with it
// until its time to live is over. The active item is authenticated by KMS
// before anything is made of it, and the pairs that it is bound to stay.
//
// Refusals: [kmsctx.ErrKeyNotFound], [ErrItem], [kmsctx.ErrInvalidCiphertext]
// for an item that was altered, [ErrChanged].
func (a *Admin) Rotate(ctx context.Context, id string) (Version, error) {
	const op = "rotate branch key"
	old, err := a.at.get(ctx, a.items, op, id, typeActive)
	if err != nil {
		return Version{}, err
	}
	if _, err := a.reEncrypt(ctx, op, old, old); err != nil {
		return Version{}, err
	}
	kept, active, err := a.wrapped(ctx, op, item{id: id, bound: old.bound, key: a.at.Key})
	if err != nil {
		return Version{}, err
	}
	swap := a.put(active, "attribute_exists(#id) AND enc = :old")
	swap.Put.ExpressionAttributeValues = map[string]ddb.AttributeValue{":old": &ddb.AttributeValueMemberB{Value: old.enc}}
	if err := a.write(ctx, op, ErrChanged, a.putNew(kept), swap); err != nil {
		return Version{}, err
	}
	return kept.version, nil
}

// wrapped makes a new version of a branch key, in both its forms.
func (a *Admin) wrapped(ctx context.Context, op string, i item) (kept, active item, err error) {
	i.version, i.created = newVersion(), time.Now().UTC().Format(createTime)
	kept, active = i.kept(), i.active()
	if kept.enc, err = a.generate(ctx, op, kept); err != nil {
		return item{}, item{}, err
	}
	active.enc, err = a.reEncrypt(ctx, op, kept, active)
	return kept, active, err
}

func (a *Admin) generate(ctx context.Context, op string, i item) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	out, err := a.keys.GenerateDataKeyWithoutPlaintext(ctx, &kms.GenerateDataKeyWithoutPlaintextInput{KeyId: aws.String(a.at.Key),
		NumberOfBytes: aws.Int32(branchKeyLen), EncryptionContext: i.context(a.at.Name), GrantTokens: a.at.GrantTokens})
	if err != nil {
		return nil, mapped(ctx, op, i.id, err)
	}
	if aws.ToString(out.KeyId) != a.at.Key || len(out.CiphertextBlob) == 0 {
		return nil, said(op, i.id, ErrAnswer)
	}
	return out.CiphertextBlob, nil
}

func (a *Admin) reEncrypt(ctx context.Context, op string, from, to item) ([]byte, error) {
	out, err := a.keys.ReEncrypt(ctx, &kms.ReEncryptInput{CiphertextBlob: from.enc, GrantTokens: a.at.GrantTokens,
		SourceKeyId: aws.String(a.at.Key), SourceEncryptionContext: from.context(a.at.Name),
		DestinationKeyId: aws.String(a.at.Key), DestinationEncryptionContext: to.context(a.at.Name)})
	if err != nil {
		return nil, mapped(ctx, op, from.id, err)
	}
	if aws.ToString(out.KeyId) != a.at.Key || aws.ToString(out.SourceKeyId) != a.at.Key || len(out.CiphertextBlob) == 0 {
		return nil, said(op, from.id, ErrAnswer)
	}
	return out.CiphertextBlob, nil
}

// The name of the attribute has hyphens, which an expression cannot have.
var idName = map[string]string{"#id": attrID}

func (a *Admin) put(i item, condition string) ddb.TransactWriteItem {
	return ddb.TransactWriteItem{Put: &ddb.Put{TableName: aws.String(a.at.Table), Item: i.attributes(),
		ConditionExpression: aws.String(condition), ExpressionAttributeNames: idName}}
}

func (a *Admin) putNew(i item) ddb.TransactWriteItem { return a.put(i, "attribute_not_exists(#id)") }

func (a *Admin) write(ctx context.Context, op string, unmet error, puts ...ddb.TransactWriteItem) error {
	id := puts[0].Put.Item[attrID].(*ddb.AttributeValueMemberS).Value
	if _, err := a.items.TransactWriteItems(ctx, &dynamodb.TransactWriteItemsInput{TransactItems: puts}); err != nil {
		return written(ctx, op, id, err, unmet)
	}
	return nil
}
