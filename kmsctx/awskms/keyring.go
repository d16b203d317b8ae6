package awskms

import (
	"context"
	"errors"
	"regexp"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"github.com/cloisterdev/cloister/kmsctx"
)

// Provider is the provider of this keyring's encrypted data keys, the same as
// the official Encryption SDKs'.
const Provider = "aws-kms"

// API is what a keyring needs of *kms.Client.
type API interface {
	GenerateDataKey(context.Context, *kms.GenerateDataKeyInput, ...func(*kms.Options)) (*kms.GenerateDataKeyOutput, error)
	Decrypt(context.Context, *kms.DecryptInput, ...func(*kms.Options)) (*kms.DecryptOutput, error)
	Encrypt(context.Context, *kms.EncryptInput, ...func(*kms.Options)) (*kms.EncryptOutput, error)
}

// Options changes what a keyring opens. The zero value is the safe one.
type Options struct {
	// MultiRegion opens what a replica of this key in another region made. It
	// counts for multi-Region keys only, whose IDs start with "mrk-"; partition,
	// account and ID must still be the same.
	MultiRegion bool
}

// Keyring makes and opens data keys with one KMS key.
type Keyring struct {
	api API
	key arn
	o   Options
}

var keyARN = regexp.MustCompile(`^(arn:aws[a-z-]{0,16}:kms):([a-z0-9-]{1,32}):([0-9]{12}:key/[A-Za-z0-9-]{1,64})$`)

// arn is a key's ARN, split around its region.
type arn struct{ service, region, key string }

func (a arn) String() string { return a.service + ":" + a.region + ":" + a.key }

func (a arn) multiRegion() bool { return strings.Contains(a.key, ":key/mrk-") }

func parseARN(s string) (arn, bool) {
	m := keyARN.FindStringSubmatch(s)
	if m == nil {
		return arn{}, false
	}
	return arn{m[1], m[2], m[3]}, true
}

// New returns the keyring of the key with that ARN. It makes no call.
func New(api API, key string, opts *Options) (*Keyring, error) {
	if api == nil {
		return nil, &kmsctx.Error{Op: "awskms", Kind: kmsctx.ErrMalformed, Err: errors.New("no client")}
	}
	a, ok := parseARN(key)
	if !ok {
		return nil, &kmsctx.Error{Op: "awskms", Kind: kmsctx.ErrMalformed, Err: errors.New("a key is named by its whole ARN, arn:aws:kms:REGION:ACCOUNT:key/ID; an alias or ID is not accepted")}
	}
	r := &Keyring{api: api, key: a}
	if opts != nil {
		r.o = *opts
	}
	return r, nil
}

func begin(ctx context.Context, op string, ec kmsctx.Context) error {
	if ec.IsZero() {
		return &kmsctx.Error{Op: op, Kind: kmsctx.ErrContext}
	}
	return ctx.Err()
}

// GenerateDataKey implements [kmsctx.Keyring].
func (r *Keyring) GenerateDataKey(ctx context.Context, ec kmsctx.Context) (*kmsctx.DataKey, error) {
	const op = "awskms: GenerateDataKey"
	if err := begin(ctx, op, ec); err != nil {
		return nil, err
	}
	out, err := r.api.GenerateDataKey(ctx, r.generate(ctx, ec))
	if err != nil {
		return nil, r.failed(ctx, op, err)
	}
	if aws.ToString(out.KeyId) != r.key.String() || len(out.Plaintext) != kmsctx.DataKeyLen || len(out.CiphertextBlob) == 0 {
		clear(out.Plaintext)
		return nil, r.answer(op)
	}
	return &kmsctx.DataKey{Plaintext: out.Plaintext, Encrypted: []kmsctx.EncryptedDataKey{r.record(out.CiphertextBlob)}}, nil
}

func (r *Keyring) generate(ctx context.Context, ec kmsctx.Context) *kms.GenerateDataKeyInput {
	return &kms.GenerateDataKeyInput{KeyId: aws.String(r.key.String()), NumberOfBytes: aws.Int32(kmsctx.DataKeyLen),
		EncryptionContext: ec.Pairs(), GrantTokens: tokens(ctx)}
}

func (r *Keyring) record(blob []byte) kmsctx.EncryptedDataKey {
	return kmsctx.EncryptedDataKey{Provider: Provider, Info: []byte(r.key.String()), Ciphertext: blob}
}

// WrapDataKey implements [kmsctx.Wrapper] with Encrypt.
func (r *Keyring) WrapDataKey(ctx context.Context, ec kmsctx.Context, plaintext []byte) ([]kmsctx.EncryptedDataKey, error) {
	const op = "awskms: Encrypt"
	if len(plaintext) != kmsctx.DataKeyLen {
		return nil, &kmsctx.Error{Op: op, Kind: kmsctx.ErrMalformed, Err: errors.New("a data key has 32 bytes")}
	}
	if err := begin(ctx, op, ec); err != nil {
		return nil, err
	}
	out, err := r.api.Encrypt(ctx, &kms.EncryptInput{KeyId: aws.String(r.key.String()), Plaintext: plaintext,
		EncryptionContext: ec.Pairs(), GrantTokens: tokens(ctx)})
	if err != nil {
		return nil, r.failed(ctx, op, err)
	}
	if aws.ToString(out.KeyId) != r.key.String() || len(out.CiphertextBlob) == 0 {
		return nil, r.answer(op)
	}
	return []kmsctx.EncryptedDataKey{r.record(out.CiphertextBlob)}, nil
}

// DecryptDataKey implements [kmsctx.Keyring]. Its error has what was said of
// each record of this key.
func (r *Keyring) DecryptDataKey(ctx context.Context, ec kmsctx.Context, keys []kmsctx.EncryptedDataKey) (*kmsctx.DataKey, error) {
	const op = "awskms: Decrypt"
	if err := begin(ctx, op, ec); err != nil {
		return nil, err
	}
	var said []error
	for _, k := range keys {
		if !r.opens(k) {
			continue
		}
		out, err := r.api.Decrypt(ctx, r.decrypt(ctx, ec, k))
		if err != nil {
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			said = append(said, refusal(ctx, err))
			continue
		}
		if aws.ToString(out.KeyId) == r.key.String() && len(out.Plaintext) == kmsctx.DataKeyLen {
			return &kmsctx.DataKey{Plaintext: out.Plaintext}, nil
		}
		clear(out.Plaintext)
		said = append(said, ErrAnswer)
	}
	return nil, r.noMatch(op, said)
}

func (r *Keyring) decrypt(ctx context.Context, ec kmsctx.Context, k kmsctx.EncryptedDataKey) *kms.DecryptInput {
	return &kms.DecryptInput{KeyId: aws.String(r.key.String()), CiphertextBlob: k.Ciphertext,
		EncryptionContext: ec.Pairs(), GrantTokens: tokens(ctx), EncryptionAlgorithm: types.EncryptionAlgorithmSpecSymmetricDefault}
}

// opens reports whether a record names this key.
func (r *Keyring) opens(k kmsctx.EncryptedDataKey) bool {
	if k.Provider != Provider || len(k.Ciphertext) == 0 {
		return false
	}
	if string(k.Info) == r.key.String() {
		return true
	}
	a, ok := parseARN(string(k.Info))
	return ok && r.o.MultiRegion && r.key.multiRegion() && a.service == r.key.service && a.key == r.key.key
}
