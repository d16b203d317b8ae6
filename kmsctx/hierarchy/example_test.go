package hierarchy_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"time"

	"github.com/cloisterdev/cloister/kmsctx"
	"github.com/cloisterdev/cloister/kmsctx/hierarchy"
)

func tenantContext(id string) kmsctx.Context {
	c, err := kmsctx.NewContext(map[string]string{"tenant": id})
	if err != nil {
		log.Fatal(err)
	}
	return c
}

func Example() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "hierarchy")
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	w, err := newWorld(ctx, dir) // in place of *dynamodb.Client and *kms.Client
	if err != nil {
		log.Fatal(err)
	}
	// The administrator's process: a branch key for each tenant.
	admin, err := hierarchy.NewAdmin(w.table, w.keys, w.place)
	if err != nil {
		log.Fatal(err)
	}
	for _, id := range []string{"tn-acme", "tn-zeta"} {
		if _, err := admin.Create(ctx, id, tenantContext(id)); err != nil {
			log.Fatal(err)
		}
	}
	// The service's.
	store, err := hierarchy.NewStore(w.table, w.keys, w.place)
	if err != nil {
		log.Fatal(err)
	}
	ring, err := hierarchy.New(store, time.Minute, hierarchy.ByPair("tenant"), nil)
	if err != nil {
		log.Fatal(err)
	}
	defer ring.Close()
	dk, err := ring.GenerateDataKey(ctx, tenantContext("tn-acme"))
	if err != nil {
		log.Fatal(err)
	}
	_, err = ring.DecryptDataKey(ctx, tenantContext("tn-zeta"), dk.Encrypted)
	fmt.Println(errors.Is(err, kmsctx.ErrNoMatchingKey))

	again, err := ring.DecryptDataKey(ctx, tenantContext("tn-acme"), dk.Encrypted)
	fmt.Println(err, string(again.Plaintext) == string(dk.Plaintext))
	// Output:
	// true
	// <nil> true
}

func ExampleNew() {
	var store *hierarchy.Store
	_, err := hierarchy.New(store, 24*time.Hour, hierarchy.ByPair("tenant"), nil)
	fmt.Println(errors.Is(err, kmsctx.ErrMalformed)) // for a day nobody could take a key back
	// Output: true
}
