package localkms

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"

	"github.com/cloisterdev/cloister/kmsctx"
	"github.com/cloisterdev/cloister/tenant"
)

type key struct {
	Material []byte `json:"material"`
	Disabled bool   `json:"disabled"`
}

type state struct {
	Keys   map[string]*key   `json:"keys"`
	Grants map[string]*Grant `json:"grants"`
}

// parse reads what a store file holds: exactly the bytes that this package
// writes, and nothing that it would not have accepted.
func parse(plain []byte) (state, error) {
	var s state
	if err := json.Unmarshal(plain, &s); err != nil || s.Keys == nil || s.Grants == nil {
		return state{}, ErrCorrupt
	}
	for id, k := range s.Keys {
		if !validName(id) || k == nil || len(k.Material) != kmsctx.DataKeyLen {
			return state{}, ErrCorrupt
		}
	}
	for id, g := range s.Grants {
		if id == "" || g == nil || g.ID != id || !validName(g.Name) || s.Keys[g.KeyID] == nil {
			return state{}, ErrCorrupt
		}
		if _, err := kmsctx.NewContext(g.Subset); err != nil {
			return state{}, ErrCorrupt
		}
	}
	again, err := json.Marshal(s)
	defer clear(again)
	if err != nil || !bytes.Equal(again, plain) {
		return state{}, ErrCorrupt
	}
	return s, nil
}

// view is what a store file said. It never changes. The file stays open, so
// that no later one gets its identity; without a file the store is new.
type view struct {
	state
	file *os.File
	info fs.FileInfo
}

func (v *view) close() {
	if v != nil && v.file != nil {
		_ = v.file.Close()
	}
}

// KMS is an open key store.
type KMS struct {
	path string
	seal cipher.AEAD

	mu  sync.Mutex // held to replace the view
	now atomic.Pointer[view]
}

// Open opens, or makes, the store in dir. root is 32 bytes.
func Open(dir string, root tenant.Secret) (*KMS, error) {
	k := &KMS{path: filepath.Join(dir, "kms")}
	err := root.Use(func(b []byte) error {
		if len(b) != kmsctx.DataKeyLen {
			return fmt.Errorf("%w: the root key has 32 bytes", ErrCorrupt)
		}
		own, err := hkdf.Key(sha256.New, b, nil, "cloister/localkms/store", kmsctx.DataKeyLen)
		if err != nil {
			return err
		}
		defer clear(own)
		k.seal, err = gcm(own)
		return err
	})
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	if _, err := k.current(); err != nil {
		return nil, err
	}
	return k, nil
}

func gcm(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCMWithRandomNonce(block)
}

var label = []byte("localkms v1")

// current is the state that the file has now: another process may have
// replaced it.
func (k *KMS) current() (*state, error) {
	if v := k.now.Load(); v != nil && v.isAt(k.path) {
		return &v.state, nil
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	v, err := k.read()
	if err != nil {
		return nil, err
	}
	k.now.Swap(v).close()
	return &v.state, nil
}

func (v *view) isAt(path string) bool {
	info, err := os.Stat(path)
	if v.file == nil {
		return errors.Is(err, fs.ErrNotExist)
	}
	return err == nil && os.SameFile(info, v.info)
}

func (k *KMS) read() (v *view, err error) {
	f, err := os.Open(k.path)
	if errors.Is(err, fs.ErrNotExist) {
		if old := k.now.Load(); old != nil && old.file != nil {
			return nil, fmt.Errorf("%w: it was removed", ErrCorrupt)
		}
		return &view{state: state{map[string]*key{}, map[string]*Grant{}}}, nil
	}
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, f.Close())
		}
	}()
	sealed, err := io.ReadAll(f)
	if err != nil {
		return nil, err
	}
	plain, err := k.seal.Open(nil, nil, sealed, label)
	if err != nil {
		return nil, ErrCorrupt
	}
	defer clear(plain)
	v = &view{file: f}
	if v.state, err = parse(plain); err != nil {
		return nil, err
	}
	v.info, err = f.Stat()
	return v, err
}

// change applies f to what the file says and, when f reports a change, writes
// it; no other process changes it meanwhile.
func (k *KMS) change(f func(*state) (bool, error)) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	unlock, err := lockFile(k.path + ".lock")
	if err != nil {
		return err
	}
	defer unlock()
	v, err := k.read()
	if err != nil {
		return err
	}
	changed, err := f(&v.state)
	if err != nil || !changed {
		v.close()
		return err
	}
	v.close()
	if err := k.write(v); err != nil {
		return err
	}
	k.now.Swap(v).close()
	return nil
}

// write replaces the file. After an error the next call reads what is there.
func (k *KMS) write(v *view) (err error) {
	plain, err := json.Marshal(v.state)
	if err != nil {
		return err
	}
	defer clear(plain)
	tmp := k.path + ".tmp"
	if v.file, err = os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, v.file.Close())
		}
	}()
	_, err = v.file.Write(k.seal.Seal(nil, nil, plain, label))
	if err = errors.Join(err, v.file.Sync()); err != nil {
		return err
	}
	if v.info, err = v.file.Stat(); err != nil {
		return err
	}
	if err = os.Rename(tmp, k.path); err != nil {
		return err
	}
	d, err := os.Open(filepath.Dir(k.path))
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
