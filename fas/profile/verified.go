package profile

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Approvals returns, for each role that signed an envelope, the ID of the first
// of its keys that did. It asks neither whether every role signed nor whether
// the profile is valid now: it is for reports, and grants nothing. An error
// wraps [ErrMalformed] or [ErrKeyring].
func Approvals(env []byte, keys Keyring) (map[Role]string, error) {
	if err := keys.check(); err != nil {
		return nil, err
	}
	e, _, err := read(env)
	if err != nil {
		return nil, err
	}
	return e.approvals(keys), nil
}

func (e envelope) approvals(keys Keyring) map[Role]string {
	out := map[Role]string{}
	for _, r := range roles {
		for _, k := range keys[r] {
			if slices.ContainsFunc(e.Signatures, func(s signature) bool { return k.verifies(e.Payload, s.Sig) }) {
				out[r] = k.ID()
				break
			}
		}
	}
	return out
}

// Verified is a profile that every role approved. The zero value is none.
type Verified struct {
	p    Profile
	hash string
}

// Load verifies an envelope against the keyring at the given time. An error
// wraps one of the sentinels of this package, and no profile comes with it; that
// of [ErrUnapproved] names every role that is missing.
//
// The key ID beside a signature is a hint that nobody signed (DSSE protocol, §
// "keyid"): it decides nothing.
func Load(env []byte, keys Keyring, now time.Time) (*Verified, error) {
	v, err := approved(env, keys)
	if err == nil {
		err = v.Err(now)
	}
	if err != nil {
		return nil, err
	}
	return v, nil
}

// approved is [Load] at no time.
func approved(env []byte, keys Keyring) (*Verified, error) {
	if err := keys.check(); err != nil {
		return nil, err
	}
	e, err := parse(env)
	if err != nil {
		return nil, err
	}
	signed := e.approvals(keys)
	var missing []string
	for _, r := range roles {
		if signed[r] == "" {
			missing = append(missing, string(r))
		}
	}
	if len(missing) > 0 {
		return nil, fmt.Errorf("%w: missing: %s", ErrUnapproved, strings.Join(missing, ", "))
	}
	p, err := e.profile()
	if err != nil {
		return nil, err
	}
	return &Verified{p, e.hash()}, nil
}

// Replaces returns nil when v has the ID of old and a later version, or is the
// very same profile, and [ErrRollback] otherwise: whoever kept an approved
// profile cannot bring it back where this is asked. A [Store] asks it.
func (v *Verified) Replaces(old *Verified) error {
	switch {
	case v == nil || v.hash == "" || old == nil || old.hash == "" || v.p.ID != old.p.ID:
		return ErrRollback
	case v.hash != old.hash && v.p.Version <= old.p.Version:
		return fmt.Errorf("%w: version %d, where %d was approved", ErrRollback, v.p.Version, old.p.Version)
	}
	return nil
}

// Err returns [ErrExpired] outside the validity, and for the zero value.
func (v *Verified) Err(now time.Time) error {
	switch {
	case v == nil || v.hash == "":
		return ErrExpired
	case now.Before(v.p.NotBefore):
		return fmt.Errorf("%w: not before %s", ErrExpired, v.p.NotBefore.UTC().Format(time.RFC3339))
	case now.After(v.p.NotAfter):
		return fmt.Errorf("%w: over since %s", ErrExpired, v.p.NotAfter.UTC().Format(time.RFC3339))
	}
	return nil
}

// Profile returns a copy of the approved profile.
func (v *Verified) Profile() Profile {
	p := v.p
	p.Operations, p.Callers, p.Allow = slices.Clone(p.Operations), slices.Clone(p.Callers), slices.Clone(p.Allow)
	return p
}

// Hash returns the SHA-256 of the signed payload in hex, for audit records.
func (v *Verified) Hash() string { return v.hash }
