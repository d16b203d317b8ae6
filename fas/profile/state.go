package profile

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// mark is the highest version of a profile that was in force.
type mark struct {
	Version int    `json:"version"`
	Hash    string `json:"hash"`
}

// allows returns nil for what was in force last, and for a later version.
func (m mark) allows(v *Verified) error {
	if v.p.Version > m.Version || v.p.Version == m.Version && v.hash == m.Hash {
		return nil
	}
	if v.p.Version == m.Version {
		return fmt.Errorf("%w: another version %d was in force", ErrRollback, m.Version)
	}
	return fmt.Errorf("%w: version %d, where %d was in force", ErrRollback, v.p.Version, m.Version)
}

type state struct {
	Profiles map[string]mark `json:"profiles"`
}

// InitStore makes the state file of a new store. It refuses with [ErrStore]
// where one is, also one that another process makes at this moment: to forget
// the versions that were in force, remove it knowingly.
func InitStore(path string) error {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*.tmp")
	if err != nil {
		return fmt.Errorf("%w: %w", ErrStore, err)
	}
	defer os.Remove(f.Name())
	if err := writeMarks(f, map[string]mark{}); err != nil {
		return err
	}
	// A rename would replace what came into being since somebody looked.
	err = os.Link(f.Name(), path)
	if errors.Is(err, os.ErrExist) {
		return fmt.Errorf("%w: there is a state file already", ErrStore)
	}
	if err == nil {
		err = syncDir(filepath.Dir(path))
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrStore, err)
	}
	return nil
}

func readState(path string) (map[string]mark, error) {
	b, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("%w: the state file is not there; make it once, or restore it from a backup", ErrStore)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrStore, err)
	}
	var s state
	if err := strict(b, &s); err != nil || s.Profiles == nil {
		return nil, fmt.Errorf("%w: the state file is damaged; restore it from a backup", ErrStore)
	}
	for id, m := range s.Profiles {
		if !plainName(id) || m.Version < 1 || len(m.Hash) != 64 {
			return nil, fmt.Errorf("%w: the state file is damaged; restore it from a backup", ErrStore)
		}
	}
	return s.Profiles, nil
}

// writeState replaces the file as a whole, and durably.
func writeState(path string, marks map[string]mark) error {
	tmp := path + ".tmp"
	f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrStore, err)
	}
	if err := writeMarks(f, marks); err != nil {
		return err
	}
	if err = os.Rename(tmp, path); err == nil {
		err = syncDir(filepath.Dir(path))
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrStore, err)
	}
	return nil
}

// writeMarks writes a file to its end, and closes it.
func writeMarks(f *os.File, marks map[string]mark) error {
	b, err := json.Marshal(state{marks})
	if err == nil {
		_, err = f.Write(b)
	}
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("%w: %w", ErrStore, err)
	}
	return nil
}

// syncDir makes a rename durable, where the system lets a directory be synced.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	_ = d.Sync()
	return d.Close()
}
