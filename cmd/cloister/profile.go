package main

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/cloisterdev/cloister/fas/policy"
	"github.com/cloisterdev/cloister/fas/profile"
	"github.com/cloisterdev/cloister/internal/durable"
	"github.com/cloisterdev/cloister/internal/strictjson"
	"github.com/cloisterdev/cloister/tenant"
)

var (
	errProfileUsage = fmt.Errorf("%w: cloister profile new | sign | verify | show | diff; --help after one of them says more", errUsage)
	errProfileNew   = fmt.Errorf("%w: cloister profile new [--from FILE] [--id ID] [--version N] [--operation /Name]… [--caller NAME]… [--allow FILE] [--bind PLACE] [flags]", errUsage)
	errProfileSign  = fmt.Errorf("%w: cloister profile sign FILE --ssh SIGNATURE | --key SEED [--write]", errUsage)
	errProfileCheck = fmt.Errorf("%w: cloister profile verify FILE --keys KEYRING [--replaces OLD] [--json]", errUsage)
	errProfileShow  = fmt.Errorf("%w: cloister profile show FILE [--payload] [--json]", errUsage)
	errProfileDiff  = fmt.Errorf("%w: cloister profile diff OLD NEW [--json]", errUsage)
)

func profileCommand(args []string, out io.Writer) error {
	if len(args) == 0 {
		return errProfileUsage
	}
	if asksForHelp(args[0]) {
		return groupHelp(out, "profile")
	}
	verb := args[0]
	run, ok := map[string]func(*flag.FlagSet, []string, io.Writer) error{
		"new": profileNew, "sign": profileSign, "verify": profileVerify, "show": profileShow, "diff": profileDiff,
	}[verb]
	if !ok {
		return stray(errProfileUsage, verb)
	}
	return run(flag.NewFlagSet("profile "+verb, flag.ContinueOnError), args[1:], out)
}

// files are the words of a command that takes n files.
func files(fs *flag.FlagSet, args []string, out io.Writer, n int, usage error) ([]string, error) {
	names, err := words(fs, args, out, usage)
	if err == nil {
		err = count(names, n, usage)
	}
	if err != nil {
		return nil, err
	}
	return names, nil
}

// repeated is a flag that may be given again; the first time, it replaces what was
// there.
func repeated(fs *flag.FlagSet, to *[]string, name, help string) {
	first := true
	fs.Func(name, help, func(s string) error {
		if first {
			*to, first = nil, false
		}
		*to = append(*to, s)
		return nil
	})
}

func profileNew(fs *flag.FlagSet, args []string, out io.Writer) error {
	var p, flags profile.Profile
	from := fs.String("from", "", "FILE with a profile as JSON, or with an envelope, whose next version it becomes; flags override it")
	fs.StringVar(&flags.ID, "id", "", "the profile's name (required)")
	fs.IntVar(&flags.Version, "version", 0, "counts up; default 1, or the next one")
	repeated(fs, &flags.Operations, "operation", "a signed path that it serves, such as /Name; again for more (required)")
	repeated(fs, &flags.Callers, "caller", "a workload that may use it, or * for every one; again for more (required)")
	allow := fs.String("allow", "", "FILE with the policy that bounds its sessions (required)")
	fs.StringVar(&flags.Bind, "bind", "", "what names the resource: /json/pointer, path:name, query:name or header:name (required)")
	fs.StringVar(&flags.Audience, "audience", "", "the resource service that sessions are for; default "+profile.DefaultAudience)
	fs.Func("min-level", "how much the evidence must prove: digest, canonical or body; default body", func(s string) error { flags.MinLevel = profile.Level(s); return nil })
	fs.IntVar(&flags.TTL, "ttl", 0, "the life of a session in seconds, at most 900 (required)")
	fs.IntVar(&flags.MaxExchanges, "max-exchanges", 0, "sessions for one signed call; default 1")
	begin := fs.String("not-before", "", "the start of its validity, as 2026-01-31T00:00:00Z; default now")
	days := fs.Int("days", 0, "how long it is valid, at most 400 (required)")
	payload := fs.String("payload", "", "FILE that gets the bytes to sign, for ssh-keygen")
	if _, err := files(fs, args, out, 0, errProfileNew); err != nil {
		return err
	}
	if *from != "" {
		var err error
		if p, err = readDraft(*from); err != nil {
			return err
		}
	}
	fs.Visit(func(f *flag.Flag) {
		switch f.Name {
		case "id":
			p.ID = flags.ID
		case "version":
			p.Version = flags.Version
		case "operation":
			p.Operations = flags.Operations
		case "caller":
			p.Callers = flags.Callers
		case "bind":
			p.Bind = flags.Bind
		case "audience":
			p.Audience = flags.Audience
		case "min-level":
			p.MinLevel = flags.MinLevel
		case "ttl":
			p.TTL = flags.TTL
		case "max-exchanges":
			p.MaxExchanges = flags.MaxExchanges
		}
	})
	if p.Version == 0 {
		p.Version = 1
	}
	if *begin != "" {
		at, err := time.Parse(time.RFC3339, *begin)
		if err != nil {
			return errors.Join(errProfileNew, err)
		}
		p.NotBefore = at.UTC()
	} else if *days != 0 || p.NotBefore.IsZero() {
		p.NotBefore = time.Now().UTC().Truncate(time.Second)
	}
	if *days != 0 {
		p.NotAfter = p.NotBefore.AddDate(0, 0, *days)
	}
	if *allow != "" {
		b, err := readFile(*allow)
		if err != nil {
			return err
		}
		p.Allow = b
	}
	var missing []string
	for _, f := range []struct {
		name string
		none bool
	}{{"--id", p.ID == ""}, {"--operation", len(p.Operations) == 0}, {"--caller", len(p.Callers) == 0}, {"--allow", *allow == "" && len(p.Allow) == 0},
		{"--bind", p.Bind == ""}, {"--ttl", p.TTL == 0}, {"--days", p.NotAfter.IsZero()}} {
		if f.none {
			missing = append(missing, f.name)
		}
	}
	if len(missing) > 0 {
		return fmt.Errorf("%w: profile new lacks %s; --from takes them from a profile that has them", errUsage, strings.Join(missing, ", "))
	}
	doc, err := policy.Parse(p.Allow)
	if err != nil {
		return fmt.Errorf("--allow: %w", err)
	}
	if p.Allow, err = json.Marshal(doc); err != nil {
		return err
	}
	env, err := profile.New(p)
	if err != nil {
		return err
	}
	if *payload != "" {
		b, err := profile.Payload(env)
		if err != nil {
			return err
		}
		if err := os.WriteFile(*payload, b, 0o644); err != nil {
			return err
		}
	}
	_, err = out.Write(append(env, '\n'))
	return err
}

// readDraft reads a profile as people write it, or the next version of an
// envelope.
func readDraft(file string) (profile.Profile, error) {
	var p profile.Profile
	b, err := readFile(file)
	if err != nil {
		return p, err
	}
	if got, _, err := profile.Unverified(b); err == nil {
		got.Version++
		got.NotBefore, got.NotAfter = time.Time{}, time.Time{}
		return got, nil
	}
	if err := strictjson.Decode(b, &p); err != nil {
		return p, fmt.Errorf("%s: %w", file, err)
	}
	return p, nil
}

func profileSign(fs *flag.FlagSet, args []string, out io.Writer) error {
	sigFile := fs.String("ssh", "", "FILE that ssh-keygen -Y sign -n "+profile.SSHNamespace+" made over the payload")
	keyFile := fs.String("key", "", "FILE with an Ed25519 seed: 32 bytes, or their base64")
	write := fs.Bool("write", false, "change the file instead of printing the signed envelope")
	name, err := files(fs, args, out, 1, errProfileSign)
	if err != nil || (*sigFile == "") == (*keyFile == "") {
		return errors.Join(errProfileSign, err)
	}
	env, _, _, err := readEnvelope(name[0])
	if err != nil {
		return err
	}
	if *sigFile != "" {
		sig, err := readFile(*sigFile)
		if err != nil {
			return err
		}
		env, err = profile.AttachSSH(env, sig)
		if err != nil {
			return fmt.Errorf("%s: %w", *sigFile, err)
		}
	} else {
		seed, err := readSeed(*keyFile)
		if err != nil {
			return err
		}
		defer seed.Destroy()
		if env, err = profile.Sign(env, seed); err != nil {
			return fmt.Errorf("%s: %w", name[0], err)
		}
	}
	env = append(env, '\n')
	if !*write {
		_, err = out.Write(env)
		return err
	}
	if err := durable.Replace(name[0], env, 0o644); err != nil { // as a whole: a store may be reading it
		return about(name[0], err)
	}
	return nil
}

func readSeed(file string) (tenant.Secret, error) {
	b, err := readSecret(file, 1024)
	if err != nil {
		return tenant.Secret{}, err
	}
	if len(b) != 32 {
		plain, err := base64.StdEncoding.DecodeString(strings.TrimSpace(string(b)))
		clear(b)
		if err != nil || len(plain) != 32 {
			return tenant.Secret{}, fmt.Errorf("%s is no seed: 32 bytes, or their base64", file)
		}
		b = plain
	}
	return tenant.NewSecret(b), nil
}
