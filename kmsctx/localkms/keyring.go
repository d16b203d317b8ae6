package localkms

import (
	"context"
	"errors"

	"github.com/cloisterdev/cloister/kmsctx"
)

// Provider is the provider of this keyring's encrypted data keys.
const Provider = "cloister-localkms"

// Keyring makes and opens data keys with one key, under one grant. It is safe
// for concurrent use.
type Keyring struct {
	kms        *KMS
	key, grant string
}

// NewKeyring returns the keyring of a grant that [KMS.CreateGrant] made. A
// grant that is retired later stops it at the next call.
func NewKeyring(k *KMS, grant string) (*Keyring, error) {
	if k == nil {
		return nil, invalid("no key service")
	}
	s, err := k.current()
	if err != nil {
		return nil, err
	}
	g := s.Grants[grant]
	if g == nil || !g.capability() {
		return nil, ErrNotAuthorized
	}
	return &Keyring{k, g.KeyID, grant}, nil
}

func (r *Keyring) begin(ctx context.Context, ec kmsctx.Context) error {
	if ec.IsZero() {
		return kmsctx.ErrContext
	}
	return ctx.Err()
}

// GenerateDataKey implements [kmsctx.Keyring].
func (r *Keyring) GenerateDataKey(ctx context.Context, ec kmsctx.Context) (*kmsctx.DataKey, error) {
	if err := r.begin(ctx, ec); err != nil {
		return nil, err
	}
	plain, wrapped, err := r.kms.GenerateDataKey(ctx, r.grant, ec)
	if err != nil {
		return nil, err
	}
	return &kmsctx.DataKey{Plaintext: plain, Encrypted: []kmsctx.EncryptedDataKey{r.record(wrapped)}}, nil
}

// WrapDataKey implements [kmsctx.Wrapper].
func (r *Keyring) WrapDataKey(ctx context.Context, ec kmsctx.Context, plaintext []byte) ([]kmsctx.EncryptedDataKey, error) {
	if err := r.begin(ctx, ec); err != nil {
		return nil, err
	}
	if len(plaintext) != kmsctx.DataKeyLen {
		return nil, &kmsctx.Error{Op: "localkms", Kind: kmsctx.ErrMalformed, Err: errors.New("a data key has 32 bytes")}
	}
	wrapped, err := r.kms.Wrap(ctx, r.grant, ec, plaintext)
	if err != nil {
		return nil, err
	}
	return []kmsctx.EncryptedDataKey{r.record(wrapped)}, nil
}

// DecryptDataKey implements [kmsctx.Keyring].
func (r *Keyring) DecryptDataKey(ctx context.Context, ec kmsctx.Context, keys []kmsctx.EncryptedDataKey) (*kmsctx.DataKey, error) {
	if err := r.begin(ctx, ec); err != nil {
		return nil, err
	}
	var errs []error
	for _, k := range keys {
		if k.Provider != Provider || string(k.Info) != r.key {
			continue
		}
		plain, err := r.kms.Decrypt(ctx, r.grant, ec, k.Ciphertext)
		if err == nil {
			return &kmsctx.DataKey{Plaintext: plain}, nil
		}
		errs = append(errs, err)
	}
	return nil, &kmsctx.Error{Op: "localkms: Decrypt", Kind: kmsctx.ErrNoMatchingKey, KeyID: r.key, Err: errors.Join(errs...)}
}

func (r *Keyring) record(wrapped []byte) kmsctx.EncryptedDataKey {
	return kmsctx.EncryptedDataKey{Provider: Provider, Info: []byte(r.key), Ciphertext: wrapped}
}
