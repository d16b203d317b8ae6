package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"

	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/kms"

	"github.com/cloisterdev/cloister/kmsctx"
	"github.com/cloisterdev/cloister/kmsctx/awskms"
	"github.com/cloisterdev/cloister/kmsctx/localkms"
	"github.com/cloisterdev/cloister/tenant"
)

// keyArgs name a key: what --kms says, and what belongs to it.
type keyArgs struct {
	spec, root, name string
}

// keyring makes the keyring for messages of a context. Only a writer may add
// what a local store does not have yet.
func (a keyArgs) keyring(ctx context.Context, ec kmsctx.Context, writes bool) (kmsctx.Keyring, error) {
	kind, rest, ok := strings.Cut(a.spec, ":")
	if !ok || rest == "" {
		return nil, fmt.Errorf("%w: --kms is raw:FILE, local:DIR or aws:ARN", errUsage)
	}
	switch kind {
	case "raw":
		return rawKey(rest)
	case "local":
		return a.localKey(ctx, rest, ec, writes)
	case "aws":
		return awsKey(ctx, rest)
	}
	return nil, fmt.Errorf("%w: --kms is raw:FILE, local:DIR or aws:ARN, not %q", errUsage, kind)
}

// localKey opens a store and finds, or makes for a writer, the grant that is
// good for this context. A retired grant stays retired for readers.
func (a keyArgs) localKey(ctx context.Context, dir string, ec kmsctx.Context, writes bool) (kmsctx.Keyring, error) {
	path := a.root
	if path == "" {
		path = filepath.Join(filepath.Dir(filepath.Clean(dir)), "root.key")
	}
	root, err := rootKey(path)
	if err != nil {
		return nil, fmt.Errorf("the root key of %s: %w; --root-key names the file, 32 random bytes that nobody else reads", dir, err)
	}
	defer root.Destroy()
	if _, err := os.Stat(dir); err != nil && !writes {
		return nil, err
	}
	k, err := localkms.Open(dir, root)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", dir, err)
	}
	pairs := ec.Pairs()
	for _, g := range k.Grants() {
		if g.KeyID == a.name && maps.Equal(g.Subset, pairs) {
			return localkms.NewKeyring(k, g.ID)
		}
	}
	if !writes {
		return nil, fmt.Errorf("%w: key %q of %s has no grant for this context", kmsctx.ErrNotAuthorized, a.name, dir)
	}
	if err := k.EnsureKey(ctx, a.name); err != nil {
		return nil, fmt.Errorf("key %q: %w", a.name, err)
	}
	sum := sha256.Sum256(ec.Canonical())
	id, err := k.CreateGrant(ctx, a.name, "cloister-"+hex.EncodeToString(sum[:8]), pairs)
	if err != nil {
		return nil, fmt.Errorf("key %q: %w", a.name, err)
	}
	return localkms.NewKeyring(k, id)
}

// awsKey asks AWS KMS, or who speaks like it, with the configuration that all
// AWS tools have.
func awsKey(ctx context.Context, arn string) (kmsctx.Keyring, error) {
	var region string
	if f := strings.Split(arn, ":"); len(f) == 6 {
		region = f[3]
	}
	conf, err := config.LoadDefaultConfig(ctx, config.WithRegion(region))
	if err != nil {
		return nil, fmt.Errorf("AWS configuration: %w", err)
	}
	return awskms.New(kms.NewFromConfig(conf), arn, nil)
}

// rawKey reads a key file of the kind that the message format's raw AES
// keyrings are made of.
func rawKey(path string) (kmsctx.Keyring, error) {
	b, err := readSmall(path, 64<<10)
	if err != nil {
		return nil, err
	}
	defer clear(b)
	var k struct {
		Namespace string `json:"namespace"`
		Name      string `json:"name"`
		Key       []byte `json:"key"`
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(&k); err != nil {
		return nil, fmt.Errorf(`%s: want {"namespace": "...", "name": "...", "key": "32 bytes in base64"}`, path)
	}
	defer clear(k.Key)
	ring, err := kmsctx.NewRawAES(k.Namespace, k.Name, tenant.NewSecret(k.Key))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return ring, nil
}
