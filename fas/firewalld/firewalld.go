package firewalld

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/cloisterdev/cloister/audit"
	"github.com/cloisterdev/cloister/authz"
	"github.com/cloisterdev/cloister/fas"
	"github.com/cloisterdev/cloister/fas/profile"
	"github.com/cloisterdev/cloister/internal/durable"
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
	// Profiles finds the approved profiles; nil means the built-in
	// [SourceProfile], which nobody but this package approved.
	Profiles fas.ProfileStore
	// Limits are those of each tenant.
	Limits fas.Limits
}

// Server is a firewall over a directory.
type Server struct {
	*fas.Firewall
	authorizer *authz.Authorizer
	kms        *localkms.KMS
	registry   *registry
	sessions   *sessionKeys
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
	// Of a directory that was made and whose maker was killed, what is in it would
	// be as durable as an entry that was never synced.
	_ = durable.SyncDir(filepath.Dir(dir))
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
	if s.sessions, err = openSessionKeys(v); err != nil {
		return err
	}
	var ticket []byte
	if err := v.once("tickets", &ticket, func() any { b := make([]byte, 32); _, _ = rand.Read(b); return b }); err != nil {
		return err
	}
	var builtIn []*profile.Verified
	if o.Profiles == nil {
		p, err := sourceProfile(dir)
		if err != nil {
			return err
		}
		builtIn = []*profile.Verified{p}
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
		Profiles: builtIn, ProfileStore: o.Profiles, Issuer: s.sessions.authority, Registry: s.registry, Keys: keyService{s.kms, settings},
		Audit: rec, Operations: o.Operations, TicketKey: tenant.NewSecret(ticket), Region: o.Region, Service: o.Service,
		OwnTTL: o.OwnTTL, ReadReplay: o.ReadReplay, Verifiers: verifiers, Replay: o.Replay, Limits: o.Limits, Revocations: s.registry, Horizons: s.registry,
	})
	return err
}

// Close releases the directory.
func (s *Server) Close() error { return s.registry.close() }

// Serve answers one connection; see fas.Firewall.Serve.
func (s *Server) Serve(ctx context.Context, c *net.UnixConn) error { return s.Firewall.Serve(ctx, c) }

// Grants counts the live grants of the key service.
func (s *Server) Grants() int { return len(s.kms.Grants()) }
