// Command cloister is a thin shell over the packages of Cloister.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"

	"github.com/cloisterdev/cloister/audit"
)

const usage = `Usage: cloister COMMAND [flags]

  version           print the version
  audit verify DIR  check an audit log: --key FILE, --json
  policy check FILE print what in a policy is seldom meant: --json
  policy subset PROFILE SCOPE
                    say whether a profile allows all that a scope-down does: --json
  policy eval FILE… decide one access, which every file must allow: --action A
                    --resource R --context KEY=VALUE (again for more), --json
  seal, open        encrypt and decrypt streams, bound to an encryption context
  rewrap, inspect   change the key or context of a message; show its header.
                    --help after one of the four says more
  profile new       make a profile from flags or JSON, for three teams to sign
  profile sign FILE add a signature: --ssh FILE of ssh-keygen, --key SEED, --write
  profile verify FILE
                    say which roles signed and what is missing: --keys KEYRING,
                    --replaces OLD, --json
  profile show FILE print a profile for a reviewer: --json; --payload for ssh-keygen
  profile diff OLD NEW
                    say in words what a new version widens and narrows: --json
  kms serve, init   a key service that speaks AWS KMS's wire protocol
  invariants        print what must never happen, and what attacks it: --json

Exit codes: 0 done, and kms serve when it is told to end; 1 refused, or failed;
2 not the usage; 130 interrupted. An error is one line on standard error.
`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// These put away what they made; the others may wait for a file for ever.
	heeds := len(os.Args) > 1 && slices.Contains([]string{"seal", "open", "rewrap", "kms"}, os.Args[1])
	context.AfterFunc(ctx, func() {
		stop() // a second signal ends it wherever it waits
		if !heeds {
			fmt.Fprintln(os.Stderr, "cloister: interrupted")
			os.Exit(interrupted)
		}
	})
	os.Exit(command(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// run is [command] without input.
func run(args []string, out, errOut io.Writer) int {
	return command(context.Background(), args, strings.NewReader(""), out, errOut)
}

// interrupted is the exit code that shells give for an interrupt.
const interrupted = 130

// command returns the exit code: 0 for success, 1 for a refusal, 2 for bad
// usage, or interrupted.
func command(ctx context.Context, args []string, in io.Reader, out, errOut io.Writer) int {
	var err error
	switch {
	case len(args) == 0 || args[0] == "help" || args[0] == "--help" || args[0] == "-h":
		_, err = fmt.Fprint(out, usage)
	case args[0] == "version" && len(args) > 1:
		err = stray(fmt.Errorf("%w: cloister version", errUsage), args[1])
	case args[0] == "version":
		err = version(out)
	case args[0] == "audit":
		err = auditCommand(args[1:], out)
	case args[0] == "policy" && len(args) > 1:
		err = policyCommand(args[1], args[2:], out)
	case args[0] == "policy":
		err = errPolicyUsage
	case slices.Contains([]string{"seal", "open", "rewrap", "inspect"}, args[0]):
		err = envelope(ctx, args[0], args[1:], in, out, errOut)
	case args[0] == "profile":
		err = profileCommand(args[1:], out)
	case args[0] == "kms":
		err = kmsCommand(ctx, args[1:], out, errOut)
	case args[0] == "invariants":
		err = invariants(args[1:], out)
	default:
		err = fmt.Errorf("%w: cloister: no such command: %.40q; cloister help names them", errUsage, args[0])
	}
	switch {
	case err == nil || errors.Is(err, flag.ErrHelp):
		return 0
	case errors.Is(err, context.Canceled) && ctx.Err() != nil:
		fmt.Fprintln(errOut, "cloister: interrupted")
		return interrupted
	case errors.Is(err, errUsage):
		fmt.Fprintln(errOut, oneLine(err))
		return 2
	}
	fmt.Fprintf(errOut, "cloister: %s\n", oneLine(err))
	return 1
}

var (
	errUsage       = errors.New("usage")
	errAuditVerify = fmt.Errorf("%w: cloister audit verify DIR [--key FILE] [--json]", errUsage)
)

func version(out io.Writer) error {
	v := "(devel)"
	if bi, ok := debug.ReadBuildInfo(); ok && bi.Main.Version != "" {
		v = bi.Main.Version
	}
	_, err := fmt.Fprintln(out, "cloister", v)
	return err
}

func auditCommand(args []string, out io.Writer) error {
	switch {
	case len(args) == 0:
		return errAuditVerify
	case asksForHelp(args[0]):
		return groupHelp(out, "audit")
	case args[0] != "verify":
		return stray(errAuditVerify, args[0])
	}
	return auditVerify(args[1:], out)
}

func auditVerify(args []string, out io.Writer) error {
	fs := flag.NewFlagSet("audit verify", flag.ContinueOnError)
	key := fs.String("key", "", "file with the log's public key, kept elsewhere; default: the one beside the log")
	asJSON := fs.Bool("json", false, "print the report as JSON")
	dirs, err := words(fs, args, out, errAuditVerify)
	if err == nil {
		err = count(dirs, 1, errAuditVerify)
	}
	if err != nil {
		return err
	}
	if dirs[0] == "" {
		return errAuditVerify
	}
	dir := dirs[0]
	var o audit.VerifyOptions
	if *key != "" {
		b, err := readFile(*key)
		if err != nil {
			return err
		}
		o.PublicKey = strings.TrimSpace(string(b))
	}
	rep, err := audit.Verify(dir, &o)
	if err != nil && !errors.Is(err, audit.ErrTampered) && !errors.Is(err, audit.ErrTruncated) && !errors.Is(err, audit.ErrNoCheckpoint) {
		return err
	}
	if err != nil {
		return fmt.Errorf("%s: %w; compare with your copy of the checkpoint before anything else writes there", dir, err)
	}
	if *asJSON {
		return json.NewEncoder(out).Encode(rep)
	}
	_, err = fmt.Fprintf(out, "%d records, %d signed, root %s\n", rep.Records, rep.Signed, rep.Root)
	return err
}
