package profile_test

import (
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"time"

	"github.com/cloisterdev/cloister/fas/profile"
	"github.com/cloisterdev/cloister/tenant"
)

// Who brings back an approved but older profile changes nothing, and somebody
// hears of it.
func ExampleStore() {
	dir, err := os.MkdirTemp("", "profiles")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	keys, seeds := profile.Keyring{}, map[profile.Role][]byte{}
	for _, role := range []profile.Role{profile.Service, profile.Security, profile.Identity} {
		public, private, err := ed25519.GenerateKey(nil)
		if err != nil {
			log.Fatal(err)
		}
		key, err := profile.Ed25519(public)
		if err != nil {
			log.Fatal(err)
		}
		keys[role], seeds[role] = []profile.Key{key}, private.Seed()
	}
	put := func(version int) {
		env, err := profile.New(profile.Profile{ID: "ingest-source", Version: version, Operations: []string{"/CreateCustomization"}, Callers: []string{"front-end"},
			Allow: json.RawMessage(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:GetObject","Resource":"arn:aws:s3:::*"}]}`),
			Bind:  "/source/uri", TTL: 600, NotBefore: time.Now(), NotAfter: time.Now().Add(24 * time.Hour)})
		for _, seed := range seeds {
			if err == nil {
				env, err = profile.Sign(env, tenant.NewSecret(append([]byte{}, seed...)))
			}
		}
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, "source.json"), env, 0o600)
		}
		if err != nil {
			log.Fatal(err)
		}
	}

	state := filepath.Join(dir, "state")
	_, err = profile.OpenStore(dir, state, keys, func(profile.Change) {}, nil)
	fmt.Println(errors.Is(err, profile.ErrStore), err)
	if err := profile.InitStore(state); err != nil { // once, when it is set up
		log.Fatal(err)
	}
	put(2)
	s, err := profile.OpenStore(dir, state, keys, func(c profile.Change) { fmt.Println(c.File, c.Version, c.Err) }, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer s.Close()
	put(1)
	if err := s.Reload(); err != nil {
		log.Fatal(err)
	}
	v, err := s.Get("ingest-source")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("in force:", v.Profile().Version)
	// Output:
	// true profile: store not accepted: the state file is not there; make it once, or restore it from a backup
	// source.json 2 <nil>
	// source.json 1 profile: does not replace the other: version 1, where 2 was in force
	// in force: 2
}
