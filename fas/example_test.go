package fas_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log"
	"net/http"
	"os"
	"time"

	"github.com/cloisterdev/cloister/fas"
	"github.com/cloisterdev/cloister/fas/firewalld"
	"github.com/cloisterdev/cloister/fas/sigv4"
	"github.com/cloisterdev/cloister/tenant"
)

// sign is what a customer's client does, and capture what the front end keeps
// of it.
func sign(op string, body []byte, key firewalld.AccessKey) (fas.Evidence, error) {
	r, err := http.NewRequest(http.MethodPost, "http://service.local/"+op, bytes.NewReader(body))
	if err != nil {
		return fas.Evidence{}, err
	}
	err = sigv4.SignRequest(r, body, sigv4.Credentials{AccessKeyID: key.AccessKeyID, Secret: tenant.NewSecret([]byte(key.SecretAccessKey)),
		Region: "us-east-1", Service: "codewhisperer"}, time.Now())
	if err != nil {
		return fas.Evidence{}, err
	}
	r.RequestURI, r.Host = "/"+op, "service.local"
	ev, _, err := sigv4.Capture(r, 1<<20)
	if err != nil {
		return fas.Evidence{}, err
	}
	return fas.SigV4Evidence(ev)
}

// A front end asks the firewall, over a socket, for what a customer's signed
// call is good for: not the wrong secret's, not the same call again, not a
// verb that the call does not have.
func Example() {
	check := func(err error) {
		if err != nil {
			log.Fatal(err)
		}
	}
	dir, err := os.MkdirTemp("", "firewall")
	check(err)
	defer os.RemoveAll(dir)
	root := tenant.NewSecret(bytes.Repeat([]byte{1}, 32))
	wall, err := firewalld.Open(dir, root, &recorder{}, &firewalld.Options{Operations: []fas.Operation{
		{Path: "/CreateCustomization", Action: "CreateCustomization", Mutating: true, Verbs: []fas.Verb{fas.VerbCatalogCreate}}}})
	check(err)
	defer wall.Close()
	name, err := tenant.NewText("Acme", 100)
	check(err)
	acme, err := firewalld.AddTenant(dir, root, name)
	check(err)
	key, err := firewalld.AddUser(dir, root, acme, name, true)
	check(err)

	frontEnd, firewall, err := socketPair()
	check(err)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go wall.Serve(ctx, firewall)
	gate, err := fas.Dial(frontEnd)
	check(err)
	defer gate.Close()
	request := fas.Request{RequestID: tenant.NewRequestID()}

	forged := key
	forged.SecretAccessKey = "a guess"
	ev, err := sign("CreateCustomization", []byte(`{}`), forged)
	check(err)
	_, err = gate.AssumeOwn(ctx, ev, request)
	fmt.Println("a guessed secret:", errors.Is(err, fas.ErrDenied))

	ev, err = sign("CreateCustomization", []byte(`{}`), key)
	check(err)
	session, err := gate.AssumeOwn(ctx, ev, request)
	check(err)
	defer session.Close()
	_, err = gate.AssumeOwn(ctx, ev, fas.Request{RequestID: tenant.NewRequestID()})
	fmt.Println("the same call again:", errors.Is(err, fas.ErrReplayed))
	_, err = gate.Catalog(session).List(ctx)
	fmt.Println("another verb:", errors.Is(err, fas.ErrVerb))

	row, _, err := gate.Catalog(session).Create(ctx, fas.CreateInput{Name: name})
	check(err)
	fmt.Println("the call itself:", row.State, row.Name, session.Tenant() == acme)
	// Output:
	// a guessed secret: true
	// the same call again: true
	// another verb: true
	// the call itself: CREATING "Acme" true
}
