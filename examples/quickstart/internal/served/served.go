//go:build unix

// Package served is what surrounds the programs that need a session: an
// identity firewall in this process with one customization that its developer
// may use. In a service the firewall is a process of its own; see the command
// customization.
package served

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/cloisterdev/cloister/audit"
	"github.com/cloisterdev/cloister/fas"
	"github.com/cloisterdev/cloister/fas/firewalld"
	"github.com/cloisterdev/cloister/fas/sigv4"
	"github.com/cloisterdev/cloister/gpuinfer/ngram"
	"github.com/cloisterdev/cloister/retrieval"
	"github.com/cloisterdev/cloister/retrieval/embedded"
	"github.com/cloisterdev/cloister/tenant"
)

// modelBlob names the completion model that the snapshot carries.
const modelBlob = "model"

var operations = []fas.Operation{
	{Path: "/CreateCustomization", Action: "CreateCustomization", Mutating: true, Verbs: []fas.Verb{fas.VerbCatalogCreate}},
	{Path: "/ListAvailableCustomizations", Action: "ListAvailableCustomizations", Verbs: []fas.Verb{fas.VerbCatalogList}},
	{Path: "/UpdateCustomization", Action: "UpdateCustomization", OnCustomization: true, Mutating: true, Verbs: []fas.Verb{fas.VerbCatalogActivate}},
	{Path: "/AssociateCustomizationPermission", Action: "AssociateCustomizationPermission", OnCustomization: true, Mutating: true, Verbs: []fas.Verb{fas.VerbCatalogShare}},
	{Path: "/GetRetrievals", Action: "GetRetrievals", OnCustomization: true, Verbs: []fas.Verb{fas.VerbQuery}},
	{Path: "/GenerateCompletions", Action: "GenerateCompletions", OnCustomization: true, Verbs: []fas.Verb{fas.VerbQuery, fas.VerbComplete}},
}

// World is a firewall, the collections, and two people.
type World struct {
	// Collections holds the sealed snapshot; it is retrieval's driver.
	Collections *embedded.Store

	dir        string
	id         tenant.CustomizationID
	gate       *fas.Client
	wall       *firewalld.Server
	rec        *audit.Log
	stop       context.CancelFunc
	admin, dev firewalld.AccessKey
}

// Start makes a customization of the documents, serves it and gives its
// developer the right to use it. Everything is in a temporary folder, which
// [World.Close] removes.
func Start(ctx context.Context, docs ...retrieval.Document) (w *World, err error) {
	key := make([]byte, 32)
	_, _ = rand.Read(key) // never fails
	root := tenant.NewSecret(key)
	w = &World{stop: func() {}}
	defer func() {
		if err != nil {
			err = errors.Join(err, w.Close())
		}
	}()
	if w.dir, err = os.MkdirTemp("", "quickstart-"); err != nil {
		return w, err
	}
	if w.Collections, err = embedded.NewStore(filepath.Join(w.dir, "collections")); err != nil {
		return w, err
	}
	if w.rec, err = audit.Open(filepath.Join(w.dir, "audit"), nil); err != nil {
		return w, err
	}
	if w.wall, err = firewalld.Open(filepath.Join(w.dir, "firewall"), root, w.rec, &firewalld.Options{Operations: operations}); err != nil {
		return w, err
	}
	t, err := firewalld.AddTenant(filepath.Join(w.dir, "firewall"), root, tenant.Text{})
	if err != nil {
		return w, err
	}
	for admin, to := range map[bool]*firewalld.AccessKey{true: &w.admin, false: &w.dev} {
		if *to, err = firewalld.AddUser(filepath.Join(w.dir, "firewall"), root, t, tenant.Text{}, admin); err != nil {
			return w, err
		}
	}
	if err := w.connect(ctx); err != nil {
		return w, err
	}
	return w, w.serve(ctx, docs)
}

// connect joins firewall and gate by a socket pair that nobody else can dial.
func (w *World) connect(ctx context.Context) error {
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err != nil {
		return err
	}
	ends := [2]*net.UnixConn{}
	for i, fd := range fds {
		f := os.NewFile(uintptr(fd), "pair")
		c, err := net.FileConn(f)
		if err := errors.Join(err, f.Close()); err != nil {
			return err
		}
		ends[i] = c.(*net.UnixConn)
	}
	ctx, w.stop = context.WithCancel(ctx)
	go func() {
		if err := w.wall.Serve(ctx, ends[0]); err != nil {
			fmt.Fprintln(os.Stderr, "the firewall's connection ended:", err)
		}
	}()
	w.gate, err = fas.Dial(ends[1])
	return err
}

// serve makes, seals, registers, activates and shares the customization.
func (w *World) serve(ctx context.Context, docs []retrieval.Document) error {
	s, err := w.ask(ctx, w.admin, "CreateCustomization")
	if err != nil {
		return err
	}
	row, ticket, err := w.gate.Catalog(s).Create(ctx, fas.CreateInput{})
	if err != nil {
		return err
	}
	w.id = row.Customization
	work, err := w.gate.Redeem(ctx, ticket, fas.VerbIndex)
	if err != nil {
		return err
	}
	manifest, err := w.seal(ctx, work, docs)
	if err := errors.Join(err, work.Close()); err != nil {
		return err
	}
	if err := errors.Join(w.gate.Register(ctx, ticket, manifest), w.gate.Finish(ctx, ticket, 1)); err != nil {
		return err
	}
	if s, err = w.ask(ctx, w.admin, "UpdateCustomization"); err != nil {
		return err
	}
	if err := w.gate.Catalog(s).Activate(ctx, w.id, 0); err != nil {
		return err
	}
	if s, err = w.ask(ctx, w.admin, "AssociateCustomizationPermission"); err != nil {
		return err
	}
	return w.gate.Catalog(s).Share(ctx, w.id, w.dev.User)
}

func (w *World) seal(ctx context.Context, s *fas.Session, docs []retrieval.Document) (manifest [32]byte, err error) {
	b, err := retrieval.BindingOf(s)
	if err != nil {
		return manifest, err
	}
	f, err := w.Collections.Create(b)
	if err != nil {
		return manifest, err
	}
	defer f.Close()
	model, err := ngram.Build(func(yield func(string, []byte) bool) {
		for _, d := range docs {
			if !yield(d.Path, d.Text) {
				return
			}
		}
	})
	if err != nil {
		return manifest, err
	}
	blob, err := model.MarshalBinary()
	if err != nil {
		return manifest, err
	}
	err = s.WithKey(fas.VerbIndex, func(key []byte) error {
		wr, err := embedded.Create(f, b, key, nil)
		if err != nil {
			return err
		}
		for _, d := range docs {
			if err := wr.Add(ctx, d); err != nil {
				return err
			}
		}
		if err := wr.Attach(modelBlob, blob); err != nil {
			return err
		}
		manifest, _, err = wr.Seal(ctx)
		return err
	})
	return manifest, err
}

// Ask signs one call of the developer and returns the session that the firewall
// gives for it.
func (w *World) Ask(ctx context.Context, operation string) (*fas.Session, error) {
	return w.ask(ctx, w.dev, operation)
}

func (w *World) ask(ctx context.Context, who firewalld.AccessKey, operation string) (*fas.Session, error) {
	body := fmt.Appendf(nil, `{"nonce":%q}`, rand.Text())
	r, err := http.NewRequest(http.MethodPost, "http://service.local/"+operation, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	key := sigv4.Credentials{AccessKeyID: who.AccessKeyID, Secret: tenant.NewSecret([]byte(who.SecretAccessKey)), Region: "us-east-1", Service: "codewhisperer"}
	if err := sigv4.SignRequest(r, body, key, time.Now()); err != nil {
		return nil, err
	}
	r.RequestURI = r.URL.Path
	signed, _, err := sigv4.Capture(r, 1<<16)
	if err != nil {
		return nil, err
	}
	ev, err := fas.SigV4Evidence(signed)
	if err != nil {
		return nil, err
	}
	req := fas.Request{RequestID: tenant.NewRequestID()}
	for _, o := range operations {
		if o.OnCustomization && o.Path == r.URL.Path {
			req.Customization = w.id
		}
	}
	return w.gate.AssumeOwn(ctx, ev, req)
}

// Close ends the firewall and removes all that there was.
func (w *World) Close() (err error) {
	if w.gate != nil {
		err = w.gate.Close()
	}
	w.stop()
	if w.wall != nil {
		err = errors.Join(err, w.wall.Close())
	}
	if w.rec != nil {
		err = errors.Join(err, w.rec.Close())
	}
	if w.dir != "" {
		err = errors.Join(err, os.RemoveAll(w.dir))
	}
	return err
}
