package embedded

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/cloisterdev/cloister/retrieval"
	"github.com/cloisterdev/cloister/tenant"
)

// Store is a directory of collections. It is a retrieval.Driver. Paths are
// made of machine IDs only.
type Store struct{ dir string }

// NewStore opens, or makes, the directory.
func NewStore(dir string) (*Store, error) {
	if dir == "" {
		return nil, retrieval.ErrBinding
	}
	return &Store{dir}, os.MkdirAll(dir, 0o700)
}

func (s *Store) folder(c tenant.CollectionID) string { return filepath.Join(s.dir, c.String()) }

// Path is where a snapshot's file is.
func (s *Store) Path(b retrieval.Binding) string {
	return filepath.Join(s.folder(b.Collection), b.Snapshot.String()+".seg")
}

// Create makes the empty file of a new snapshot, replacing an unfinished one.
func (s *Store) Create(b retrieval.Binding) (*os.File, error) {
	if err := b.Err(); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(s.folder(b.Collection), 0o700); err != nil {
		return nil, err
	}
	return os.OpenFile(s.Path(b), os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
}

// RemoveSnapshot removes one snapshot's file, and the collection's folder when
// it was the last. It is harmless twice.
func (s *Store) RemoveSnapshot(b retrieval.Binding) error {
	if err := b.Err(); err != nil {
		return err
	}
	if err := os.Remove(s.Path(b)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	// The folder stays while it holds another snapshot.
	_ = os.Remove(s.folder(b.Collection))
	return nil
}

// Remove removes a whole collection and looks whether it is gone.
func (s *Store) Remove(c tenant.CollectionID) error {
	if c.IsZero() {
		return retrieval.ErrBinding
	}
	if err := os.RemoveAll(s.folder(c)); err != nil {
		return err
	}
	if _, err := os.Lstat(s.folder(c)); !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("embedded: %s is still there after its removal", c)
	}
	return nil
}

// OpenReader implements retrieval.Driver.
func (s *Store) OpenReader(_ context.Context, b retrieval.Binding, manifest [32]byte, key []byte) (retrieval.Backend, error) {
	if err := b.Err(); err != nil {
		return nil, err
	}
	f, err := os.Open(s.Path(b))
	if err != nil {
		return nil, fmt.Errorf("%w: the file is missing", retrieval.ErrDamaged)
	}
	snap, err := OpenFile(f, b, manifest, key)
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	snap.own = true
	return snap, nil
}
