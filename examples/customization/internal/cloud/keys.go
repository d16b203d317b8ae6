package cloud

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"sync"

	"github.com/cloisterdev/cloister/tenant"
)

// Keys are the access keys of the customers' own users: one sealed file a key,
// so that a key added by another process is found without a restart.
type Keys struct {
	dir  string
	aead cipher.AEAD

	mu    sync.Mutex
	known map[string]Identity
}

// Identity is who an access key belongs to.
type Identity struct {
	Tenant tenant.ID
	Bucket string
	Secret tenant.Secret
}

var accessKeyID = regexp.MustCompile(`^[A-Z0-9]{16,32}$`)

// OpenKeys opens, or makes, the key folder of the cloud at dir.
func OpenKeys(dir string) (*Keys, error) {
	folder := filepath.Join(dir, "keys")
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return nil, err
	}
	root, err := rootKey(filepath.Join(dir, "root.key"))
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(root)
	if err != nil {
		return nil, err
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil, err
	}
	return &Keys{dir: folder, aead: aead, known: map[string]Identity{}}, nil
}

// rootKey reads the key at path, or makes it. It appears complete or not at
// all, since the process that adds a key and the server may both be the first.
func rootKey(path string) ([]byte, error) {
	if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
		if err := makeRootKey(path); err != nil {
			return nil, err
		}
	}
	b, err := os.ReadFile(path)
	if err == nil && len(b) != 32 {
		return nil, fmt.Errorf("cloud: %s is not a 32-byte key", filepath.Base(path))
	}
	return b, err
}

func makeRootKey(path string) error {
	f, err := os.CreateTemp(filepath.Dir(path), "root-*.tmp")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	b := make([]byte, 32)
	_, _ = rand.Read(b)
	_, err = f.Write(b)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Link(f.Name(), path); !errors.Is(err, os.ErrExist) {
		return err
	}
	return nil
}

// Add stores a key. The bucket is made when the key is first used.
func (k *Keys) Add(id string, owner tenant.ID, bucket, secret string) error {
	if !accessKeyID.MatchString(id) || owner.IsZero() || !bucketName.MatchString(bucket) || secret == "" {
		return errors.New("cloud: an access key needs an ID, an owner, a bucket and a secret")
	}
	f := keyFile{Tenant: owner, Bucket: bucket, Secret: k.aead.Seal(nil, nil, []byte(secret), sealedFor(id, owner, bucket))}
	b, err := json.Marshal(f)
	if err != nil {
		return err
	}
	tmp := filepath.Join(k.dir, id+".tmp")
	if err := os.WriteFile(tmp, b, 0o600); err != nil {
		return err
	}
	return os.Rename(tmp, filepath.Join(k.dir, id+".json"))
}

// sealedFor binds a secret to its key's owner and bucket, so that a key file
// cannot be made to speak for another tenant.
func sealedFor(id string, owner tenant.ID, bucket string) []byte {
	return []byte(id + "\x00" + owner.String() + "\x00" + bucket)
}

// lookup finds the identity of an access key.
func (k *Keys) lookup(id string) (Identity, bool) {
	if !accessKeyID.MatchString(id) {
		return Identity{}, false
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if got, ok := k.known[id]; ok {
		return got, true
	}
	f, err := readKeyFile(k.dir, id)
	if err != nil {
		return Identity{}, false
	}
	secret, err := k.aead.Open(nil, nil, f.Secret, sealedFor(id, f.Tenant, f.Bucket))
	if err != nil {
		return Identity{}, false
	}
	got := Identity{Tenant: f.Tenant, Bucket: f.Bucket, Secret: tenant.NewSecret(secret)}
	k.known[id] = got
	return got, true
}
