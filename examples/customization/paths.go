package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/cloisterdev/cloister/fas/firewalld"
	"github.com/cloisterdev/cloister/fas/localsts"
	"github.com/cloisterdev/cloister/sandbox"
	"github.com/cloisterdev/cloister/tenant"
)

func firewallDir(data string) string { return filepath.Join(data, "firewall") }
func cloudDir(data string) string    { return filepath.Join(data, "cloud") }
func auditDir(data string) string    { return filepath.Join(data, "audit") }

// cloudAuditDir is the customer cloud's own log: what was done to buckets.
func cloudAuditDir(data string) string { return filepath.Join(data, "cloud", "audit") }

// firewallSocket is where programs of this machine that were named reach the
// firewall.
func firewallSocket(data string) string { return filepath.Join(firewallDir(data), "socket") }

func rootKeyFile(data string) string { return filepath.Join(firewallDir(data), "root.key") }

// rootKey reads the key under which everything of the firewall is sealed.
// Whoever reads it can open every customization.
func rootKey(data string) (tenant.Secret, error) {
	path := rootKeyFile(data)
	b, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return tenant.Secret{}, fmt.Errorf("%s holds no service: \"serve --data %s\" makes one", data, data)
	}
	if err != nil {
		return tenant.Secret{}, err
	}
	if len(b) != 32 {
		return tenant.Secret{}, fmt.Errorf("%s is not a 32-byte key: restore it from a backup, nothing opens without it", path)
	}
	return tenant.NewSecret(b), nil
}

// ownRootKey is rootKey for the firewall, which makes the key of a new service.
func ownRootKey(data string) (tenant.Secret, error) {
	if err := os.MkdirAll(firewallDir(data), 0o700); err != nil {
		return tenant.Secret{}, err
	}
	f, err := os.OpenFile(rootKeyFile(data), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, os.ErrExist) {
		return rootKey(data)
	}
	if err != nil {
		return tenant.Secret{}, err
	}
	b := make([]byte, 32)
	_, _ = rand.Read(b)
	_, err = f.Write(b)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return tenant.Secret{}, err
	}
	return tenant.NewSecret(b), nil
}

// verifierFile is where the firewall leaves what the customer cloud needs to
// check sessions. It can check them and cannot mint them.
func verifierFile(data string) string { return filepath.Join(cloudDir(data), "sessions.json") }

func publishVerifier(data string, wall *firewalld.Server) error {
	b, err := json.Marshal(wall.VerifierMaterial())
	if err != nil {
		return err
	}
	if err := os.MkdirAll(cloudDir(data), 0o700); err != nil {
		return err
	}
	tmp := verifierFile(data) + ".tmp"
	if err := os.WriteFile(tmp, b, 0o600); err != nil {
		return err
	}
	return os.Rename(tmp, verifierFile(data))
}

// readVerifier waits for the firewall's first start. What it returns reads the
// file again when the firewall has changed its keys.
func readVerifier(ctx context.Context, data string) (*localsts.Follower, error) {
	for {
		v, err := localsts.Follow(func() (m localsts.Material, err error) {
			b, err := os.ReadFile(verifierFile(data))
			if err == nil {
				err = json.Unmarshal(b, &m)
			}
			return m, err
		})
		if err == nil {
			return v, nil
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("no session verifier from the firewall: %w: %w", ctx.Err(), err)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

func parseTier(s string) (sandbox.Tier, error) {
	switch s {
	case "", "confined":
		return sandbox.TierConfined, nil
	case "namespaced":
		return sandbox.TierNamespaced, nil
	case "process":
		return sandbox.TierProcess, nil
	}
	return 0, fmt.Errorf("--min-tier must be namespaced, confined or process, not %q", s)
}
