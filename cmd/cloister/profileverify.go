package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/cloisterdev/cloister/fas/policy"
	"github.com/cloisterdev/cloister/fas/profile"
)

type verdict struct {
	ID        string                  `json:"id"`
	Version   int                     `json:"version"`
	Hash      string                  `json:"hash"`
	Signed    map[profile.Role]string `json:"signed"`
	Missing   []profile.Role          `json:"missing"`
	Unknown   []string                `json:"unknown"` // what signatures by no key of the keyring say of theirs
	NotBefore time.Time               `json:"not_before"`
	NotAfter  time.Time               `json:"not_after"`
	Valid     bool                    `json:"valid"`
	Error     string                  `json:"error,omitempty"`
}

func profileVerify(fs *flag.FlagSet, args []string, out io.Writer) error {
	keyring := fs.String("keys", "", "FILE with one key a line: ROLE TYPE BASE64; required")
	old := fs.String("replaces", "", "FILE with the envelope in force, which this one must be able to replace")
	asJSON := fs.Bool("json", false, "print JSON")
	name, err := files(fs, args, out, 1, errProfileCheck)
	if err != nil || *keyring == "" {
		return errors.Join(errProfileCheck, err)
	}
	keys, err := readKeyring(*keyring)
	if err != nil {
		return err
	}
	env, p, hash, err := readEnvelope(name[0])
	if err != nil {
		return err
	}
	v := verdict{ID: p.ID, Version: p.Version, Hash: hash, Missing: []profile.Role{}, NotBefore: p.NotBefore, NotAfter: p.NotAfter}
	if v.Signed, err = profile.Approvals(env, keys); err != nil {
		return err
	}
	for _, r := range []profile.Role{profile.Service, profile.Security, profile.Identity} {
		if v.Signed[r] == "" {
			v.Missing = append(v.Missing, r)
		}
	}
	if v.Unknown, err = unknownSigners(env, keys); err != nil {
		return err
	}
	refusal := accept(env, keys, *old)
	if v.Valid = refusal == nil; refusal != nil {
		v.Error = refusal.Error()
	}
	if *asJSON {
		return errors.Join(json.NewEncoder(out).Encode(v), refusal)
	}
	fmt.Fprintf(out, "%s, version %d, hash %s\n", v.ID, v.Version, v.Hash)
	for _, r := range []profile.Role{profile.Service, profile.Security, profile.Identity} {
		if id := v.Signed[r]; id != "" {
			fmt.Fprintf(out, "%-9s signed, with %s\n", r, id)
		} else {
			fmt.Fprintf(out, "%-9s missing\n", r)
		}
	}
	for _, id := range v.Unknown {
		fmt.Fprintf(out, "%-9s signed, by no key of the keyring; the signature says %.100q\n", "nobody", id)
	}
	if _, err := fmt.Fprintf(out, "valid from %s to %s\n", v.NotBefore.Format(time.RFC3339), v.NotAfter.Format(time.RFC3339)); err != nil {
		return err
	}
	return refusal
}

// unknownSigners are the key IDs, which anybody may have written, of signatures
// that no key of the keyring made.
func unknownSigners(env []byte, keys profile.Keyring) ([]string, error) {
	type signature struct {
		KeyID string `json:"keyid"`
		Sig   []byte `json:"sig"`
	}
	var e struct {
		PayloadType string      `json:"payloadType"`
		Payload     []byte      `json:"payload"`
		Signatures  []signature `json:"signatures"`
	}
	if err := json.Unmarshal(env, &e); err != nil {
		return nil, err
	}
	unknown := []string{}
	for _, s := range e.Signatures {
		one := e
		one.Signatures = []signature{s}
		b, err := json.Marshal(one)
		if err != nil {
			return nil, err
		}
		signed, err := profile.Approvals(b, keys)
		if err != nil {
			return nil, err
		}
		if len(signed) == 0 {
			unknown = append(unknown, s.KeyID)
		}
	}
	return unknown, nil
}

// accept says what keeps an envelope from being in force now.
func accept(env []byte, keys profile.Keyring, old string) error {
	v, err := profile.Load(env, keys, time.Now())
	if err != nil {
		return err
	}
	if _, err := policy.Parse(v.Profile().Allow); err != nil {
		return fmt.Errorf("allow: %w", err)
	}
	if old == "" {
		return nil
	}
	b, before, _, err := readEnvelope(old)
	if err != nil {
		return err
	}
	// The one in force is compared even where it is over.
	w, err := profile.Load(b, keys, before.NotBefore)
	if err != nil {
		return fmt.Errorf("%s: %w", old, err)
	}
	return v.Replaces(w)
}

func readKeyring(file string) (profile.Keyring, error) {
	b, err := readFile(file)
	if err != nil {
		return nil, err
	}
	keys, err := profile.ParseKeyring(b)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return keys, nil
}

func readEnvelope(file string) ([]byte, profile.Profile, string, error) {
	b, err := readFile(file)
	if err != nil {
		return nil, profile.Profile{}, "", err
	}
	p, hash, err := profile.Unverified(b)
	if err != nil {
		return nil, profile.Profile{}, "", fmt.Errorf("%s: %w: an envelope is wanted, as cloister profile new makes them", file, err)
	}
	return b, p, hash, nil
}

func profileShow(fs *flag.FlagSet, args []string, out io.Writer) error {
	payload := fs.Bool("payload", false, "print the bytes to sign, for ssh-keygen, and nothing else")
	asJSON := fs.Bool("json", false, "print JSON")
	name, err := files(fs, args, out, 1, errProfileShow)
	if err != nil {
		return err
	}
	env, p, hash, err := readEnvelope(name[0])
	if err != nil {
		return err
	}
	doc, err := policy.Parse(p.Allow)
	if err != nil {
		return fmt.Errorf("%s: allow: %w", name[0], err)
	}
	switch {
	case *payload:
		b, err := profile.Payload(env)
		if err != nil {
			return err
		}
		_, err = out.Write(b)
		return err
	case *asJSON:
		return json.NewEncoder(out).Encode(struct {
			Profile  profile.Profile  `json:"profile"`
			Hash     string           `json:"hash"`
			Findings []policy.Finding `json:"findings"`
		}{p, hash, append([]policy.Finding{}, policy.Lint(doc)...)})
	}
	return describe(out, p, hash, doc)
}

// describe writes a profile for somebody who has to decide about it.
func describe(out io.Writer, p profile.Profile, hash string, doc *policy.Document) error {
	var b strings.Builder
	line := func(name, format string, args ...any) {
		fmt.Fprintf(&b, "%-11s "+format+"\n", append([]any{name}, args...)...)
	}
	callers := strings.Join(p.Callers, " ")
	if slices.Equal(p.Callers, []string{profile.AnyCaller}) {
		callers = "every workload that reaches the firewall"
	}
	line("profile", "%s, version %d", p.ID, p.Version)
	line("hash", "%s", hash)
	line("operations", "%s", strings.Join(p.Operations, " "))
	line("callers", "%s", callers)
	line("evidence", "%s at least", p.MinLevel)
	line("bound by", "%s", p.Bind)
	line("audience", "%s", p.Audience)
	line("sessions", "%d for a signed call, of %s at most", p.MaxExchanges, time.Duration(p.TTL)*time.Second)
	line("valid", "%s to %s, %.0f days", p.NotBefore.Format(time.RFC3339), p.NotAfter.Format(time.RFC3339), p.NotAfter.Sub(p.NotBefore).Hours()/24)
	text, err := json.MarshalIndent(doc, "            ", "  ")
	if err != nil {
		return err
	}
	line("policy", "%s", text)
	for _, f := range policy.Lint(doc) {
		line("note", "statement %d: %s: %s", f.Statement, f.Code, f.Message)
	}
	b.WriteString("Who signed is not checked here: cloister profile verify.\n")
	_, err = io.WriteString(out, b.String())
	return err
}
