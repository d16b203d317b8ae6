package main

import (
	"context"
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"io"
	"path/filepath"
	"regexp"
	"strconv"
	"time"

	"github.com/cloisterdev/cloister/audit"
	"github.com/cloisterdev/cloister/kmsctx/kmsserver"
	"github.com/cloisterdev/cloister/kmsctx/localkms"
)

const kmsUsage = `Usage: cloister kms init  --root-key FILE --principals FILE [--account ACCOUNT]
       cloister kms serve --dir DIR --root-key FILE --principals FILE [flags]

A key service that speaks the wire protocol of AWS KMS. The AWS SDKs and the AWS
CLI drive it as they are; grants, constraints, tokens and key policies decide.

init makes a root key and the access key of the account's root, in files that
only you can read. It overwrites nothing.

  --dir DIR          the store; it is made if it is not there
  --root-key FILE    32 bytes, or their base64: what the store is sealed with.
                     Keep it, and a copy of it, somewhere else than DIR
  --principals FILE  {"principals": [{"accessKeyId", "secretAccessKey", "arn",
                     "policy"}]}; policy, in the IAM language, may be absent
  --listen HOST:PORT where to serve (127.0.0.1:7071); other addresses than
                     loopback need --tls-cert and --tls-key
  --audit DIR        the audit log of every call (DIR/audit). What cannot be recorded
                     is refused, and standard error says why
  --region, --account
                     as in ARNs (us-east-1, 000000000000)
  --propagation TIME for how long a new grant needs its token (0s)
  --rate N           requests a second of each principal; more are throttled (0:
                     as many as it likes)
  --max-keys N, --max-grants N
                     keys of the account, grants of a key (0: 10000, 50000)
  --tls-cert, --tls-key FILE
                     PEM files
`

var errKMS = fmt.Errorf("%w: cloister kms init | serve; see cloister kms --help", errUsage)

// kmsArgs are the flags of kms.
type kmsArgs struct {
	dir, root, principals, listen, audit, region, account, cert, key string
	propagation                                                      time.Duration
	rate, maxKeys, maxGrants                                         int
}

func kmsCommand(ctx context.Context, args []string, out, errOut io.Writer) error {
	if len(args) == 0 {
		return errKMS
	}
	if asksForHelp(args[0]) {
		_, err := fmt.Fprint(out, kmsUsage)
		return err
	}
	if args[0] != "serve" && args[0] != "init" {
		return stray(errKMS, args[0])
	}
	var a kmsArgs
	f := a.flags(args[0])
	if err := f.Parse(args[1:]); errors.Is(err, flag.ErrHelp) {
		_, err := fmt.Fprint(out, kmsUsage)
		return err
	} else if err != nil {
		return errors.Join(errKMS, err)
	}
	switch {
	case f.NArg() > 0:
		return fmt.Errorf("%w: kms %s takes flags only, and %.40q is none", errUsage, args[0], f.Arg(0))
	case a.root == "" || a.principals == "":
		return fmt.Errorf("%w: kms %s needs --root-key and --principals", errUsage, args[0])
	case !accountID.MatchString(a.account):
		return fmt.Errorf("%w: --account %.40q: an account has twelve digits", errUsage, a.account)
	case args[0] == "init":
		return a.init(out)
	case a.dir == "":
		return fmt.Errorf("%w: kms serve needs --dir", errUsage)
	case (a.cert == "") != (a.key == ""):
		return fmt.Errorf("%w: --tls-cert and --tls-key are given together, and %s is missing", errUsage, map[bool]string{true: "--tls-cert", false: "--tls-key"}[a.cert == ""])
	case a.propagation < 0:
		return fmt.Errorf("%w: --propagation %s: a new grant cannot be in force before it is made; use 0s or more", errUsage, a.propagation)
	case min(a.rate, a.maxKeys, a.maxGrants) < 0:
		return fmt.Errorf("%w: --rate, --max-keys and --max-grants are not negative", errUsage)
	}
	return a.serve(ctx, out, errOut)
}

// flags are those that the verb has.
func (a *kmsArgs) flags(verb string) *flag.FlagSet {
	f := flag.NewFlagSet("kms", flag.ContinueOnError)
	f.SetOutput(io.Discard)
	f.StringVar(&a.root, "root-key", "", "")
	f.StringVar(&a.principals, "principals", "", "")
	f.StringVar(&a.account, "account", "000000000000", "")
	if verb == "init" {
		return f
	}
	f.StringVar(&a.dir, "dir", "", "")
	f.StringVar(&a.listen, "listen", "127.0.0.1:7071", "")
	f.StringVar(&a.audit, "audit", "", "")
	f.StringVar(&a.region, "region", "us-east-1", "")
	f.StringVar(&a.cert, "tls-cert", "", "")
	f.StringVar(&a.key, "tls-key", "", "")
	f.Func("propagation", "", a.setPropagation)
	f.IntVar(&a.rate, "rate", 0, "")
	f.IntVar(&a.maxKeys, "max-keys", 0, "")
	f.IntVar(&a.maxGrants, "max-grants", 0, "")
	return f
}

func (a *kmsArgs) setPropagation(s string) (err error) {
	if a.propagation, err = time.ParseDuration(s); err == nil {
		return nil
	}
	if _, err := strconv.Atoi(s); err == nil {
		return fmt.Errorf("a time has a unit, and %ss is meant, or %[1]sm", s)
	}
	return errors.New("a time is meant, such as 10s or 5m")
}

var accountID = regexp.MustCompile(`^[0-9]{12}$`)

func (a kmsArgs) serve(ctx context.Context, out, errOut io.Writer) (err error) {
	key, err := rootKey(a.root)
	if err != nil {
		return err
	}
	defer key.Destroy()
	who, err := principals(a.principals)
	if err != nil {
		return err
	}
	if err := a.sameAccount(who); err != nil {
		return err
	}
	if a.audit == "" {
		a.audit = filepath.Join(a.dir, "audit")
	}
	if err := storeLost(a.dir, a.audit); err != nil {
		return err
	}
	store, err := localkms.Open(a.dir, key)
	if err != nil {
		return fmt.Errorf("%s: %w", a.dir, err)
	}
	log, err := audit.Open(a.audit, nil)
	if errors.Is(err, audit.ErrLocked) {
		return fmt.Errorf("%s: another process has it: cloister kms serve on this store, or a command that uses it: %w", a.audit, audit.ErrLocked)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", a.audit, err)
	}
	defer func() { err = errors.Join(err, log.Close()) }()
	heard := &alarm{log: log, w: errOut}
	service, err := localkms.NewService(store, kmsAudit{heard}, &localkms.Options{Account: a.account, Region: a.region, Propagation: a.propagation,
		Limits: localkms.Limits{Keys: a.maxKeys, GrantsPerKey: a.maxGrants}})
	if err != nil {
		return err
	}
	refusals := &refusals{log: heard}
	defer refusals.flush()
	handler, err := kmsserver.New(service, who, &kmsserver.Options{Refused: refusals.add, Rate: a.rate})
	if err != nil {
		return err
	}
	var c *tls.Config
	scheme := "http"
	if a.cert != "" {
		pair, err := keyPair(a.cert, a.key)
		if err != nil {
			return err
		}
		c, scheme = &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}, "https"
	}
	l, err := kmsserver.Listen(a.listen, c)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, `serving on %s://%s

Point AWS SDKs and the AWS CLI at it; the access keys are those of %s:
  export AWS_ENDPOINT_URL_KMS=%s://%s AWS_REGION=%s
  export AWS_ACCESS_KEY_ID=... AWS_SECRET_ACCESS_KEY=...
  aws kms create-key
`, scheme, l.Addr(), a.principals, scheme, l.Addr(), a.region)
	return kmsserver.Serve(ctx, l, handler)
}
