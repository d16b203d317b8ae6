package firewalld

import (
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"time"

	"github.com/cloisterdev/cloister/fas/profile"
	"github.com/cloisterdev/cloister/internal/durable"
	"github.com/cloisterdev/cloister/tenant"
)

type storedProfile struct {
	Envelope json.RawMessage `json:"envelope"`
	Keys     profile.Keyring `json:"keys"`
}

// sourceProfile loads the built-in profile, or makes and signs it with three
// fresh role keys at the first start.
func sourceProfile(dir string) (*profile.Verified, error) {
	path := filepath.Join(dir, "profile.json")
	b, err := os.ReadFile(path)
	if err == nil {
		var p storedProfile
		// One of another form, like one that is over, is made anew.
		if err := json.Unmarshal(b, &p); err == nil {
			v, err := profile.Load(p.Envelope, p.Keys, time.Now())
			if !errors.Is(err, profile.ErrExpired) && !errors.Is(err, profile.ErrMalformed) {
				return v, err
			}
		}
	} else if !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	now := time.Now().UTC().Truncate(time.Second)
	env, err := profile.New(profile.Profile{ID: SourceProfile, Version: 1,
		Operations: []string{"/CreateCustomization", "/UpdateCustomization"}, Callers: []string{profile.AnyCaller},
		Allow: json.RawMessage(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["s3:GetObject","s3:ListBucket"],"Resource":"arn:aws:s3:::*"}]}`),
		Bind:  "/dataReference/s3Reference/uri", TTL: 600, NotBefore: now.Add(-time.Minute), NotAfter: now.AddDate(0, 0, 365)})
	if err != nil {
		return nil, err
	}
	p := storedProfile{Keys: profile.Keyring{}}
	for _, r := range []profile.Role{profile.Service, profile.Security, profile.Identity} {
		pub, priv, err := ed25519.GenerateKey(nil)
		if err != nil {
			return nil, err
		}
		key, err := profile.Ed25519(pub)
		if err != nil {
			return nil, err
		}
		p.Keys[r] = []profile.Key{key}
		seed := tenant.NewSecret(priv.Seed())
		env, err = profile.Sign(env, seed)
		seed.Destroy()
		if err != nil {
			return nil, err
		}
	}
	p.Envelope = env
	if b, err = json.Marshal(p); err != nil {
		return nil, err
	}
	if err := durable.Replace(path, b, 0o600); err != nil {
		return nil, err
	}
	return profile.Load(env, p.Keys, time.Now())
}
