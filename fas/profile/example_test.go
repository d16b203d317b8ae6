package profile_test

import (
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"time"

	"github.com/cloisterdev/cloister/fas/profile"
	"github.com/cloisterdev/cloister/tenant"
)

// Two teams of three are not enough.
func Example() {
	env, err := profile.New(profile.Profile{ID: "ingest-source", Version: 1, Operations: []string{"/CreateCustomization"}, Callers: []string{"front-end"},
		Allow: json.RawMessage(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:GetObject","Resource":"arn:aws:s3:::*"}]}`),
		Bind:  "/source/uri", TTL: 600, NotBefore: time.Now(), NotAfter: time.Now().Add(24 * time.Hour)})
	if err != nil {
		log.Fatal(err)
	}
	keys := profile.Keyring{}
	sign := map[profile.Role]tenant.Secret{}
	for _, role := range []profile.Role{profile.Service, profile.Security, profile.Identity} {
		public, private, err := ed25519.GenerateKey(nil)
		if err != nil {
			log.Fatal(err)
		}
		key, err := profile.Ed25519(public)
		if err != nil {
			log.Fatal(err)
		}
		keys[role], sign[role] = []profile.Key{key}, tenant.NewSecret(private.Seed())
	}
	for _, role := range []profile.Role{profile.Service, profile.Security} {
		if env, err = profile.Sign(env, sign[role]); err != nil {
			log.Fatal(err)
		}
	}
	_, err = profile.Load(env, keys, time.Now())
	fmt.Println(errors.Is(err, profile.ErrUnapproved), err)

	if env, err = profile.Sign(env, sign[profile.Identity]); err != nil {
		log.Fatal(err)
	}
	v, err := profile.Load(env, keys, time.Now())
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(v.Profile().ID, v.Profile().Operations)
	// Output:
	// true profile: not approved by every role: missing: identity
	// ingest-source [/CreateCustomization]
}
