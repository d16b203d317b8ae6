package cloud_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"

	"github.com/cloisterdev/cloister/audit"
	"github.com/cloisterdev/cloister/examples/customization/internal/cloud"
	"github.com/cloisterdev/cloister/fas/localsts"
	"github.com/cloisterdev/cloister/fas/sigv4"
	"github.com/cloisterdev/cloister/tenant"
)

// A bucket opens to its own tenant's key, and a stranger does not even learn
// that it is there.
func Example() {
	dir, err := os.MkdirTemp("", "cloud")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	log, err := audit.Open(dir+"/audit", nil)
	if err != nil {
		panic(err)
	}
	defer log.Close()
	authority, err := localsts.NewAuthority(localsts.NewKeys())
	if err != nil {
		panic(err)
	}
	verifier, err := localsts.NewVerifier(authority.Material())
	if err != nil {
		panic(err)
	}
	store, err := cloud.Open(dir, verifier, log)
	if err != nil {
		panic(err)
	}
	defer store.Close()
	srv := httptest.NewServer(store)
	defer srv.Close()

	keys, err := cloud.OpenKeys(dir)
	if err != nil {
		panic(err)
	}
	as := func(id, bucket string) *http.Client {
		if err := keys.Add(id, tenant.NewID(), bucket, "secret of "+id); err != nil {
			panic(err)
		}
		return &http.Client{Transport: &sigv4.Transport{AccessKeyID: id, Secret: tenant.NewSecret([]byte("secret of " + id)), Region: "us-east-1", Service: "s3"}}
	}
	owner, stranger := as("AKIAOWNEROWNEROWNER1", "src-owner"), as("AKIASTRANGERSTRANGE1", "src-stranger")
	put := func(c *http.Client, bucket string) string {
		r, err := http.NewRequest(http.MethodPut, srv.URL+"/"+bucket+"/main.go", strings.NewReader("package main"))
		if err != nil {
			panic(err)
		}
		res, err := c.Do(r)
		if err != nil {
			panic(err)
		}
		defer res.Body.Close()
		return res.Status
	}
	fmt.Println("before it is made:", put(stranger, "src-owner"))
	fmt.Println("by its owner:     ", put(owner, "src-owner"))
	fmt.Println("by a stranger:    ", put(stranger, "src-owner"))
	// Output:
	// before it is made: 403 Forbidden
	// by its owner:      200 OK
	// by a stranger:     403 Forbidden
}
