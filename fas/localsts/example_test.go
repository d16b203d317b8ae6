package localsts_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"time"

	"github.com/cloisterdev/cloister/fas"
	"github.com/cloisterdev/cloister/fas/localsts"
)

// Nobody but the firewall has a grant to give, and a made-up token opens
// nothing. The package fas shows a session that the firewall issued.
func Example() {
	authority, err := localsts.NewAuthority(localsts.NewKeys())
	if err != nil {
		log.Fatal(err)
	}
	_, err = authority.Issue(context.Background(), fas.Grant{})
	fmt.Println(errors.Is(err, localsts.ErrConfig), err)

	bucket, err := localsts.NewVerifier(authority.Material())
	if err != nil {
		log.Fatal(err)
	}
	_, _, err = bucket.Lookup("ASIA0123456789", "2.0123456789abcdef.e30.c2lnbmVk", time.Now())
	fmt.Println(errors.Is(err, localsts.ErrToken), err)
	// Output:
	// true localsts: keys are missing
	// true localsts: session token not accepted: unknown key
}

// Material that goes back to earlier keys is refused. In the other direction
// the change has no gap: the old keys stay known until their last session is
// over.
func ExampleKeys_Rotate() {
	keys := localsts.NewKeys()
	authority, err := localsts.NewAuthority(keys)
	if err != nil {
		log.Fatal(err)
	}
	before := authority.Material()
	bucket, err := localsts.NewVerifier(before)
	if err != nil {
		log.Fatal(err)
	}
	next, err := keys.Rotate(time.Now(), time.Now().Add(time.Minute))
	if err != nil {
		log.Fatal(err)
	}
	if err := authority.Use(next); err != nil { // once next is durable
		log.Fatal(err)
	}
	if err := bucket.Update(authority.Material()); err != nil {
		log.Fatal(err)
	}
	fmt.Println(errors.Is(bucket.Update(before), localsts.ErrConfig), errors.Is(authority.Use(keys), localsts.ErrConfig))
	fmt.Println(len(authority.Material().Keys), "keys of version", authority.Material().Version)
	// Output:
	// true true
	// 2 keys of version 2
}
