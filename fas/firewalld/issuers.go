package firewalld

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/cloisterdev/cloister/internal/durable"
	"github.com/cloisterdev/cloister/tenant"
)

// Issuer is a tenant's own identity provider, as far as the firewall's directory
// is concerned; the package fas/oidc says what the words mean.
type Issuer struct {
	// URL and Audience are required, and together no other tenant's. The
	// audience should name the tenant.
	URL      string `json:"url"`
	Audience string `json:"audience"`
	// Algorithms and Type are those of fas/oidc; empty means its defaults.
	Algorithms []string `json:"algorithms,omitempty"`
	Type       string   `json:"type,omitempty"`
	// Subjects are the users whom the provider knows by another name. A subject
	// that is not here is nobody.
	Subjects map[string]tenant.UserID `json:"subjects,omitempty"`
	// Keys are the thumbprints (RFC 7638, SHA-256, in hexadecimal) of users' keys
	// for tokens that name none.
	Keys map[string]tenant.UserID `json:"keys,omitempty"`
}

// issuerName is the file that says whose an issuer and audience are.
func issuerName(url, audience string) string {
	sum := sha256.Sum256([]byte(url + "\x00" + audience))
	return hex.EncodeToString(sum[:])
}

func (v *vault) checkIssuer(id tenant.ID, i *Issuer) error {
	if i.URL == "" || i.Audience == "" || len(i.URL) > 1<<10 || len(i.Audience) > 1<<10 {
		return errors.New("firewalld: an issuer has a URL and an audience")
	}
	for subject, u := range i.Subjects {
		if err := v.userOf(id, u); err != nil || subject == "" {
			return errors.Join(ErrNoUser, err)
		}
	}
	for thumbprint, u := range i.Keys {
		if b, err := hex.DecodeString(thumbprint); err != nil || len(b) != 32 || hex.EncodeToString(b) != thumbprint {
			return fmt.Errorf("%w: thumbprint", ErrBadKey)
		}
		if err := v.userOf(id, u); err != nil {
			return err
		}
	}
	return nil
}

// claimIssuer makes an issuer the tenant's, or refuses one that is another's.
// The caller holds the lock of changes.
func (v *vault) claimIssuer(id tenant.ID, i *Issuer) error {
	if i == nil {
		return nil
	}
	if err := v.checkIssuer(id, i); err != nil {
		return err
	}
	dir, name := filepath.Join(v.dir, "issuers"), issuerName(i.URL, i.Audience)
	if err := durable.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	var owner tenant.ID
	err := v.get(filepath.Join(dir, name), name, &owner)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return v.put(filepath.Join(dir, name), name, id)
	case err != nil:
		return err
	case owner == id:
		return nil
	}
	// A change that was cut short leaves a file that its tenant does not confirm.
	var t Tenant
	if err := v.get(v.tenantPath(owner), owner.String(), &t); err != nil {
		return err
	}
	if t.Issuer != nil && t.Issuer.URL == i.URL && t.Issuer.Audience == i.Audience {
		return fmt.Errorf("%w: issuer and audience", ErrTaken)
	}
	return v.put(filepath.Join(dir, name), name, id)
}

// releaseIssuer gives back an issuer that is no longer the tenant's.
func (v *vault) releaseIssuer(old, now *Issuer) error {
	if old == nil || now != nil && old.URL == now.URL && old.Audience == now.Audience {
		return nil
	}
	return durable.Remove(filepath.Join(v.dir, "issuers", issuerName(old.URL, old.Audience)))
}
