package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/cloisterdev/cloister/authz"
	"github.com/cloisterdev/cloister/examples/customization/internal/api"
	"github.com/cloisterdev/cloister/fas/firewalld"
	"github.com/cloisterdev/cloister/tenant"
)

const keyUsage = `usage: key disable|enable TENANT --data DIR
       key revoke TENANT CUSTOMIZATION --data DIR
       key prove TENANT USER PRIVATE.pem            (by the user, who keeps the key)
       key add TENANT USER PUBLIC.pem PROOF --data DIR    (Ed25519, for HTTP signatures)
       key remove TENANT KEY --data DIR`

// runKey is what the owner of a tenant's key does. A running service obeys
// from the tenant's next call on.
func runKey(_ context.Context, args []string, out io.Writer) error {
	fs := flag.NewFlagSet("key", flag.ContinueOnError)
	data := fs.String("data", "", "data directory of the service (required)")
	words, err := positional(fs, args)
	if err != nil {
		return err
	}
	if len(words) == 4 && words[0] == "prove" && *data == "" {
		return provePublicKey(words[1], words[2], words[3], out)
	}
	if *data == "" || len(words) < 2 {
		return errors.New(keyUsage)
	}
	verb, id := words[0], words[1]
	switch {
	case (verb == "disable" || verb == "enable") && len(words) == 2:
		err = changeTenant(*data, id, func(t *firewalld.Tenant) error { t.KeyDisabled = verb == "disable"; return nil })
	case verb == "revoke" && len(words) == 3:
		c, perr := api.ParseCustomization(words[2])
		if perr != nil {
			return fmt.Errorf("CUSTOMIZATION is the ARN that CreateCustomization returned: %w", perr)
		}
		err = changeTenant(*data, id, func(t *firewalld.Tenant) error {
			if !slices.Contains(t.Revoked, c) {
				t.Revoked = append(t.Revoked, c)
			}
			return nil
		})
	case verb == "add" && len(words) == 5:
		return addPublicKey(*data, id, words[2], words[3], words[4], out)
	case verb == "remove" && len(words) == 3:
		err = removePublicKey(*data, id, words[2])
	default:
		return errors.New(keyUsage)
	}
	if err == nil {
		fmt.Fprintf(out, "%s %s: in force with the tenant's next call\n", verb, strings.Join(words[1:], " "))
	}
	return err
}

const policyUsage = `usage: policy set TENANT FILE... --data DIR
       policy clear TENANT --data DIR`

// runPolicy replaces a tenant's own Cedar policies, all or none.
func runPolicy(_ context.Context, args []string, out io.Writer) error {
	fs := flag.NewFlagSet("policy", flag.ContinueOnError)
	data := fs.String("data", "", "data directory of the service (required)")
	words, err := positional(fs, args)
	if err != nil {
		return err
	}
	if *data == "" || len(words) < 2 || words[0] == "set" != (len(words) > 2) || words[0] != "set" && words[0] != "clear" {
		return errors.New(policyUsage)
	}
	var own []authz.Source
	for _, name := range words[2:] {
		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		own = append(own, authz.Source{Name: filepath.Base(name), Text: string(text)})
	}
	if err := changeTenant(*data, words[1], func(t *firewalld.Tenant) error { t.Policies = own; return nil }); err != nil {
		return fmt.Errorf("nothing was changed: %w", err)
	}
	fmt.Fprintf(out, "%d policies, in force with the tenant's next call\n", len(own))
	return nil
}

func changeTenant(data, id string, change func(*firewalld.Tenant) error) error {
	t, err := tenant.ParseID(id)
	if err != nil {
		return fmt.Errorf("TENANT is the ID that tenant add printed: %w", err)
	}
	root, err := rootKey(data)
	if err != nil {
		return err
	}
	return firewalld.ChangeTenant(firewallDir(data), root, t, change)
}
