package firewalld_test

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"fmt"
	"log"
	"os"

	"github.com/cloisterdev/cloister/fas"
	"github.com/cloisterdev/cloister/fas/firewalld"
	"github.com/cloisterdev/cloister/tenant"
)

// Without a recorder there is no firewall, and another root key opens nothing
// of this one's. Package fas shows one that serves.
func Example() {
	dir, err := os.MkdirTemp("", "firewall")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	root, other := tenant.NewSecret(bytes.Repeat([]byte{1}, 32)), tenant.NewSecret(bytes.Repeat([]byte{2}, 32))
	opts := &firewalld.Options{Operations: []fas.Operation{{Path: "/ListCustomizations", Action: "ListCustomizations", Verbs: []fas.Verb{fas.VerbCatalogList}}}}

	_, err = firewalld.Open(dir, root, nil, opts)
	fmt.Println("without a recorder:", errors.Is(err, fas.ErrConfig))

	wall, err := firewalld.Open(dir, root, &recorder{}, opts)
	if err != nil {
		log.Fatal(err)
	}
	if err := wall.Close(); err != nil {
		log.Fatal(err)
	}
	_, err = firewalld.Open(dir, other, &recorder{}, opts)
	fmt.Println("with another root key:", err != nil)

	wall, err = firewalld.Open(dir, root, &recorder{}, opts)
	fmt.Println("with its own:", err)
	if err == nil {
		err = wall.Close()
	}
	// Output:
	// without a recorder: true
	// with another root key: true
	// with its own: <nil>
}

// newUser makes a tenant with one user.
func newUser(dir string, root tenant.Secret) (tenant.ID, tenant.UserID) {
	name, err := tenant.NewText("name", 10)
	if err != nil {
		log.Fatal(err)
	}
	id, err := firewalld.AddTenant(dir, root, name)
	if err != nil {
		log.Fatal(err)
	}
	key, err := firewalld.AddUser(dir, root, id, name, true)
	if err != nil {
		log.Fatal(err)
	}
	return id, key.User
}

// The proof is made where the private key is, and names the one user whose the
// key becomes.
func ExampleAddPublicKey() {
	dir, err := os.MkdirTemp("", "firewall")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	root := tenant.NewSecret(bytes.Repeat([]byte{1}, 32))
	acme, ann := newUser(dir, root)
	globex, gus := newUser(dir, root)
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		log.Fatal(err)
	}

	proof, err := firewalld.ProvePublicKey(private, acme, ann)
	if err != nil {
		log.Fatal(err)
	}
	_, err = firewalld.AddPublicKey(dir, root, globex, gus, public, proof)
	fmt.Println(err)
	id, err := firewalld.AddPublicKey(dir, root, acme, ann, public, proof)
	fmt.Println(id == firewalld.PublicKeyID(public), err)
	// Output:
	// firewalld: no proof that the user holds the private key
	// true <nil>
}
