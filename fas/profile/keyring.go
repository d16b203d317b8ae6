package profile

import (
	"fmt"
	"slices"
	"strings"
)

// maxKeys is how many keys a role may have: enough for a team and a change of
// key, and a bound on the work of one [Load].
const maxKeys = 16

// Keyring holds the public keys of each role. Any one key of a role signs for
// it, so that a team can change its key, and no key is in two roles.
type Keyring map[Role][]Key

// ParseKeyring reads one key a line, "ROLE TYPE BASE64 COMMENT", with the
// comment left out or not; see [ParseKey]. Empty lines and lines that begin
// with "#" say nothing. With OpenSSH's types of key, this is OpenSSH's format
// of allowed signers, where the role is the principal: ssh-keygen -Y verify
// reads the same file. An error wraps [ErrKeyring] and names the line.
func ParseKeyring(b []byte) (Keyring, error) {
	if len(b) > MaxSize {
		return nil, fmt.Errorf("%w: more than %d bytes", ErrKeyring, MaxSize)
	}
	k := Keyring{}
	n := 0
	for line := range strings.Lines(string(b)) {
		n++
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		i := strings.IndexAny(line, " \t")
		if i < 0 {
			return nil, fmt.Errorf("line %d: %w: \"ROLE TYPE BASE64\" is meant", n, ErrKeyring)
		}
		r := Role(line[:i])
		if !slices.Contains(roles, r) {
			return nil, fmt.Errorf("line %d: %w: there is no role %q", n, ErrKeyring, r)
		}
		key, err := ParseKey(line[i:])
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
		k[r] = append(k[r], key)
	}
	if err := k.check(); err != nil {
		return nil, err
	}
	return k, nil
}

// String returns the form that [ParseKeyring] reads, roles in their order.
func (k Keyring) String() string {
	var b strings.Builder
	for _, r := range roles {
		for _, key := range k[r] {
			fmt.Fprintf(&b, "%s %s\n", r, key)
		}
	}
	return b.String()
}

func (k Keyring) check() error {
	// A bare key and one that claims to be in hardware are one key when they
	// are one point.
	owner := map[string]Role{}
	for _, r := range roles {
		if len(k[r]) == 0 || len(k[r]) > maxKeys {
			return fmt.Errorf("%w: role %q has %d keys; 1 to %d are meant", ErrKeyring, r, len(k[r]), maxKeys)
		}
		for _, key := range k[r] {
			m, err := key.parse()
			if err != nil {
				return fmt.Errorf("%w: role %q", err, r)
			}
			other, twice := owner[string(m.point)]
			if twice && other == r {
				return fmt.Errorf("%w: role %q has the key %s twice", ErrKeyring, r, key.ID())
			}
			if twice {
				return fmt.Errorf("%w: roles %q and %q have the same key %s", ErrKeyring, other, r, key.ID())
			}
			owner[string(m.point)] = r
		}
	}
	if len(k) != len(roles) {
		return fmt.Errorf("%w: unknown role", ErrKeyring)
	}
	return nil
}
