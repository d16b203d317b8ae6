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
	"time"

	"github.com/cloisterdev/cloister/internal/filelock"
	"github.com/cloisterdev/cloister/kmsctx"
	"github.com/cloisterdev/cloister/tenant"
)

// view is what a store file said. It never changes. The file stays open, so
// that no later one gets its identity; without a file the store is new.
type view struct {
	state
	file file
	info fs.FileInfo
	wake int64 // when the first key is due for rotation; 0: none is
}

// settle derives what is asked for often.
func (v *view) settle() {
	v.wake = v.firstDue()
	v.granted = map[string][]*grant{}
	for _, g := range v.Grants {
		if !g.capability() {
			v.granted[g.Grantee] = append(v.granted[g.Grantee], g)
		}
	}
}

func (v *view) close() {
	if v != nil && v.file != nil {
		_ = v.file.Close()
	}
}

// KMS is an open key store, for a process that is trusted with all of it:
// whoever holds it may do everything. [Service] is its face for principals.
type KMS struct {
	path  string
	disk  files
	seal  cipher.AEAD
	token cipher.AEAD

	mu  sync.Mutex // held to replace the view
	now atomic.Pointer[view]
}

// Open opens, or makes, the store in dir. root is 32 bytes, not all of them
// zero.
func Open(dir string, root tenant.Secret) (*KMS, error) { return openOn(disk{}, dir, root) }

func openOn(d files, dir string, root tenant.Secret) (*KMS, error) {
	k := &KMS{path: filepath.Join(dir, "kms"), disk: d}
	err := root.Use(func(b []byte) (err error) {
		if len(b) != kmsctx.DataKeyLen {
			return fmt.Errorf("%w: the root key has 32 bytes", ErrCorrupt)
		}
		// Memory that was wiped too early, or never filled, looks like this.
		if bytes.Count(b, []byte{0}) == len(b) {
			return fmt.Errorf("%w: the root key is all zero", ErrCorrupt)
		}
		if k.seal, err = derived(b, "cloister/localkms/store"); err != nil {
			return err
		}
		k.token, err = derived(b, "cloister/localkms/token")
		return err
	})
	if err != nil {
		return nil, err
	}
	if err := mkdirAll(d, dir); err != nil {
		return nil, err
	}
	if _, err := k.current(); err != nil {
		return nil, err
	}
	return k, nil
}

func derived(root []byte, purpose string) (cipher.AEAD, error) {
	own, err := hkdf.Key(sha256.New, root, nil, purpose, kmsctx.DataKeyLen)
	if err != nil {
		return nil, err
	}
	defer clear(own)
	return gcm(own)
}

func gcm(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCMWithRandomNonce(block)
}

// The label is authenticated: a file of one form is not taken for the other.
var label, oldLabel = []byte("localkms v2"), []byte("localkms v1")

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

// state is current. Before something is encrypted, keys that are due get their
// new material.
func (k *KMS) state(encrypt bool) (*state, error) {
	s, err := k.current()
	if err != nil || !encrypt {
		return s, err
	}
	if wake := k.now.Load().wake; wake == 0 || time.Now().UnixMilli() < wake {
		return s, nil
	}
	if err := k.change(func(*state) (bool, error) { return false, nil }); err != nil {
		return nil, err
	}
	return k.current()
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
		return &view{state: newState()}, nil
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
	v = &view{file: f}
	if v.state, err = k.unseal(sealed); err != nil {
		return nil, err
	}
	v.settle()
	if v.info, err = f.Stat(); err != nil {
		return nil, err
	}
	// Whoever put it there may have died before it was durable: what is answered
	// by it now must still be so after the power goes.
	if old := k.now.Load(); old == nil || !os.SameFile(old.info, v.info) {
		err = k.disk.syncDir(filepath.Dir(k.path))
	}
	return v, err
}

func (k *KMS) unseal(sealed []byte) (state, error) {
	plain, err := k.seal.Open(nil, nil, sealed, label)
	read := parse
	if err != nil {
		if plain, err = k.seal.Open(nil, nil, sealed, oldLabel); err != nil {
			return state{}, fmt.Errorf("%w: the root key is not the one that it was made with, or it is damaged", ErrCorrupt)
		}
		read = migrate
	}
	defer clear(plain)
	return read(plain)
}

// change applies f to what the file says and, when f or time changed
// something, writes it; no other process changes it meanwhile.
func (k *KMS) change(f func(*state) (bool, error)) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	unlock, err := filelock.Lock(filepath.Dir(k.path))
	if err != nil {
		return err
	}
	defer unlock()
	v, err := k.read()
	if err != nil {
		return err
	}
	late := v.advance(time.Now())
	changed, err := f(&v.state)
	if err != nil || !changed && !late {
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

// write replaces the file. After an error the next call reads what is there. What
// could not be read again is not written: it would be the end of all keys.
func (k *KMS) write(v *view) (err error) {
	plain, err := json.Marshal(v.state)
	if err != nil {
		return err
	}
	defer clear(plain)
	if v.state, err = parseAfter(plain, v.Keys); err != nil {
		return fmt.Errorf("the change would leave a store that does not open, and was not made: %w", err)
	}
	v.settle()
	tmp := k.path + ".tmp"
	if v.file, err = k.disk.create(tmp); err != nil {
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
	if err = k.disk.rename(tmp, k.path); err != nil {
		return err
	}
	return k.disk.syncDir(filepath.Dir(k.path))
}
