package profile

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"github.com/cloisterdev/cloister/internal/durable"
	"github.com/cloisterdev/cloister/internal/filelock"
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
	err := durable.Create(path, []byte(`{"profiles":{}}`), 0o600)
	if errors.Is(err, os.ErrExist) {
		return fmt.Errorf("%w: there is a state file already", ErrStore)
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

func writeState(path string, marks map[string]mark) error {
	b, err := json.Marshal(state{marks})
	if err == nil {
		err = durable.Replace(path, b, 0o600)
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrStore, err)
	}
	return nil
}

// lockState keeps another store from the state file: each would write what it
// remembers over what the other does. The folder of the state file may be locked
// for something else: the lock has one of its own beside it.
func lockState(path string) (unlock func() error, err error) {
	if err := os.Mkdir(path+".lock", 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return nil, fmt.Errorf("%w: %w", ErrStore, err)
	}
	unlock, err = filelock.Alone(path + ".lock")
	switch {
	case errors.Is(err, filelock.ErrLocked):
		return nil, fmt.Errorf("%w: another store uses %s", ErrStore, path)
	case err != nil:
		return nil, fmt.Errorf("%w: %w", ErrStore, err)
	}
	return unlock, nil
}
