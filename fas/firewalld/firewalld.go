package firewalld

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/cloisterdev/cloister/audit"
	"github.com/cloisterdev/cloister/authz"
	"github.com/cloisterdev/cloister/fas"
	"github.com/cloisterdev/cloister/fas/localsts"
	"github.com/cloisterdev/cloister/fas/profile"
	"github.com/cloisterdev/cloister/kmsctx/localkms"
	"github.com/cloisterdev/cloister/tenant"
)

// SourceProfile names the built-in profile for reading customers' source.
const SourceProfile = "ingest-source"

// Options of [Open].
type Options struct {
	// Operations is the table of the API. Required.
	Operations []fas.Operation
	// Region and Service are what callers sign for; empty means us-east-1 and
	// codewhisperer.
	Region, Service string
	// OwnTTL and ReadReplay are passed on to the firewall.
	OwnTTL, ReadReplay time.Duration
	// Verifiers are those of further schemes of evidence, and Replay is the
	// store of what was used; both are passed on to the firewall. A tenant's
	// settings are put into force before its identities count, whatever the
	// scheme.
	Verifiers map[tenant.Method]fas.Verifier
	Replay    fas.ReplayStore
}

// Server is a firewall over a directory.
type Server struct {
	*fas.Firewall
	authorizer *authz.Authorizer
	kms        *localkms.KMS
	registry   *registry
	authority  *localsts.Authority
	recorder   audit.Recorder
}

// Open opens, or makes, the firewall's directory.
func Open(dir string, root tenant.Secret, rec audit.Recorder, opts *Options) (*Server, error) {
	if rec == nil || opts == nil || len(opts.Operations) == 0 {
		return nil, fas.ErrConfig
	}
	v, err := openVault(dir, root)
	if err != nil {
		return nil, err
	}
	s := &Server{recorder: rec}
	if s.kms, err = localkms.Open(filepath.Join(dir, "kms"), root); err != nil {
		return nil, err
	}
	if s.registry, err = openRegistry(filepath.Join(dir, "registry.db"), v); err != nil {
		return nil, err
	}
	if err := s.retireOrphans(); err != nil {
		return nil, errors.Join(err, s.registry.close())
	}
	if err := s.wire(dir, v, rec, *opts); err != nil {
		return nil, errors.Join(err, s.registry.close())
	}
	return s, nil
}

// retireOrphans ends the grants that no row names: a process that was killed
// between the two stores leaves one.
func (s *Server) retireOrphans() error {
	named := map[string]bool{}
	for _, rec := range s.registry.rows {
		named[rec.Grant] = true
	}
	for _, g := range s.kms.Grants() {
		if !named[g.ID] {
			if err := s.kms.RetireGrant(context.Background(), g.ID); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *Server) wire(dir string, v *vault, rec audit.Recorder, o Options) error {
	schema, err := authz.ParseSchema("cloister", []byte(authz.DefaultSchema))
	if err != nil {
		return err
	}
	base := []authz.Source{{Name: "cloister", Text: authz.DefaultPolicies}}
	if s.authorizer, err = authz.New(schema, base, s.registry, rec, nil); err != nil {
		return err
	}
	var keys localsts.Keys
	if err := v.once("authority", &keys, func() any { return localsts.NewKeys() }); err != nil {
		return err
	}
	if s.authority, err = localsts.NewAuthority(keys); err != nil {
		return err
	}
	var ticket []byte
	if err := v.once("tickets", &ticket, func() any { b := make([]byte, 32); _, _ = rand.Read(b); return b }); err != nil {
		return err
	}
	approved, err := sourceProfile(dir)
	if err != nil {
		return err
	}
	if o.Region == "" {
		o.Region = "us-east-1"
	}
	if o.Service == "" {
		o.Service = "codewhisperer"
	}
	verifiers := map[tenant.Method]fas.Verifier{}
	settings := &tenants{v: v, rec: rec, effect: s.applyTenant, applied: map[tenant.ID]os.FileInfo{}}
	for m, v := range o.Verifiers {
		if v == nil {
			return fmt.Errorf("%w: a verifier of scheme %q", fas.ErrConfig, m)
		}
		verifiers[m] = settled{v, settings}
	}
	s.Firewall, err = fas.NewFirewall(fas.Config{
		Identities: &identities{v: v, dir: filepath.Join(dir, "identities"), tenants: settings}, Authorizer: s.authorizer,
		Profiles: []*profile.Verified{approved}, Issuer: s.authority, Registry: s.registry, Keys: keyService{s.kms, settings},
		Audit: rec, Operations: o.Operations, TicketKey: tenant.NewSecret(ticket), Region: o.Region, Service: o.Service,
		OwnTTL: o.OwnTTL, ReadReplay: o.ReadReplay, Verifiers: verifiers, Replay: o.Replay,
	})
	return err
}

// Close releases the directory.
func (s *Server) Close() error { return s.registry.close() }

// Serve answers one connection; see fas.Firewall.Serve.
func (s *Server) Serve(ctx context.Context, c *net.UnixConn) error { return s.Firewall.Serve(ctx, c) }

// VerifierMaterial is what a bucket server needs to check sessions.
func (s *Server) VerifierMaterial() localsts.Material { return s.authority.Material() }

// Grants counts the live grants of the key service.
func (s *Server) Grants() int { return len(s.kms.Grants()) }

type storedProfile struct {
	Envelope json.RawMessage `json:"envelope"`
	Keys     profile.Keyring `json:"keys"`
}

// sourceProfile loads the built-in profile, or makes and signs it with three
// fresh role keys at the first start.
func sourceProfile(dir string) (*profile.Verified, error) {
	path := filepath.Join(dir, "profile.json")
	b, err := os.ReadFile(path)
	if err == nil {
		var p storedProfile
		if err := json.Unmarshal(b, &p); err != nil {
			return nil, fmt.Errorf("%s: %w", filepath.Base(path), err)
		}
		v, err := profile.Load(p.Envelope, p.Keys, time.Now())
		if !errors.Is(err, profile.ErrExpired) {
			return v, err
		}
	} else if !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	now := time.Now().UTC().Truncate(time.Second)
	env, err := profile.New(profile.Profile{ID: SourceProfile, Version: 1,
		Operations: []string{"/CreateCustomization", "/UpdateCustomization"},
		Allow:      json.RawMessage(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["s3:GetObject","s3:ListBucket"],"Resource":"arn:aws:s3:::*"}]}`),
		Bind:       "/dataReference/s3Reference/uri", TTL: 600, NotBefore: now.Add(-time.Minute), NotAfter: now.AddDate(0, 0, 365)})
	if err != nil {
		return nil, err
	}
	p := storedProfile{Keys: profile.Keyring{}}
	for _, r := range []profile.Role{profile.Service, profile.Security, profile.Identity} {
		pub, priv, err := ed25519.GenerateKey(nil)
		if err != nil {
			return nil, err
		}
		p.Keys[r] = pub
		seed := tenant.NewSecret(priv.Seed())
		env, err = profile.Sign(env, seed)
		seed.Destroy()
		if err != nil {
			return nil, err
		}
	}
	p.Envelope = env
	if b, err = json.Marshal(p); err != nil {
		return nil, err
	}
	if err := writeFile(path, b); err != nil {
		return nil, err
	}
	return profile.Load(env, p.Keys, time.Now())
}
