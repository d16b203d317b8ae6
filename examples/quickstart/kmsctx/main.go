// Command kmsctx seals data for one tenant, and tries to open it as another.
package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log"

	"github.com/cloisterdev/cloister/kmsctx"
	"github.com/cloisterdev/cloister/tenant"
)

func main() {
	ctx := context.Background()
	key := make([]byte, kmsctx.DataKeyLen) // yours comes from a secret store
	_, _ = rand.Read(key)                  // never fails
	ring, err1 := kmsctx.NewRawAES("example", "key-1", tenant.NewSecret(key))
	env, err2 := kmsctx.New(ring, &kmsctx.Options{RequiredKeys: []string{"tenant"}})
	mine, err3 := kmsctx.NewContext(map[string]string{"tenant": "acme"})
	theirs, err4 := kmsctx.NewContext(map[string]string{"tenant": "globex"})
	if err := errors.Join(err1, err2, err3, err4); err != nil {
		log.Fatal(err)
	}
	sealed, err := env.Seal(ctx, nil, []byte("func main() {}"), mine)
	if err != nil {
		log.Fatal(err)
	}
	if _, err := env.Open(ctx, nil, sealed, theirs); !errors.Is(err, kmsctx.ErrContextMismatch) {
		log.Fatalf("another tenant: %v", err)
	}
	fmt.Println("refused: opening as another tenant")
	plain, err := env.Open(ctx, nil, sealed, mine)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("opened: %s\n", plain)
}
