// Command authz decides with Cedar who may use a customization.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"time"

	"github.com/cloisterdev/cloister/audit"
	"github.com/cloisterdev/cloister/authz"
	"github.com/cloisterdev/cloister/tenant"
)

// registry holds the facts that decisions rest on: one customization and the
// one user who may use it.
type registry struct {
	owner tenant.ID
	user  tenant.UserID
	cus   tenant.CustomizationID
}

func (r registry) User(context.Context, tenant.ID, tenant.UserID) (authz.UserFacts, error) {
	return authz.UserFacts{}, nil
}

func (r registry) Customization(_ context.Context, c tenant.CustomizationID) (authz.CustomizationFacts, error) {
	if c != r.cus {
		return authz.CustomizationFacts{}, authz.ErrUnknown
	}
	return authz.CustomizationFacts{Tenant: r.owner, State: "ACTIVATED", Users: []tenant.UserID{r.user}}, nil
}

func main() {
	if err := run(context.Background()); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context) error {
	dir, err := os.MkdirTemp("", "authz-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	rec, err := audit.Open(dir, nil)
	if err != nil {
		return err
	}
	defer rec.Close()
	schema, err := authz.ParseSchema("service", []byte(authz.DefaultSchema))
	if err != nil {
		return err
	}
	r := registry{tenant.NewID(), tenant.NewUserID(), tenant.NewCustomizationID()}
	a, err := authz.New(schema, []authz.Source{{Name: "service", Text: authz.DefaultPolicies}}, r, rec, nil)
	if err != nil {
		return err
	}
	ask := func(t tenant.ID) (authz.Permit, error) {
		c, err := tenant.VerifiedCaller(t, r.user, tenant.MethodSigV4, time.Now())
		if err != nil {
			return authz.Permit{}, err
		}
		return a.Authorize(ctx, c, "GenerateCompletions", authz.Resource{Tenant: t, Customization: r.cus})
	}
	if _, err := ask(tenant.NewID()); !errors.Is(err, authz.ErrDenied) {
		return fmt.Errorf("another tenant got in: %w", err)
	}
	fmt.Println("refused: another tenant")
	p, err := ask(r.owner)
	if err != nil {
		return err
	}
	fmt.Println("permitted:", p.Action(), "for less than a minute:", time.Until(p.Expires()) <= time.Minute)
	return nil
}
