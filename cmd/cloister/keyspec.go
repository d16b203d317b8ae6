package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/cloisterdev/cloister/kmsctx"
	"github.com/cloisterdev/cloister/tenant"
)

// keyArgs name a key: what --kms says, and what belongs to it.
type keyArgs struct {
	spec, root, name string
}

func (a keyArgs) keyring(ctx context.Context) (kmsctx.Keyring, error) {
	kind, rest, ok := strings.Cut(a.spec, ":")
	if !ok || rest == "" {
		return nil, fmt.Errorf("%w: --kms is raw:FILE, local:DIR or aws:ARN", errUsage)
	}
	switch kind {
	case "raw":
		return rawKey(rest)
	}
	return nil, fmt.Errorf("%w: --kms is raw:FILE, local:DIR or aws:ARN, not %s:", errUsage, kind)
}

// rawKey reads a key file of the kind that the message format's raw AES
// keyrings are made of.
func rawKey(path string) (kmsctx.Keyring, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, 64<<10))
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
	ring, err := kmsctx.NewRawAES(k.Namespace, k.Name, tenant.NewSecret(k.Key))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return ring, nil
}
