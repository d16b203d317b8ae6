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
	_, _, err = bucket.Lookup("ASIA0123456789", "1.e30.c2lnbmVk", time.Now())
	fmt.Println(errors.Is(err, localsts.ErrToken), err)
	// Output:
	// true localsts: keys are missing
	// true localsts: session token not accepted
}
