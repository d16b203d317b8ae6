package firewalld

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/cloisterdev/cloister/audit"
	"github.com/cloisterdev/cloister/fas"
	"github.com/cloisterdev/cloister/fas/localsts"
	"github.com/cloisterdev/cloister/fas/policy"
	"github.com/cloisterdev/cloister/fas/profile"
	"github.com/cloisterdev/cloister/tenant"
)

// OpenProfiles opens the directory of the profiles that three teams approved,
// with the keyring of the teams, for Options.Profiles. Both are the teams' and
// not the firewall's: within the firewall's directory, where the firewall could
// change its own bounds, they are refused with fas.ErrConfig. Who runs the
// firewall should give it no right to write them.
//
// The firewall's directory keeps the versions that were in force. Without them,
// where they once were, it is refused with [profile.ErrStore]. What comes into
// force and what does not is recorded as firewall.profile; a profile with a
// condition that [localsts.CheckPolicy] refuses does not. Close the store after
// the server.
func OpenProfiles(dir string, root tenant.Secret, profiles, keyring string, rec audit.Recorder) (*profile.Store, error) {
	if rec == nil || profiles == "" || keyring == "" {
		return nil, fas.ErrConfig
	}
	for _, p := range []string{profiles, keyring} {
		in, err := within(dir, p)
		if err != nil {
			return nil, err
		}
		if in {
			return nil, fmt.Errorf("%w: %s is within the firewall's own directory", fas.ErrConfig, filepath.Base(p))
		}
	}
	b, err := os.ReadFile(keyring)
	if err != nil {
		return nil, err
	}
	keys, err := profile.ParseKeyring(b)
	if err != nil {
		return nil, err
	}
	v, err := openVault(dir, root)
	if err != nil {
		return nil, err
	}
	state := filepath.Join(dir, "profiles.state")
	// The mark outlives the state, so that losing the one is noticed.
	var begun bool
	err = v.get(filepath.Join(dir, "profiles.sealed"), "profiles", &begun)
	if errors.Is(err, os.ErrNotExist) {
		if _, err = os.Stat(state); errors.Is(err, os.ErrNotExist) {
			err = profile.InitStore(state)
		}
		if err == nil {
			err = v.put(filepath.Join(dir, "profiles.sealed"), "profiles", true)
		}
	}
	if err != nil {
		return nil, err
	}
	return profile.OpenStore(profiles, state, keys, func(c profile.Change) { recordProfile(rec, c) }, &profile.StoreOptions{Check: decidable})
}

// decidable refuses a profile with a condition that the sessions of this
// firewall could not be decided by: none would be made under it.
func decidable(v *profile.Verified) error {
	d, err := policy.Parse(v.Profile().Allow)
	if err != nil {
		return fmt.Errorf("%w: %w", profile.ErrMalformed, err)
	}
	return localsts.CheckPolicy(d)
}

// within reports whether a path is that of a directory or below it, whatever
// links lead there.
func within(dir, path string) (bool, error) {
	path, err := filepath.EvalSymlinks(path)
	if err != nil {
		return false, err
	}
	if real, err := filepath.EvalSymlinks(dir); err == nil {
		dir = real
	}
	dir, err1 := filepath.Abs(dir)
	path, err2 := filepath.Abs(path)
	rel, err3 := filepath.Rel(dir, path)
	outside := rel == ".." || strings.HasPrefix(rel, ".."+string(filepath.Separator))
	return err3 == nil && !outside, errors.Join(err1, err2)
}

func recordProfile(rec audit.Recorder, c profile.Change) {
	e := audit.Event{Time: time.Now(), Kind: "firewall.profile", Decision: audit.Allow, Reason: "in-force", Profile: c.Hash, Detail: map[string]string{}}
	add := func(key, value string) {
		if value != "" {
			e.Detail[key] = value[:min(len(value), 500)]
		}
	}
	add("file", c.File)
	add("id", c.ID)
	if c.Version > 0 {
		add("version", fmt.Sprint(c.Version))
	}
	if c.Err != nil {
		e.Decision, e.Reason = audit.Deny, changeReason(c.Err)
		add("why", c.Err.Error())
	}
	// An exchange under it is recorded before it happens, or refused.
	_ = rec.Record(context.Background(), e)
}

func changeReason(err error) string {
	for reason, is := range map[string]error{"condition": localsts.ErrCondition, "malformed": profile.ErrMalformed, "unapproved": profile.ErrUnapproved, "not-valid-now": profile.ErrExpired,
		"older": profile.ErrRollback, "withdrawn": profile.ErrUnknown} {
		if errors.Is(err, is) {
			return reason
		}
	}
	return "store"
}
