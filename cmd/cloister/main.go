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
	"unicode"

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
`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends it wherever it waits
	code := command(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// run is [command] without input.
func run(args []string, out, errOut io.Writer) int {
	return command(context.Background(), args, strings.NewReader(""), out, errOut)
}

// command returns the exit code: 0 for success, 1 for a refusal, 2 for bad
// usage.
func command(ctx context.Context, args []string, in io.Reader, out, errOut io.Writer) int {
	var err error
	switch {
	case len(args) == 0 || args[0] == "help" || args[0] == "--help" || args[0] == "-h":
		_, err = fmt.Fprint(out, usage)
	case args[0] == "version":
		err = version(out)
	case args[0] == "audit" && len(args) > 1 && args[1] == "verify":
		err = auditVerify(args[2:], out)
	case args[0] == "audit":
		err = errAuditVerify
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
		err = fmt.Errorf("%w: cloister: no such command; cloister help names them", errUsage)
	}
	switch {
	case err == nil || errors.Is(err, flag.ErrHelp):
		return 0
	case errors.Is(err, errUsage):
		fmt.Fprintln(errOut, oneLine(err))
		return 2
	}
	fmt.Fprintf(errOut, "cloister: %s\n", oneLine(err))
	return 1
}

// oneLine is the text of an error for a terminal and for whoever reads lines:
// errors that hold several are joined, and what came from a message, a file or
// a service cannot move the cursor or write a line of its own.
func oneLine(err error) string {
	var lines []string
	for _, l := range strings.FieldsFunc(err.Error(), func(r rune) bool { return r == '\n' || r == '\r' || r == '\u2028' || r == '\u2029' }) {
		l = strings.TrimSpace(strings.Map(func(r rune) rune {
			if unicode.IsControl(r) || unicode.Is(unicode.Cf, r) {
				return ' '
			}
			return r
		}, l))
		if l != "" && (len(lines) == 0 || lines[len(lines)-1] != l) {
			lines = append(lines, l)
		}
	}
	return strings.Join(lines, "; ")
}

var (
	errUsage       = errors.New("usage")
	errAuditVerify = fmt.Errorf("%w: cloister audit verify DIR [--key FILE] [--json]", errUsage)
)

// words parses flags, which may stand before, between and after the words of a
// command. Where somebody asks for help it is printed, and the error is
// [flag.ErrHelp].
func words(fs *flag.FlagSet, args []string, out io.Writer, usage error) (words []string, err error) {
	fs.SetOutput(io.Discard)
	for len(args) > 0 {
		switch err := fs.Parse(args); {
		case errors.Is(err, flag.ErrHelp):
			if _, err := fmt.Fprintln(out, "Usage:", strings.TrimPrefix(usage.Error(), errUsage.Error()+": ")); err != nil {
				return nil, err
			}
			fs.SetOutput(out)
			fs.PrintDefaults()
			return nil, flag.ErrHelp
		case err != nil:
			return nil, errors.Join(usage, err)
		}
		if args = fs.Args(); len(args) > 0 {
			words, args = append(words, args[0]), args[1:]
		}
	}
	return words, nil
}

func version(out io.Writer) error {
	v := "(devel)"
	if bi, ok := debug.ReadBuildInfo(); ok && bi.Main.Version != "" {
		v = bi.Main.Version
	}
	_, err := fmt.Fprintln(out, "cloister", v)
	return err
}

func auditVerify(args []string, out io.Writer) error {
	fs := flag.NewFlagSet("audit verify", flag.ContinueOnError)
	key := fs.String("key", "", "file with the log's public key, kept elsewhere; default: the one beside the log")
	asJSON := fs.Bool("json", false, "print the report as JSON")
	dirs, err := words(fs, args, out, errAuditVerify)
	if err != nil {
		return err
	}
	if len(dirs) != 1 || dirs[0] == "" {
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
