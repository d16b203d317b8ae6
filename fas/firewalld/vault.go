package firewalld

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/cloisterdev/cloister/fas"
	"github.com/cloisterdev/cloister/internal/durable"
	"github.com/cloisterdev/cloister/tenant"
)

// vault seals small values under a key derived from the root key.
type vault struct {
	dir  string
	aead cipher.AEAD
}

// openVault opens, or makes, the directory.
func openVault(dir string, root tenant.Secret) (*vault, error) {
	for _, d := range []string{dir, filepath.Join(dir, "identities"), filepath.Join(dir, "tenants")} {
		if err := durable.MkdirAll(d, 0o700); err != nil {
			return nil, err
		}
	}
	return vaultIn(dir, root)
}

// vaultIn is a vault of a directory as it is.
func vaultIn(dir string, root tenant.Secret) (*vault, error) {
	v := &vault{dir: dir}
	err := root.Use(func(b []byte) error {
		if len(b) != 32 {
			return errors.New("firewalld: the root key has 32 bytes")
		}
		key, err := hkdf.Key(sha256.New, b, nil, "cloister/firewalld/vault", 32)
		if err != nil {
			return err
		}
		defer clear(key)
		block, err := aes.NewCipher(key)
		if err != nil {
			return err
		}
		v.aead, err = cipher.NewGCMWithRandomNonce(block)
		return err
	})
	return v, err
}

func (v *vault) put(path, name string, x any) error {
	b, err := json.Marshal(x)
	if err != nil {
		return err
	}
	defer clear(b)
	return durable.Replace(path, v.aead.Seal(nil, nil, b, []byte(name)), 0o600)
}

func (v *vault) get(path, name string, x any) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	plain, err := v.aead.Open(nil, nil, b, []byte(name))
	if err != nil {
		return fmt.Errorf("firewalld: %s does not open under this root key", name)
	}
	defer clear(plain)
	return json.Unmarshal(plain, x)
}

// once reads a value, or makes and keeps it.
func (v *vault) once(name string, x any, make func() any) error {
	path := filepath.Join(v.dir, name+".sealed")
	err := v.get(path, name, x)
	if !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if err := v.put(path, name, make()); err != nil {
		return err
	}
	return v.get(path, name, x)
}

// identity is the sealed file of one access key.
type identity struct {
	person
	Secret []byte `json:"secret"`
}

// person is what most readers of an identity need: a secret that they do not
// decode needs no wiping.
type person struct {
	Tenant tenant.ID     `json:"tenant"`
	User   tenant.UserID `json:"user"`
	Name   tenant.Text   `json:"name"`
	Admin  bool          `json:"admin"`
}

// AccessKey is what [AddUser] returns, once.
type AccessKey struct {
	User            tenant.UserID
	AccessKeyID     string
	SecretAccessKey string
}

// AddTenant makes a tenant.
func AddTenant(dir string, root tenant.Secret, name tenant.Text) (tenant.ID, error) {
	v, err := openVault(dir, root)
	if err != nil {
		return tenant.ID{}, err
	}
	id := tenant.NewID()
	return id, v.put(v.tenantPath(id), id.String(), Tenant{Name: name})
}

// AddUser makes a user of a tenant with an access key.
func AddUser(dir string, root tenant.Secret, t tenant.ID, name tenant.Text, admin bool) (AccessKey, error) {
	v, err := openVault(dir, root)
	if err != nil {
		return AccessKey{}, err
	}
	var tf Tenant
	if err := v.get(v.tenantPath(t), t.String(), &tf); err != nil {
		return AccessKey{}, noTenant(t, err)
	}
	u := tenant.NewUserID()
	text := rand.Text() + rand.Text()
	k := AccessKey{User: u, AccessKeyID: "AKIA" + strings.ToUpper(strings.TrimPrefix(u.String(), "usr-"))[:16], SecretAccessKey: text[:40]}
	id := identity{person{t, u, name, admin}, []byte(k.SecretAccessKey)}
	defer clear(id.Secret)
	if err := v.put(filepath.Join(dir, "identities", u.String()), u.String(), id); err != nil {
		return AccessKey{}, err
	}
	return k, v.put(filepath.Join(dir, "identities", k.AccessKeyID), k.AccessKeyID, id)
}

// identities looks up access keys; a key is read once and kept, since files
// are only ever added.
type identities struct {
	v       *vault
	dir     string
	tenants *tenants

	mu    sync.RWMutex
	known map[string]fas.Identity
}

var accessKeyID = regexp.MustCompile(`^AKIA[A-Z0-9]{16}$`)

// Lookup implements fas.Identities. A tenant whose settings cannot be put into
// force has no identities.
func (i *identities) Lookup(key string) (fas.Identity, bool) {
	id, ok := i.find(key)
	if !ok || i.tenants.current(context.Background(), id.Tenant) != nil {
		return fas.Identity{}, false
	}
	return id, true
}

// settled refuses identities of tenants whose settings cannot be put into
// force.
type settled struct {
	fas.Verifier
	tenants *tenants
}

// Verify implements fas.Verifier.
func (s settled) Verify(ctx context.Context, raw []byte, now time.Time) (fas.Identity, fas.Claim, error) {
	id, c, err := s.Verifier.Verify(ctx, raw, now)
	if err == nil {
		err = s.tenants.current(ctx, id.Tenant)
	}
	return id, c, err
}

func (i *identities) find(key string) (fas.Identity, bool) {
	i.mu.RLock()
	got, ok := i.known[key]
	i.mu.RUnlock()
	if ok {
		return got, true
	}
	if !accessKeyID.MatchString(key) { // it becomes a file's name
		return fas.Identity{}, false
	}
	var f identity
	if err := i.v.get(filepath.Join(i.dir, key), key, &f); err != nil {
		return fas.Identity{}, false
	}
	got = fas.Identity{Tenant: f.Tenant, User: f.User, Secret: tenant.NewSecret(f.Secret)}
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.known == nil {
		i.known = map[string]fas.Identity{}
	}
	i.known[key] = got
	return got, true
}
