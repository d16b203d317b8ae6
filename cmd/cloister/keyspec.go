package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/kms"

	"github.com/cloisterdev/cloister/internal/strictjson"
	"github.com/cloisterdev/cloister/kmsctx"
	"github.com/cloisterdev/cloister/kmsctx/awskms"
	"github.com/cloisterdev/cloister/tenant"
)

// keyArgs name a key: what --kms says, and what belongs to it.
type keyArgs struct {
	spec, root, name string
	tokens           list
	withheld         []string // keys whose values stand in no log
	seals            bool     // what is sealed anew, any other key could seal
}

// check refuses what no key is named by. prefix is that of the flags.
func (a keyArgs) check(prefix string) error {
	kind, rest, ok := strings.Cut(a.spec, ":")
	switch {
	case !ok || rest == "" || !slices.Contains([]string{"raw", "local", "aws"}, kind):
		return fmt.Errorf("%w: %skms is raw:FILE, local:DIR or aws:ARN, not %q", errUsage, prefix, a.spec)
	case kind != "local" && (a.root != "" || a.name != ""):
		return fmt.Errorf("%w: %sroot-key and %[2]skey belong to %[2]skms local:DIR", errUsage, prefix)
	case kind != "aws" && len(a.tokens) > 0:
		return fmt.Errorf("%w: %sgrant-token belongs to %[2]skms aws:ARN", errUsage, prefix)
	case slices.Contains(a.tokens, ""):
		return fmt.Errorf("%w: %sgrant-token is empty", errUsage, prefix)
	}
	return nil
}

// keyring makes the keyring for messages of a context. Only a writer may add
// what a local store does not have yet.
func (a keyArgs) keyring(ctx context.Context, ec kmsctx.Context, writes bool) (kmsctx.Keyring, error) {
	switch kind, rest, _ := strings.Cut(a.spec, ":"); kind {
	case "raw":
		return rawKey(rest)
	case "local":
		return a.localKey(ctx, rest, ec, writes)
	default:
		return awsKey(ctx, rest, a.tokens)
	}
}

// awsKey asks AWS KMS, or who speaks like it, with the configuration that all
// AWS tools have.
func awsKey(ctx context.Context, arn string, tokens []string) (kmsctx.Keyring, error) {
	var region string
	if f := strings.Split(arn, ":"); len(f) == 6 {
		region = f[3]
	}
	conf, err := config.LoadDefaultConfig(ctx, config.WithRegion(region))
	if err != nil {
		return nil, fmt.Errorf("AWS configuration: %w", err)
	}
	ring, err := awskms.New(kms.NewFromConfig(conf), arn, nil)
	if err != nil {
		return nil, fmt.Errorf("aws:%s: %w; aws kms describe-key --key-id %s prints the ARN", arn, err, arn)
	}
	if len(tokens) == 0 {
		return ring, nil
	}
	g := granted{ring: ring}
	for _, t := range tokens {
		g.grants = append(g.grants, awskms.Grant{Token: t})
	}
	return g, nil
}

// granted names grants with every call of one keyring, and of no other: the old
// key's service is none of the new grant's business.
type granted struct {
	ring   *awskms.Keyring
	grants []awskms.Grant
}

// GenerateDataKey implements [kmsctx.Keyring].
func (g granted) GenerateDataKey(ctx context.Context, ec kmsctx.Context) (*kmsctx.DataKey, error) {
	return g.ring.GenerateDataKey(awskms.WithGrant(ctx, g.grants...), ec)
}

// DecryptDataKey implements [kmsctx.Keyring].
func (g granted) DecryptDataKey(ctx context.Context, ec kmsctx.Context, keys []kmsctx.EncryptedDataKey) (*kmsctx.DataKey, error) {
	return g.ring.DecryptDataKey(awskms.WithGrant(ctx, g.grants...), ec, keys)
}

// WrapDataKey implements [kmsctx.Wrapper].
func (g granted) WrapDataKey(ctx context.Context, ec kmsctx.Context, key []byte) ([]kmsctx.EncryptedDataKey, error) {
	return g.ring.WrapDataKey(awskms.WithGrant(ctx, g.grants...), ec, key)
}

// rawKey reads a key file of the kind that the message format's raw AES
// keyrings are made of.
func rawKey(path string) (kmsctx.Keyring, error) {
	b, err := readSecret(path, 64<<10)
	if err != nil {
		return nil, err
	}
	defer clear(b)
	var k rawKeyFile
	if err := strictjson.Decode(b, &k); err != nil {
		clear(k.Key)
		return nil, fmt.Errorf(`%s: %w: want {"namespace": "...", "name": "...", "key": "32 bytes in base64"}`, path, err)
	}
	if len(k.Key) != kmsctx.DataKeyLen {
		clear(k.Key)
		return nil, fmt.Errorf(`%s: "key" has %d bytes and needs %d, in base64, as head -c 32 /dev/urandom | base64 prints them`, path, len(k.Key), kmsctx.DataKeyLen)
	}
	key := tenant.NewSecret(k.Key) // which owns the bytes: to clear them is to seal with zeros
	ring, err := kmsctx.NewRawAES(k.Namespace, k.Name, key)
	if err != nil {
		key.Destroy()
		return nil, fmt.Errorf(`%s: "namespace" and "name" are the ones that all programs with this key use: %w`, path, err)
	}
	return ring, nil
}

type rawKeyFile struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	Key       []byte `json:"key"`
}
