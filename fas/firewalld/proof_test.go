package firewalld_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/cloisterdev/cloister/fas/firewalld"
	"github.com/cloisterdev/cloister/fas/httpsig"
	"github.com/cloisterdev/cloister/tenant"
)

// A key becomes a user's by that key's signature for that user, and by nothing
// else; who does not hold it learns nothing about it.
func TestKeysAreProved(t *testing.T) {
	t.Parallel()
	w := newRegistered(t)
	key, private, err := ed25519.GenerateKey(nil)
	w.ok(err)
	_, gus, err := ed25519.GenerateKey(nil)
	w.ok(err)
	prove := func(k ed25519.PrivateKey, id tenant.ID, u tenant.UserID) []byte {
		proof, err := firewalld.ProvePublicKey(k, id, u)
		w.ok(err)
		return proof
	}
	anns := prove(private, w.acme, w.ann)
	flipped := bytes.Clone(anns)
	flipped[0] ^= 1
	// What the key signs every day proves nothing.
	r, err := http.NewRequest(http.MethodPost, "https://api.example.com/ListCustomizations", http.NoBody)
	w.ok(err)
	var call keeper
	w.ok(httpsig.SignRequest(r, nil, httpsig.Key{ID: "k", Private: &signer{private, &call}}, time.Now()))
	bad := []struct {
		name   string
		tenant tenant.ID
		user   tenant.UserID
		proof  []byte
	}{
		{"no proof", w.glob, w.gus, nil},
		{"another key's", w.glob, w.gus, prove(gus, w.glob, w.gus)},
		{"the owner's own", w.glob, w.gus, anns},
		{"for another tenant", w.glob, w.gus, prove(private, w.acme, w.gus)},
		{"for another user", w.acme, w.ann, prove(private, w.acme, w.gus)},
		{"flipped", w.acme, w.ann, flipped},
		{"cut", w.acme, w.ann, anns[:63]},
		{"longer", w.acme, w.ann, append(bytes.Clone(anns), 0)},
		{"of a call", w.acme, w.ann, call.signature},
		{"without the words", w.acme, w.ann, ed25519.Sign(private, fmt.Appendf(nil, "%s\n%s\n%x\n", w.acme, w.ann, []byte(key)))},
	}
	try := func(when string) {
		t.Helper()
		for _, c := range bad {
			if id, err := firewalld.AddPublicKey(w.dir, w.root, c.tenant, c.user, key, c.proof); !errors.Is(err, firewalld.ErrProof) || id != "" {
				t.Errorf("%s, %s: %q, %v", c.name, when, id, err)
			}
		}
	}
	try("while it is free")
	files, err := filepath.Glob(filepath.Join(w.dir, "identities", "ed-*"))
	if err != nil || len(files) != 0 {
		t.Errorf("something was kept: %v, %v", files, err)
	}
	// As the documentation says, by hand.
	proof := ed25519.Sign(private, fmt.Appendf(nil, "cloister public key\n%s\n%s\n%x\n", w.acme, w.ann, []byte(key)))
	id, err := firewalld.AddPublicKey(w.dir, w.root, w.acme, w.ann, key, proof)
	w.ok(err)
	try("while it is taken")
	if who, _, ok := w.d.LookupPublic(id); !ok || who.Tenant != w.acme || who.User != w.ann {
		t.Errorf("the key is %v's", who)
	}
	if _, err := os.Stat(filepath.Join(w.dir, "identities", id)); err != nil {
		t.Error(err)
	}
}

// keeper keeps what a key signed.
type keeper struct{ signature []byte }

type signer struct {
	crypto.Signer
	to *keeper
}

func (s *signer) Sign(r io.Reader, m []byte, o crypto.SignerOpts) (sig []byte, err error) {
	s.to.signature, err = s.Signer.Sign(r, m, o)
	return s.to.signature, err
}

var errDevice = errors.New("the device was removed")

// broken is a device that says which key it has and signs nothing.
type broken struct{ public crypto.PublicKey }

func (b broken) Public() crypto.PublicKey { return b.public }

func (broken) Sign(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) { return nil, errDevice }

func TestProvePublicKeyRefuses(t *testing.T) {
	t.Parallel()
	key, _, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		key  crypto.Signer
		want error
	}{
		{"no key", nil, firewalld.ErrBadKey},
		{"another kind", ec, firewalld.ErrBadKey},
		{"a key for which anybody signs", broken{make(ed25519.PublicKey, 32)}, firewalld.ErrBadKey},
		{"a device without its key", broken{key}, errDevice},
	} {
		if proof, err := firewalld.ProvePublicKey(c.key, tenant.NewID(), tenant.NewUserID()); !errors.Is(err, c.want) || proof != nil {
			t.Errorf("%s: %x, %v", c.name, proof, err)
		}
	}
}
