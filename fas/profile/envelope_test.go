package profile_test

import (
	"bytes"
	"crypto/ed25519"
	"encoding/json"
	"testing"
	"time"

	"github.com/cloisterdev/cloister/fas/profile"
	"github.com/cloisterdev/cloister/tenant"
)

// Who signs again, however often, leaves room for the others.
func TestSigningAgain(t *testing.T) {
	t.Parallel()
	now := time.Now().UTC().Truncate(time.Second)
	env, err := profile.New(profile.Profile{ID: "again", Version: 1, Operations: []string{"/Create"}, Callers: []string{profile.AnyCaller},
		Allow: json.RawMessage(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:GetObject","Resource":"*"}]}`), Bind: "/uri", TTL: 60, NotBefore: now, NotAfter: now.Add(time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	ring := profile.Keyring{}
	for i, r := range []profile.Role{profile.Service, profile.Security, profile.Identity} {
		public, private, err := ed25519.GenerateKey(nil)
		if err != nil {
			t.Fatal(err)
		}
		k, err := profile.Ed25519(public)
		if err != nil {
			t.Fatal(err)
		}
		ring[r] = []profile.Key{k}
		for range 20 {
			if env, err = profile.Sign(env, tenant.NewSecret(private.Seed())); err != nil {
				t.Fatalf("team %d: %v", i, err)
			}
		}
	}
	if n := bytes.Count(env, []byte(`"sig"`)); n != 3 {
		t.Errorf("%d signatures of three keys", n)
	}
	if _, err := profile.Load(env, ring, now); err != nil {
		t.Error(err)
	}
}
