package main

import (
	"context"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/cloisterdev/cloister/fas"
	"github.com/cloisterdev/cloister/fas/firewalld"
	"github.com/cloisterdev/cloister/fas/httpsig"
	"github.com/cloisterdev/cloister/fas/oidc"
	"github.com/cloisterdev/cloister/tenant"
)

// directory is the firewall's, as the verifier of tokens asks it.
type directory struct{ *firewalld.Directory }

func (d directory) Issuer(url, audience string) (oidc.Issuer, bool) {
	id, i, ok := d.Directory.Issuer(url, audience)
	return oidc.Issuer{Tenant: id, URL: i.URL, Audience: i.Audience, Algorithms: i.Algorithms, Type: i.Type}, ok
}

func (d directory) User(ctx context.Context, id tenant.ID, s oidc.Subject) (tenant.UserID, error) {
	return d.Subject(ctx, id, s.Issuer, s.Subject)
}

// verifiers are those of the schemes besides SigV4, for callers who address this
// service by its origin. Without an origin there are none.
func verifiers(o roleOptions, root tenant.Secret) (map[tenant.Method]fas.Verifier, error) {
	if o.origin == "" {
		return nil, nil
	}
	_, host, ok := strings.Cut(o.origin, "://")
	if !ok || host == "" || strings.Contains(host, "/") {
		return nil, errors.New("--origin is a scheme and a host: https://api.example.com")
	}
	dir, err := firewalld.OpenDirectory(firewallDir(o.data), root)
	if err != nil {
		return nil, err
	}
	signatures, err := fas.HTTPSignatureVerifier(dir, httpsig.Options{Authorities: []string{host}})
	if err != nil {
		return nil, err
	}
	tokens, err := oidc.NewVerifier(directory{dir}, directory{dir}, oidc.Options{Origins: []string{o.origin}, PrivateNetworks: o.privateIssuers})
	if err != nil {
		return nil, err
	}
	return map[tenant.Method]fas.Verifier{tenant.MethodHTTPSignature: signatures, tenant.MethodOIDC: tokens}, nil
}

// member is a user of a tenant, as they were printed.
func member(t, user string) (tenant.ID, tenant.UserID, error) {
	id, err := tenant.ParseID(t)
	if err != nil {
		return id, tenant.UserID{}, fmt.Errorf("TENANT is the ID that tenant add printed: %w", err)
	}
	u, err := tenant.ParseUserID(user)
	if err != nil {
		return id, u, fmt.Errorf("USER is the ID that user add printed: %w", err)
	}
	return id, u, nil
}

// readPEM reads a file of one key.
func readPEM(file, kind, want string) ([]byte, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	block, rest := pem.Decode(text)
	if block == nil || block.Type != kind || strings.TrimSpace(string(rest)) != "" {
		return nil, errors.New(want)
	}
	return block.Bytes, nil
}

// provePublicKey makes what addPublicKey demands, where the private key is.
func provePublicKey(t, user, file string, out io.Writer) error {
	id, u, err := member(t, user)
	if err != nil {
		return err
	}
	der, err := readPEM(file, "PRIVATE KEY", "PRIVATE.pem is one private key, as openssl genpkey writes it")
	if err != nil {
		return err
	}
	parsed, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return err
	}
	key, ok := parsed.(ed25519.PrivateKey)
	if !ok {
		return errors.New("PRIVATE.pem is no Ed25519 key")
	}
	proof, err := firewalld.ProvePublicKey(key, id, u)
	if err == nil {
		_, err = fmt.Fprintln(out, base64.StdEncoding.EncodeToString(proof))
	}
	return err
}

// addPublicKey registers the key of a file for the user who proved to hold it.
func addPublicKey(data, t, user, file, proof string, out io.Writer) error {
	id, u, err := member(t, user)
	if err != nil {
		return err
	}
	root, err := rootKey(data)
	if err != nil {
		return err
	}
	der, err := readPEM(file, "PUBLIC KEY", "PUBLIC.pem is one public key, as openssl pkey -pubout writes it")
	if err != nil {
		return err
	}
	parsed, err := x509.ParsePKIXPublicKey(der)
	if err != nil {
		return err
	}
	key, ok := parsed.(ed25519.PublicKey)
	if !ok {
		return errors.New("PUBLIC.pem is no Ed25519 key")
	}
	signature, err := base64.StdEncoding.DecodeString(proof)
	if err != nil {
		return errors.New("PROOF is what key prove printed to the user")
	}
	name, err := firewalld.AddPublicKey(firewallDir(data), root, id, u, key, signature)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "keyid %s\n", name)
	return nil
}

func removePublicKey(data, t, key string) error {
	id, err := tenant.ParseID(t)
	if err != nil {
		return fmt.Errorf("TENANT is the ID that tenant add printed: %w", err)
	}
	root, err := rootKey(data)
	if err != nil {
		return err
	}
	return firewalld.RemovePublicKey(firewallDir(data), root, id, key)
}

const issuerUsage = `usage: issuer set TENANT URL AUDIENCE [SUBJECT=USER...] [--type JWT] --data DIR
       issuer clear TENANT --data DIR`

// runIssuer names a tenant's own identity provider, and its users there.
// Tokens must be bound to the key of their proof (DPoP).
func runIssuer(_ context.Context, args []string, out io.Writer) error {
	fs := flag.NewFlagSet("issuer", flag.ContinueOnError)
	data := fs.String("data", "", "data directory of the service (required)")
	typ := fs.String("type", "", "type that the tokens declare; empty means at+jwt")
	words, err := positional(fs, args)
	if err != nil {
		return err
	}
	var issuer *firewalld.Issuer
	switch {
	case *data == "" || len(words) < 2:
		return errors.New(issuerUsage)
	case words[0] == "clear" && len(words) == 2:
	case words[0] == "set" && len(words) >= 4:
		issuer = &firewalld.Issuer{URL: words[2], Audience: words[3], Type: *typ, Subjects: map[string]tenant.UserID{}}
		for _, w := range words[4:] {
			// A subject may hold an equals sign; a user's ID does not.
			i := strings.LastIndexByte(w, '=')
			if i < 1 {
				return errors.New(issuerUsage)
			}
			u, err := tenant.ParseUserID(w[i+1:])
			if err != nil {
				return fmt.Errorf("USER is the ID that user add printed: %w", err)
			}
			issuer.Subjects[w[:i]] = u
		}
	default:
		return errors.New(issuerUsage)
	}
	if err := changeTenant(*data, words[1], func(t *firewalld.Tenant) error { t.Issuer = issuer; return nil }); err != nil {
		return fmt.Errorf("nothing was changed: %w", err)
	}
	fmt.Fprintf(out, "%s %s: in force with the tenant's next call\n", words[0], words[1])
	return nil
}
