package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"

	"github.com/cloisterdev/cloister/kmsctx"
)

const envelopeUsage = `Usage: cloister seal | open    --kms KEY --context k=v... [flags] <IN >OUT
       cloister rewrap         --kms KEY --context k=v... [--to-kms KEY] [--to-context k=v...] [flags] <IN >OUT
       cloister inspect        [--json] <IN

Messages have the format of the AWS Encryption SDK, version 2, and the official
SDKs read and write them too.

  --kms KEY        raw:FILE   a file {"namespace": "...", "name": "...", "key": "32 bytes in base64"}
                   local:DIR  a store of package localkms; see --root-key, --key. seal makes
                              the key, and a grant for exactly this context. Every use
                              of a key stands in the audit log DIR/audit. What local: sealed
                              does not open with aws:, nor the other way about, even where
                              cloister kms serve serves the same DIR
                   aws:ARN    a key of AWS KMS, as aws:arn:aws:kms:REGION:ACCOUNT:key/ID; the
                              usual AWS_* variables are respected
  --context k=v    one pair of the encryption context, repeated; at least one.
                   open needs exactly the pairs that the message was sealed with
  --withhold k     authenticate the pair of this key and do not store it; to open,
                   name it again and give its value with --context. A key
                   service hears the whole context all the same, and has it in
                   its log; what these commands log of a local: store has not
  --root-key FILE  local: the file with the store's root key, 32 bytes (DIR/../root.key)
  --key NAME       local: the key's name (default "default")
  --grant-token T  aws: the token of a new grant, repeated; it makes the grant count
                   before it has reached all of the service
  --suite 0478     or 0578, signed: what seal writes (0478), and rewrap (that of the
                   old message). Both are read
  --frame N        seal, rewrap: bytes of plaintext a frame, 1 to 16777216 (65536)
  --unframed       open, rewrap: also read messages of one single block
  -o FILE          write FILE, complete or not at all, instead of standard output
  --progress       say how far it is on standard error; on a terminal it does so anyway

rewrap opens with these, and seals with:
  --to-kms KEY     the new key; without it, the old one
  --to-context k=v the new encryption context, whole; without it, the old one
  --to-root-key FILE, --to-key NAME, --to-grant-token T
                   of --to-kms, what --root-key, --key and --grant-token are of --kms
  --header-only    make a new header and copy the body as it is, verified on the way;
                   the old key is used twice. Refused for a signed message. See
                   "What it costs" in the documentation of kmsctx.Envelope.Rewrap:
                   destroy the old message

inspect shows a header that nobody has verified; --json for programs.

open writes what it has verified as it goes: at exit code 1 without -o, what came
out is a part of the plaintext and must not be used as the whole.
`

func envelope(ctx context.Context, command string, args []string, in io.Reader, out, errOut io.Writer) error {
	if command == "inspect" {
		return inspect(args, in, out, errOut)
	}
	a := envelopeArgs{frame: 64 << 10}
	fs := a.flags(command)
	switch err := fs.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		_, err = fmt.Fprint(out, envelopeUsage)
		return err
	case err != nil:
		return fmt.Errorf("%w: %w; see cloister %s --help", errUsage, err, command)
	case fs.NArg() > 0:
		return fmt.Errorf("%w: %q is left over; cloister %s reads standard input", errUsage, fs.Arg(0), command)
	case a.from.spec == "" || len(a.pairs) == 0:
		return fmt.Errorf("%w: cloister %s needs --kms and at least one --context; see --help", errUsage, command)
	}
	given := map[string]bool{}
	fs.Visit(func(f *flag.Flag) { given[f.Name] = true })
	suites := map[string]kmsctx.Suite{"0478": kmsctx.Committing, "0578": kmsctx.CommittingSigned}
	suite, ok := suites[a.suite]
	switch {
	case given["suite"] && !ok:
		return fmt.Errorf("%w: --suite is 0478 or 0578, not %q", errUsage, a.suite)
	case a.headerOnly && (given["suite"] || given["frame"]):
		return fmt.Errorf("%w: --header-only keeps the body, and with it --suite and --frame", errUsage)
	case given["o"] && a.out == "":
		return fmt.Errorf("%w: -o names no file; leave it away to write standard output", errUsage)
	case a.frame < 1 || a.frame > maxFrame:
		return fmt.Errorf("%w: --frame is 1 to %d bytes, not %d", errUsage, maxFrame, a.frame)
	}
	a.from.withheld, a.to.withheld = a.withhold, a.withhold
	a.from.seals = command == "seal"
	ec, to, err := a.contexts(command)
	if err != nil {
		return err
	}
	if err := a.from.check("--"); err != nil {
		return err
	}
	ring, err := a.from.keyring(ctx, ec, command == "seal")
	if err != nil {
		return err
	}
	o := kmsctx.Options{Suite: suite, FrameLength: a.frame, Withheld: a.withhold, AllowUnframed: a.unframed, AllowRewrap: a.headerOnly}
	env, err := kmsctx.New(ring, &o)
	if err != nil {
		return err
	}
	p := startProgress(in, errOut, a.progress)
	defer p.end()
	defer p.interruptible(ctx)()
	return writeTo(a.out, out, func(w io.Writer) error {
		switch command {
		case "seal":
			return seal(ctx, env, ec, p, w)
		case "open":
			r, err := a.open(ctx, env, ec, p)
			if err == nil {
				_, err = r.WriteTo(w)
			}
			return err
		}
		return a.rewrap(ctx, env, o, ec, to, p, w)
	})
}

func seal(ctx context.Context, env *kmsctx.Envelope, ec kmsctx.Context, r io.Reader, w io.Writer) error {
	s, err := env.NewWriter(ctx, w, ec)
	if err != nil {
		return err
	}
	if _, err := io.Copy(s, r); err != nil {
		s.Abort()
		return err
	}
	return s.Close()
}
