// Command kmsctx seals data for one tenant with a key service, and tries to
// open it as another.
package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log"
	"os"

	"github.com/cloisterdev/cloister/kmsctx"
	"github.com/cloisterdev/cloister/kmsctx/localkms"
	"github.com/cloisterdev/cloister/tenant"
)

// ring takes data keys from the key service, under one grant.
type ring struct {
	kms   *localkms.KMS
	grant string
}

func (r ring) GenerateDataKey(ctx context.Context, ec kmsctx.Context) (*kmsctx.DataKey, error) {
	plain, wrapped, err := r.kms.GenerateDataKey(ctx, r.grant, ec)
	return &kmsctx.DataKey{Plaintext: plain, Encrypted: []kmsctx.EncryptedDataKey{{Provider: "local", Ciphertext: wrapped}}}, err
}

func (r ring) DecryptDataKey(ctx context.Context, ec kmsctx.Context, keys []kmsctx.EncryptedDataKey) (*kmsctx.DataKey, error) {
	plain, err := r.kms.Decrypt(ctx, r.grant, ec, keys[0].Ciphertext)
	return &kmsctx.DataKey{Plaintext: plain}, err
}

func main() {
	if err := run(context.Background()); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context) error {
	dir, err := os.MkdirTemp("", "kmsctx-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	root := make([]byte, 32)
	_, _ = rand.Read(root) // never fails
	kms, err := localkms.Open(dir, tenant.NewSecret(root))
	if err != nil {
		return err
	}
	pairs := map[string]string{"tenant": tenant.NewID().String()}
	if err := kms.EnsureKey(ctx, "key"); err != nil {
		return err
	}
	grant, err := kms.CreateGrant(ctx, "key", "quickstart", pairs) // for this tenant only
	if err != nil {
		return err
	}
	mine, err1 := kmsctx.NewContext(pairs)
	theirs, err2 := kmsctx.NewContext(map[string]string{"tenant": tenant.NewID().String()})
	env, err3 := kmsctx.New(ring{kms, grant}, nil)
	if err := errors.Join(err1, err2, err3); err != nil {
		return err
	}
	sealed, err := env.Seal(ctx, nil, []byte("func main() {}"), mine)
	if err != nil {
		return err
	}
	_, opens := env.Open(ctx, nil, sealed, theirs)
	_, seals := env.Seal(ctx, nil, []byte("x"), theirs)
	if !errors.Is(opens, kmsctx.ErrContextMismatch) || !errors.Is(seals, localkms.ErrNotAuthorized) {
		return fmt.Errorf("another tenant: %w, %w", opens, seals)
	}
	fmt.Println("refused: opening as another tenant, and a key for another tenant")
	plain, err := env.Open(ctx, nil, sealed, mine)
	fmt.Printf("opened: %s\n", plain)
	return err
}
