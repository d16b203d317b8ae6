package localkms_test

import (
	"errors"
	"testing"

	"github.com/cloisterdev/cloister/kmsctx"
	"github.com/cloisterdev/cloister/kmsctx/kmstest"
	"github.com/cloisterdev/cloister/kmsctx/localkms"
)

func keyring(t *testing.T, k *localkms.KMS, grant string) *localkms.Keyring {
	t.Helper()
	r, err := localkms.NewKeyring(k, grant)
	must(t, err)
	return r
}

func TestConformance(t *testing.T) {
	t.Parallel()
	kmstest.Run(t, func(t *testing.T) kmstest.Rings {
		k := open(t, t.TempDir())
		return kmstest.Rings{Ring: keyring(t, k, grant(t, k, "mine", "g", "tenant", "a")), Other: keyring(t, k, grant(t, k, "theirs", "g", "tenant", "b")),
			Context: ec(t, "tenant", "a", "purpose", "pages"), OtherContext: ec(t, "tenant", "b", "purpose", "pages")}
	})
}

func TestKeyringStops(t *testing.T) {
	t.Parallel()
	k, c := open(t, t.TempDir()), ec(t, "tenant", "a")
	g := grant(t, k, "key", "g", "tenant", "a")
	r := keyring(t, k, g)
	dk, err := r.GenerateDataKey(ctx, c)
	must(t, err)
	must(t, k.Rotate(ctx, "key"))
	if got, err := r.DecryptDataKey(ctx, c, dk.Encrypted); err != nil || string(got.Plaintext) != string(dk.Plaintext) {
		t.Errorf("after a rotation: %v", err)
	}
	must(t, k.SetDisabled(ctx, "key", true))
	if _, err := r.GenerateDataKey(ctx, c); !errors.Is(err, kmsctx.ErrKeyDisabled) {
		t.Errorf("disabled: %v", err)
	}
	_, err = r.DecryptDataKey(ctx, c, dk.Encrypted)
	if !errors.Is(err, kmsctx.ErrNoMatchingKey) || !errors.Is(err, kmsctx.ErrKeyDisabled) || !errors.Is(err, localkms.ErrKeyDisabled) {
		t.Errorf("disabled: %v", err)
	}
	must(t, k.SetDisabled(ctx, "key", false))
	must(t, k.RetireGrant(ctx, g))
	if _, err := r.DecryptDataKey(ctx, c, dk.Encrypted); !errors.Is(err, kmsctx.ErrNotAuthorized) {
		t.Errorf("retired: %v", err)
	}
	if _, err := localkms.NewKeyring(k, g); !errors.Is(err, localkms.ErrNotAuthorized) {
		t.Errorf("a keyring of a retired grant: %v", err)
	}
	if _, err := localkms.NewKeyring(nil, g); err == nil {
		t.Error("a keyring of no store")
	}
}
