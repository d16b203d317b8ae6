package firewalld

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base32"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/cloisterdev/cloister/fas"
	"github.com/cloisterdev/cloister/internal/durable"
	"github.com/cloisterdev/cloister/internal/filelock"
	"github.com/cloisterdev/cloister/internal/weakkey"
	"github.com/cloisterdev/cloister/tenant"
)

// Errors of what a tenant registers besides access keys.
var (
	// ErrTaken reports a key or an issuer that is registered already, for
	// whomever.
	ErrTaken = errors.New("firewalld: registered already")
	// ErrNoUser reports a user that is not the tenant's.
	ErrNoUser = errors.New("firewalld: no such user of this tenant")
	// ErrBadKey reports what is no Ed25519 public key, or one that anybody can
	// sign with.
	ErrBadKey = errors.New("firewalld: not a public key")
)

// publicKey is the sealed file of a registered key.
type publicKey struct {
	Tenant tenant.ID         `json:"tenant"`
	User   tenant.UserID     `json:"user"`
	Key    ed25519.PublicKey `json:"key"`
}

var publicKeyID = regexp.MustCompile(`^ed-[a-z2-7]{26}$`)

// PublicKeyID is the id under which a key is registered: it follows from the
// key.
func PublicKeyID(key ed25519.PublicKey) string {
	sum := sha256.Sum256(key)
	return "ed-" + strings.ToLower(base32.StdEncoding.EncodeToString(sum[:]))[:26]
}

// AddPublicKey registers a user's key for HTTP message signatures and returns
// its id. The proof is what [ProvePublicKey] returned to the user: whoever could
// register the key of another would be taken for the owner of the other's calls,
// and of what they upload. Without it the answer is [ErrProof], and does not say
// whether somebody has the key. A key has one owner: one that another user has is
// [ErrTaken]; for its own user it is harmless to register it again.
func AddPublicKey(dir string, root tenant.Secret, t tenant.ID, u tenant.UserID, key ed25519.PublicKey, proof []byte) (id string, err error) {
	if weakkey.Ed25519(key) {
		return "", ErrBadKey
	}
	if !ed25519.Verify(key, proofText(key, t, u), proof) {
		return "", ErrProof
	}
	v, unlock, err := lockVault(dir, root)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	if err := v.userOf(t, u); err != nil {
		return "", err
	}
	id = PublicKeyID(key)
	path := filepath.Join(dir, "identities", id)
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		if k, err := v.publicKey(id); err == nil && k.Tenant == t && k.User == u {
			// An earlier call may have been cut off before it was durable.
			return id, durable.SyncDir(filepath.Dir(path))
		}
		return "", errors.Join(ErrTaken, err)
	}
	return id, v.put(path, id, publicKey{t, u, key})
}

// RemovePublicKey ends the use of a tenant's key with the next call. One that is
// not the tenant's is [ErrNoUser].
func RemovePublicKey(dir string, root tenant.Secret, t tenant.ID, id string) (err error) {
	v, unlock, err := lockVault(dir, root)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	k, err := v.publicKey(id)
	if err != nil {
		// It may be one whose removal was cut off before it was durable.
		return errors.Join(ErrNoUser, durable.SyncDir(filepath.Join(dir, "identities")))
	}
	if k.Tenant != t {
		return ErrNoUser
	}
	return durable.Remove(filepath.Join(dir, "identities", id))
}

// lockVault opens the directory for one change at a time, in whatever process.
func lockVault(dir string, root tenant.Secret) (*vault, func() error, error) {
	v, err := openVault(dir, root)
	if err != nil {
		return nil, nil, err
	}
	unlock, err := filelock.Lock(dir)
	return v, unlock, err
}

func (v *vault) userOf(t tenant.ID, u tenant.UserID) error {
	var p person
	if err := v.get(filepath.Join(v.dir, "identities", u.String()), u.String(), &p); err != nil || p.Tenant != t {
		return fmt.Errorf("%w: %s", ErrNoUser, u)
	}
	return nil
}

func (v *vault) publicKey(id string) (k publicKey, err error) {
	if !publicKeyID.MatchString(id) {
		return k, ErrBadKey
	}
	err = v.get(filepath.Join(v.dir, "identities", id), id, &k)
	if err == nil && PublicKeyID(k.Key) != id {
		err = ErrBadKey
	}
	return k, err
}

// Directory finds whom keys and tokens belong to, as it stands on the disk at
// each call: what was removed counts no more. It is safe for concurrent use.
type Directory struct{ v *vault }

// OpenDirectory opens the directory of a firewall for the verifiers of its
// further schemes. It makes nothing: a directory that is not there is refused
// with [os.ErrNotExist], and so is what is no directory, and a root key that is
// not 32 bytes. One without tenants yet is accepted, and so is any root key of
// that length: under another than the firewall's nobody is found.
func OpenDirectory(dir string, root tenant.Secret) (*Directory, error) {
	if i, err := os.Stat(dir); err != nil {
		return nil, fmt.Errorf("firewalld: the firewall's directory: %w", err)
	} else if !i.IsDir() {
		return nil, errors.New("firewalld: the firewall's directory is a file")
	}
	v, err := vaultIn(dir, root)
	if err != nil {
		return nil, err
	}
	return &Directory{v}, nil
}

// LookupPublic implements [fas.PublicKeys].
func (d *Directory) LookupPublic(id string) (fas.Identity, ed25519.PublicKey, bool) {
	k, err := d.v.publicKey(id)
	if err != nil {
		return fas.Identity{}, nil, false
	}
	return fas.Identity{Tenant: k.Tenant, User: k.User}, k.Key, true
}

// Issuer returns the tenant whose tokens an issuer gives out with an audience,
// and what the tenant said about it.
func (d *Directory) Issuer(url, audience string) (tenant.ID, Issuer, bool) {
	name := issuerName(url, audience)
	var id tenant.ID
	if err := d.v.get(filepath.Join(d.v.dir, "issuers", name), name, &id); err != nil {
		return tenant.ID{}, Issuer{}, false
	}
	i, err := d.issuer(id)
	if err != nil || i.URL != url || i.Audience != audience {
		return tenant.ID{}, Issuer{}, false
	}
	return id, i, true
}

func (d *Directory) issuer(id tenant.ID) (Issuer, error) {
	var t Tenant
	if err := d.v.get(d.v.tenantPath(id), id.String(), &t); err != nil {
		return Issuer{}, noTenant(id, err)
	}
	if t.Issuer == nil {
		return Issuer{}, ErrNoUser
	}
	return *t.Issuer, nil
}

// Subject returns the user that a subject of the tenant's issuer is, or
// [ErrNoUser].
func (d *Directory) Subject(_ context.Context, id tenant.ID, url, subject string) (tenant.UserID, error) {
	i, err := d.issuer(id)
	if err != nil {
		return tenant.UserID{}, err
	}
	u, ok := i.Subjects[subject]
	if !ok || i.URL != url {
		return tenant.UserID{}, ErrNoUser
	}
	return u, nil
}

// Registered reports whether a key of this thumbprint is the user's, for tokens
// that name none.
func (d *Directory) Registered(_ context.Context, id tenant.ID, u tenant.UserID, thumbprint [32]byte) (bool, error) {
	i, err := d.issuer(id)
	if err != nil {
		return false, err
	}
	owner, ok := i.Keys[hex.EncodeToString(thumbprint[:])]
	return ok && owner == u && !u.IsZero(), nil
}
