package main

import (
	"bufio"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/cloisterdev/cloister/kmsctx"
)

const envelopeUsage = `Usage: cloister seal | open    --kms KEY --context k=v... [flags] <IN >OUT
       cloister rewrap         --kms KEY --context k=v... [--to-kms KEY] [--to-context k=v...] [flags] <IN >OUT
       cloister inspect        [--json] <IN

Messages have the format of the AWS Encryption SDK, version 2, and the official
SDKs read and write them too.

  --kms KEY        raw:FILE   a file {"namespace": "...", "name": "...", "key": "32 bytes in base64"}
                   local:DIR  a store of package localkms; see --root-key, --key. seal makes
                              the key, and a grant for exactly this context
                   aws:ARN    a key of AWS KMS; the usual AWS_* variables are respected
  --context k=v    one pair of the encryption context, repeated; at least one.
                   open needs exactly the pairs that the message was sealed with
  --withhold k     authenticate the pair of this key and do not store it; to open,
                   name it again and give its value with --context
  --root-key FILE  local: the file with the store's root key, 32 bytes (DIR/../root.key)
  --key NAME       local: the key's name (default "default")
  --suite 0478     or 0578, signed; what seal writes. Both are read
  --frame N        bytes of plaintext a frame (65536)
  --unframed       open: also read messages of one single block
  -o FILE          write FILE, complete or not at all, instead of standard output
  --progress       say how far it is on standard error; on a terminal it does so anyway
  --header-only    rewrap: make a new header and copy the body as it is. Refused
                   for a signed message. See "What it costs" in the documentation
                   of kmsctx.Envelope.Rewrap: destroy the old message

open writes what it has verified as it goes: at exit code 1 without -o, what came
out is a part of the plaintext and must not be used as the whole.
`

// envelopeArgs are the flags of seal, open and rewrap.
type envelopeArgs struct {
	from, to                       keyArgs
	pairs, toPairs, withhold       list
	suite, out                     string
	frame                          int
	unframed, progress, headerOnly bool
}

type list []string

func (l *list) String() string { return strings.Join(*l, " ") }

// Set implements flag.Value.
func (l *list) Set(v string) error { *l = append(*l, v); return nil }

func envelope(ctx context.Context, command string, args []string, in io.Reader, out, errOut io.Writer) error {
	if command == "inspect" {
		return inspect(args, in, out, errOut)
	}
	var a envelopeArgs
	fs := flag.NewFlagSet(command, flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	fs.StringVar(&a.from.spec, "kms", "", "")
	fs.StringVar(&a.from.root, "root-key", "", "")
	fs.StringVar(&a.from.name, "key", "default", "")
	fs.Var(&a.pairs, "context", "")
	fs.Var(&a.withhold, "withhold", "")
	fs.StringVar(&a.suite, "suite", "0478", "")
	fs.IntVar(&a.frame, "frame", 0, "")
	fs.BoolVar(&a.unframed, "unframed", false, "")
	fs.StringVar(&a.out, "o", "", "")
	fs.BoolVar(&a.progress, "progress", false, "")
	if command == "rewrap" {
		fs.StringVar(&a.to.spec, "to-kms", "", "")
		fs.StringVar(&a.to.root, "to-root-key", "", "")
		fs.StringVar(&a.to.name, "to-key", "default", "")
		fs.Var(&a.toPairs, "to-context", "")
		fs.BoolVar(&a.headerOnly, "header-only", false, "")
	}
	switch err := fs.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprint(out, envelopeUsage)
		return nil
	case err != nil:
		return fmt.Errorf("%w: %w; see cloister %s --help", errUsage, err, command)
	case fs.NArg() > 0:
		return fmt.Errorf("%w: %q is left over; cloister %s reads standard input", errUsage, fs.Arg(0), command)
	case a.from.spec == "" || len(a.pairs) == 0:
		return fmt.Errorf("%w: cloister %s needs --kms and at least one --context; see --help", errUsage, command)
	}
	suites := map[string]kmsctx.Suite{"0478": kmsctx.Committing, "0578": kmsctx.CommittingSigned}
	suite, ok := suites[a.suite]
	if !ok || a.frame < 0 {
		return fmt.Errorf("%w: --suite is 0478 or 0578, --frame a number of bytes", errUsage)
	}
	ec, err := contextOf(a.pairs)
	if err != nil {
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
			r, err := env.NewReader(ctx, p, ec)
			if err == nil {
				_, err = r.WriteTo(w)
			}
			return err
		}
		return rewrap(ctx, env, &a, o, ec, ring, p, w)
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

// rewrap seals the plaintext anew, or makes another header for the same body.
func rewrap(ctx context.Context, env *kmsctx.Envelope, a *envelopeArgs, o kmsctx.Options, ec kmsctx.Context, ring kmsctx.Keyring, r io.Reader, w io.Writer) error {
	if a.to.spec == "" && len(a.toPairs) == 0 {
		return fmt.Errorf("%w: cloister rewrap needs --to-kms, --to-context, or both", errUsage)
	}
	to, err := ec, error(nil)
	if len(a.toPairs) > 0 {
		if to, err = contextOf(a.toPairs); err != nil {
			return err
		}
	}
	target := ring
	if a.to.spec != "" {
		if target, err = a.to.keyring(ctx, to, true); err != nil {
			return err
		}
	} else if !to.Equal(ec) {
		if target, err = a.from.keyring(ctx, to, true); err != nil {
			return err
		}
	}
	if a.headerOnly {
		return rewrapHeader(ctx, env, ec, target, to, r, w)
	}
	again, err := kmsctx.New(target, &o)
	if err != nil {
		return err
	}
	plain, err := env.NewReader(ctx, r, ec)
	if err != nil {
		return err
	}
	return seal(ctx, again, to, plain, w)
}

func rewrapHeader(ctx context.Context, env *kmsctx.Envelope, ec kmsctx.Context, target kmsctx.Keyring, to kmsctx.Context, r io.Reader, w io.Writer) error {
	wrapper, ok := target.(kmsctx.Wrapper)
	if !ok {
		return fmt.Errorf("this kind of --to-kms cannot wrap a data key that it did not make; leave --header-only away")
	}
	in := bufio.NewReaderSize(r, maxHeader)
	u, err := peekHeader(in)
	if err != nil {
		return err
	}
	old := make([]byte, u.HeaderLength)
	if _, err := io.ReadFull(in, old); err != nil {
		return err
	}
	head, err := env.Rewrap(ctx, old, ec, wrapper, to)
	if err != nil {
		return err
	}
	if _, err := w.Write(head); err != nil {
		return err
	}
	_, err = io.Copy(w, in)
	return err
}

// maxHeader is as much of a message as inspect looks at, in bytes.
const maxHeader = 1 << 20

// peekHeader reads the header of a message without taking it from r.
func peekHeader(r *bufio.Reader) (kmsctx.Unverified, error) {
	for n := 4 << 10; ; n = min(2*n, maxHeader) {
		b, err := r.Peek(n)
		u, uerr := kmsctx.InspectUnverified(b)
		if uerr == nil || !errors.Is(uerr, kmsctx.ErrTruncated) || err != nil || n == maxHeader {
			if err != nil && !errors.Is(err, io.EOF) {
				return u, err
			}
			return u, uerr
		}
	}
}

// contextOf takes any context that the format can carry: other programs write
// and read these messages too.
func contextOf(pairs []string) (kmsctx.Context, error) {
	m := map[string]string{}
	for _, p := range pairs {
		k, v, ok := strings.Cut(p, "=")
		if _, twice := m[k]; !ok || k == "" || twice {
			return kmsctx.Context{}, fmt.Errorf("%w: --context wants k=v, each key once", errUsage)
		}
		m[k] = v
	}
	return kmsctx.ForeignContext(m)
}

// inspected is what inspect prints, in JSON.
type inspected struct {
	Unverified  bool              `json:"unverified"` // always true
	Suite       string            `json:"suite"`
	MessageID   string            `json:"message_id"`
	Context     map[string]string `json:"context"`
	Keys        []inspectedKey    `json:"keys"`
	Framed      bool              `json:"framed"`
	FrameLength int               `json:"frame_length"`
	Header      int               `json:"header_bytes"`
}

type inspectedKey struct {
	Provider string `json:"provider"`
	Info     string `json:"info"`
	Bytes    int    `json:"ciphertext_bytes"`
}

func inspect(args []string, in io.Reader, out, errOut io.Writer) error {
	fs := flag.NewFlagSet("inspect", flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	asJSON := fs.Bool("json", false, "")
	switch err := fs.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprint(out, envelopeUsage)
		return nil
	case err != nil || fs.NArg() > 0:
		return fmt.Errorf("%w: cloister inspect [--json] <MESSAGE", errUsage)
	}
	u, err := peekHeader(bufio.NewReaderSize(in, maxHeader))
	if err != nil {
		return err
	}
	i := inspected{true, u.Suite.String(), hex.EncodeToString(u.MessageID[:]), u.Context, nil, u.Framed, u.FrameLength, u.HeaderLength}
	for _, k := range u.Keys {
		i.Keys = append(i.Keys, inspectedKey{k.Provider, readable(k.Info), len(k.Ciphertext)})
	}
	if *asJSON {
		return json.NewEncoder(out).Encode(i)
	}
	fmt.Fprintf(errOut, "nothing of this is verified: anyone may have written it\n")
	fmt.Fprintf(out, "suite       %s\nmessage id  %s\nframes      %d bytes\nheader      %d bytes\n", i.Suite, i.MessageID, i.FrameLength, i.Header)
	for _, k := range slices.Sorted(maps.Keys(i.Context)) {
		fmt.Fprintf(out, "context     %q = %q\n", k, i.Context[k])
	}
	for _, k := range i.Keys {
		fmt.Fprintf(out, "key         %q %s, %d bytes\n", k.Provider, k.Info, k.Bytes)
	}
	return nil
}

// readable quotes the printable beginning of a key's information; what follows
// is binary.
func readable(b []byte) string {
	n := 0
	for n < len(b) && b[n] >= 0x20 && b[n] < 0x7f {
		n++
	}
	if n < len(b) {
		return fmt.Sprintf("%q and %d bytes", b[:n], len(b)-n)
	}
	return fmt.Sprintf("%q", b)
}

// writeTo gives f standard output, or a file that appears only when f
// succeeds.
func writeTo(path string, out io.Writer, f func(io.Writer) error) (err error) {
	if path == "" {
		w := bufio.NewWriterSize(out, 128<<10)
		return errors.Join(f(w), w.Flush())
	}
	if i, err := os.Lstat(path); err == nil && i.Mode()&^os.ModePerm&^os.ModeSymlink != 0 {
		return fmt.Errorf("%s: -o names what is no file; it would be replaced by one", path)
	}
	tmp, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(tmp.Name()))
		}
	}()
	w := bufio.NewWriterSize(tmp, 128<<10)
	if err := errors.Join(f(w), w.Flush(), tmp.Sync(), tmp.Close()); err != nil {
		return err
	}
	return os.Rename(tmp.Name(), path)
}
