// Command fas runs an identity firewall: a signed call becomes a session for
// what was signed, and nothing else does.
package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/cloisterdev/cloister/audit"
	"github.com/cloisterdev/cloister/fas"
	"github.com/cloisterdev/cloister/fas/firewalld"
	"github.com/cloisterdev/cloister/fas/sigv4"
	"github.com/cloisterdev/cloister/tenant"
)

func main() {
	if err := run(context.Background()); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context) error {
	dir, err := os.MkdirTemp("", "fas-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	rec, err := audit.Open(filepath.Join(dir, "audit"), nil)
	if err != nil {
		return err
	}
	defer rec.Close()
	root := tenant.NewSecret(bytes.Repeat([]byte{7}, 32)) // 32 random bytes in a service
	wall, err := firewalld.Open(dir, root, rec, &firewalld.Options{Operations: []fas.Operation{
		{Path: "/ListCustomizations", Action: "ListCustomizations", Verbs: []fas.Verb{fas.VerbCatalogList}}}})
	if err != nil {
		return err
	}
	defer wall.Close()
	acme, err1 := firewalld.AddTenant(dir, root, tenant.Text{})
	admin, err2 := firewalld.AddUser(dir, root, acme, tenant.Text{}, true)
	if err := errors.Join(err1, err2); err != nil {
		return err
	}
	ask := func(secret string) (*fas.Session, error) {
		r, err := http.NewRequest(http.MethodPost, "http://service.local/ListCustomizations", http.NoBody)
		if err != nil {
			return nil, err
		}
		key := sigv4.Credentials{AccessKeyID: admin.AccessKeyID, Secret: tenant.NewSecret([]byte(secret)), Region: "us-east-1", Service: "codewhisperer"}
		if err := sigv4.SignRequest(r, nil, key, time.Now()); err != nil {
			return nil, err
		}
		r.RequestURI = r.URL.Path // a server finds it there
		signed, _, err1 := sigv4.Capture(r, 1<<10)
		ev, err2 := fas.SigV4Evidence(signed)
		if err := errors.Join(err1, err2); err != nil {
			return nil, err
		}
		return wall.AssumeOwn(ctx, ev, fas.Request{RequestID: tenant.NewRequestID()})
	}
	if _, err := ask("a guess"); !errors.Is(err, fas.ErrDenied) {
		return fmt.Errorf("a guessed secret: %w", err)
	}
	fmt.Println("refused: a call signed with a guessed secret")
	s, err := ask(admin.SecretAccessKey)
	if err != nil {
		return err
	}
	fmt.Println("session: lists", s.Allows(fas.VerbCatalogList), "queries", s.Allows(fas.VerbQuery), "own tenant", s.Tenant() == acme)
	return s.Close()
}
