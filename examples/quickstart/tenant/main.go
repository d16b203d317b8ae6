// Command tenant shows what keeps tenants' words and machines' IDs apart.
package main

import (
	"errors"
	"fmt"
	"log"

	"github.com/cloisterdev/cloister/tenant"
)

func main() {
	if err := run(); err != nil {
		log.Fatal(err)
	}
}

func run() error {
	// A string that somebody typed is never an ID.
	for _, typed := range []string{"../../etc/passwd", tenant.NewUserID().String(), ""} {
		if _, err := tenant.ParseID(typed); !errors.Is(err, tenant.ErrBadID) {
			return fmt.Errorf("%q was read as a tenant", typed)
		}
	}
	fmt.Println("refused: a path, a user's ID and nothing, each in the place of a tenant's ID")

	id := tenant.NewID()
	back, err := tenant.ParseID(id.String())
	if err != nil {
		return err
	}
	name, err := tenant.NewText("Acme <script>\x1b[31m", 64)
	if err != nil {
		return err
	}
	key := tenant.NewSecret([]byte("a key that must not be in a log"))
	defer key.Destroy()
	fmt.Printf("same tenant: %v, its name: %v, its key: %v\n", back == id, name, key)
	return key.Use(func(b []byte) error {
		fmt.Printf("the key has %d bytes, inside Use only\n", len(b))
		return nil
	})
}
