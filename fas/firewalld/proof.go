package firewalld

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"

	"github.com/cloisterdev/cloister/internal/weakkey"
	"github.com/cloisterdev/cloister/tenant"
)

// ErrProof reports a key that did not sign for the user whom it is to belong to.
var ErrProof = errors.New("firewalld: no proof that the user holds the private key")

// ProvePublicKey makes the proof that [AddPublicKey] demands. It runs where the
// private key is, which may be a device. A key that is not of Ed25519 is
// [ErrBadKey]; the key's own errors are returned.
//
// The proof is the key's plain Ed25519 signature (RFC 8032) over four lines, each
// with its line feed: the words "cloister public key", the tenant, the user, and
// the public key in lower-case hexadecimal. It is no secret, and it makes the key
// this user's and nobody else's, as often as the key is added.
func ProvePublicKey(key crypto.Signer, t tenant.ID, u tenant.UserID) ([]byte, error) {
	if key == nil {
		return nil, ErrBadKey
	}
	public, ok := key.Public().(ed25519.PublicKey)
	if !ok || weakkey.Ed25519(public) {
		return nil, ErrBadKey
	}
	return key.Sign(rand.Reader, proofText(public, t, u), crypto.Hash(0))
}

// proofText begins as no signature base of HTTP does, whose lines begin with a
// quotation mark: neither signature serves as the other.
func proofText(key ed25519.PublicKey, t tenant.ID, u tenant.UserID) []byte {
	return fmt.Appendf(nil, "cloister public key\n%s\n%s\n%x\n", t, u, []byte(key))
}
