// Command peer puts kmsctx behind the command line that the official AWS
// Encryption SDKs are driven by in interoperability runs:
//
//	peer encrypt|decrypt --key HEX|--kms-endpoint URL --kms-key ARN [--context k=v]...
//	     [--suite 0478|0578] [--frame N] [--withhold KEY]... [--print-context]
//	peer batch     reads lines IN<TAB>OUT<TAB>arg<TAB>arg...
//	peer bench [--size N] [--frame N] [--runs N] [--loops N]
//
// It opens messages of any context for whoever names a part of it, as the
// official SDKs do, and prints what it found: in your own programs let the
// reader name all of it.
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
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/kms"

	"github.com/cloisterdev/cloister/kmsctx"
	"github.com/cloisterdev/cloister/kmsctx/awskms"
	"github.com/cloisterdev/cloister/tenant"
)

type options struct {
	key, namespace, name, endpoint, arn, suite, policy string
	mrk, print                                         bool
	pairs, withhold                                    list
	frame, size, runs, loops                           int
}

type list []string

func (l *list) String() string { return strings.Join(*l, ",") }

// Set implements flag.Value.
func (l *list) Set(v string) error { *l = append(*l, v); return nil }

func main() {
	if len(os.Args) == 2 && os.Args[1] == "batch" {
		batch(os.Stdin, os.Stdout)
		return
	}
	out, note, err := run(os.Args[1:], func() ([]byte, error) { return io.ReadAll(os.Stdin) })
	if err == nil {
		_, err = os.Stdout.Write(out)
	}
	if err != nil {
		note = err.Error()
	}
	if note != "" {
		fmt.Fprintln(os.Stderr, note)
	}
	if err != nil {
		os.Exit(1)
	}
}

func batch(in io.Reader, out io.Writer) {
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		f := strings.Split(lines.Text(), "\t")
		if len(f) < 3 {
			fmt.Fprintf(out, "1\tusage: IN<TAB>OUT<TAB>arg...\n")
			continue
		}
		b, note, err := run(f[2:], func() ([]byte, error) { return os.ReadFile(f[0]) })
		if err == nil {
			err = os.WriteFile(f[1], b, 0o600)
		}
		if err != nil {
			fmt.Fprintf(out, "1\t%s\n", strings.Join(strings.Fields(err.Error()), " "))
			continue
		}
		fmt.Fprintf(out, "0\t%s\n", note)
	}
}

func run(args []string, read func() ([]byte, error)) (out []byte, note string, err error) {
	if len(args) == 0 {
		return nil, "", errors.New("usage: peer encrypt|decrypt|batch|bench")
	}
	o := options{}
	fs := flag.NewFlagSet("peer", flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	fs.StringVar(&o.key, "key", "", "")
	fs.StringVar(&o.namespace, "namespace", "cloister", "")
	fs.StringVar(&o.name, "name", "test", "")
	fs.StringVar(&o.endpoint, "kms-endpoint", "", "")
	fs.StringVar(&o.arn, "kms-key", "", "")
	fs.BoolVar(&o.mrk, "mrk", false, "")
	fs.Var(&o.pairs, "context", "")
	fs.Var(&o.withhold, "withhold", "")
	fs.StringVar(&o.suite, "suite", "0478", "")
	fs.StringVar(&o.policy, "policy", "require-require", "")
	fs.IntVar(&o.frame, "frame", 64<<10, "")
	fs.BoolVar(&o.print, "print-context", false, "")
	fs.IntVar(&o.size, "size", 10<<20, "")
	fs.IntVar(&o.runs, "runs", 5, "")
	fs.IntVar(&o.loops, "loops", 1, "")
	if err := fs.Parse(args[1:]); err != nil || fs.NArg() > 0 {
		return nil, "", fmt.Errorf("usage: %v %v", err, fs.Args())
	}
	if args[0] == "bench" && o.key == "" {
		o.key = strings.Repeat("07", 32)
	}
	ring, err := keyring(&o)
	if err != nil {
		return nil, "", err
	}
	suite := map[string]kmsctx.Suite{"0478": kmsctx.Committing, "0578": kmsctx.CommittingSigned}[o.suite]
	switch {
	case suite == 0:
		return nil, "", fmt.Errorf("unsupported: suite %s", o.suite)
	case args[0] == "encrypt" && o.frame == 0:
		return nil, "", errors.New("unsupported: writing non-framed messages")
	}
	env, err := kmsctx.New(ring, &kmsctx.Options{Suite: suite, FrameLength: o.frame, Withheld: o.withhold, Subset: true, AllowUnframed: true})
	if err != nil {
		return nil, "", err
	}
	pairs, err := parse(o.pairs)
	if err != nil {
		return nil, "", err
	}
	ctx := context.Background()
	if args[0] == "bench" {
		return nil, "", bench(ctx, env, &o)
	}
	data, err := read()
	if err != nil {
		return nil, "", err
	}
	switch args[0] {
	case "encrypt":
		ec, err := kmsctx.ForeignContext(pairs)
		if err != nil {
			return nil, "", err
		}
		out, err = env.Seal(ctx, nil, data, ec)
		return out, "", err
	case "decrypt":
		return open(ctx, env, &o, pairs, data)
	}
	return nil, "", errors.New("usage: peer encrypt|decrypt|batch|bench")
}

func open(ctx context.Context, env *kmsctx.Envelope, o *options, pairs map[string]string, data []byte) (out []byte, note string, err error) {
	u, err := kmsctx.InspectUnverified(data)
	if errors.Is(err, kmsctx.ErrUnsupported) {
		return nil, "", fmt.Errorf("unsupported: %w", err)
	}
	if err != nil {
		return nil, "", err
	}
	want, err := kmsctx.ForeignContext(pairs)
	if err != nil {
		return nil, "", err
	}
	if out, err = env.Open(ctx, nil, data, want); err != nil || !o.print {
		return out, "", err
	}
	// Open has verified it by now.
	all := map[string]string{}
	maps.Copy(all, u.Context)
	maps.Copy(all, pairs)
	b, err := json.Marshal(all)
	return out, string(b), err
}

func parse(pairs []string) (map[string]string, error) {
	m := map[string]string{}
	for _, p := range pairs {
		k, v, ok := strings.Cut(p, "=")
		if !ok {
			return nil, errors.New("usage: --context wants k=v")
		}
		m[k] = v
	}
	return m, nil
}

func keyring(o *options) (kmsctx.Keyring, error) {
	var rings []kmsctx.Keyring
	if o.arn != "" {
		region := strings.Split(o.arn+":::::", ":")[3]
		env := func(name, otherwise string) string {
			if v := os.Getenv(name); v != "" {
				return v
			}
			return otherwise
		}
		c := kms.New(kms.Options{Region: region, BaseEndpoint: &o.endpoint, Credentials: aws.NewCredentialsCache(
			credentials.NewStaticCredentialsProvider(env("AWS_ACCESS_KEY_ID", "test"), env("AWS_SECRET_ACCESS_KEY", "test"), ""))})
		ring, err := awskms.New(c, o.arn, nil)
		if err != nil {
			return nil, err
		}
		rings = append(rings, ring)
	}
	if o.key != "" {
		b, err := hex.DecodeString(o.key)
		if err != nil {
			return nil, errors.New("usage: --key wants hex")
		}
		ring, err := kmsctx.NewRawAES(o.namespace, o.name, tenant.NewSecret(b))
		if err != nil {
			return nil, err
		}
		rings = append(rings, ring)
	}
	switch len(rings) {
	case 0:
		return nil, errors.New("usage: --key or --kms-key is needed")
	case 1:
		return rings[0], nil
	}
	return kmsctx.Multi(rings[0], rings[1:]...)
}

// bench prints the CPU time of the whole process for a message, as the other
// peers do: milliseconds and megabytes a second, medians over the runs.
func bench(ctx context.Context, env *kmsctx.Envelope, o *options) error {
	ec, err := kmsctx.ForeignContext(map[string]string{"tenant": "tn-1", "customization": "cust-1"})
	if err != nil {
		return err
	}
	plain := make([]byte, o.size)
	var sealed, opened []byte
	cpu := func() time.Duration {
		var u syscall.Rusage
		_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
		return time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	var enc, dec []float64
	for range o.runs + 1 {
		start := cpu()
		for range o.loops {
			if sealed, err = env.Seal(ctx, sealed[:0], plain, ec); err != nil {
				return err
			}
		}
		middle := cpu()
		for range o.loops {
			if opened, err = env.Open(ctx, opened[:0], sealed, ec); err != nil {
				return err
			}
		}
		enc = append(enc, (middle-start).Seconds()/float64(o.loops))
		dec = append(dec, (cpu()-middle).Seconds()/float64(o.loops))
	}
	for i, list := range [][]float64{enc[1:], dec[1:]} {
		slices.Sort(list)
		m := list[len(list)/2]
		fmt.Printf("%s %.3f ms %.0f MB/s\n", []string{"encrypt", "decrypt"}[i], 1000*m, float64(o.size)/m/1e6)
	}
	return nil
}
