// Command customization is the example service of Cloister: customizations of
// a code completion engine with each tenant's private code, isolated from one
// another from the customer's signature to the engine slot.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
)

const usage = `Usage: customization COMMAND [flags]

  demo      start everything, two tenants, real code, and a gallery of attacks
  serve     run the service: --data DIR --listen ADDR --s3-listen ADDR
  tenant    tenant add NAME --data DIR
  user      user add TENANT NAME [--admin] --data DIR
  key       key disable|enable TENANT, key revoke TENANT CUSTOMIZATION,
            key add TENANT USER PUBLIC.pem PROOF, key remove TENANT KEY: --data DIR
            key prove TENANT USER PRIVATE.pem: what the user gives for PROOF
  issuer    issuer set TENANT URL AUDIENCE [SUBJECT=USER...], issuer clear TENANT: --data DIR
  policy    policy set TENANT FILE..., policy clear TENANT: --data DIR
  customize upload a folder, create, wait, activate, share: --as ADMIN.json
  complete  the rest of a line: FILE:LINE --as USER.json
  load      load generator: --clients N --seconds S [--addr A --as USER.json]
  evaluate  completions with and without the customization, on kept-out files

Every command has --help.
`

type command func(ctx context.Context, args []string, out io.Writer) error

// commands are what a person types; roles are what the supervisor starts.
var (
	commands = map[string]command{
		"demo": runDemo, "serve": runServe, "tenant": runTenant, "user": runUser,
		"key": runKey, "policy": runPolicy, "issuer": runIssuer,
		"customize": runCustomize, "complete": runComplete,
		"load": runLoad, "evaluate": runEvaluate,
	}
	roles = map[string]func(args []string) error{
		"_firewall": roleFirewall, "_cloud": roleCloud, "_front": roleFront, "_slot": roleSlot, "_worker": roleWorker, "_captive": roleCaptive,
	}
)

func main() {
	if len(os.Args) < 2 || os.Args[1] == "help" || os.Args[1] == "--help" || os.Args[1] == "-h" {
		fmt.Print(usage)
		return
	}
	if role, ok := roles[os.Args[1]]; ok {
		if err := role(os.Args[2:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	cmd, ok := commands[os.Args[1]]
	if !ok {
		fmt.Fprintf(os.Stderr, "customization: no command %q\n%s", os.Args[1], usage)
		os.Exit(2)
	}
	// A reader of our output that goes away ends the work like any other signal:
	// what was started is stopped, and what was made is removed.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGPIPE)
	defer stop()
	if err := cmd(ctx, os.Args[2:], os.Stdout); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return
		}
		fmt.Fprintf(os.Stderr, "customization: %v\n", err)
		os.Exit(1)
	}
}
