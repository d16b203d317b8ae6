package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/cloisterdev/cloister/audit"
	"github.com/cloisterdev/cloister/fas"
	"github.com/cloisterdev/cloister/fas/firewalld"
	"github.com/cloisterdev/cloister/tenant"
)

// A firewall is a process of its own, and so is what it is compared with:
// whoever measures shares the cores with them, and no runtime. The word makes
// this program one of them, in the directory that follows it.
var askedRoles = map[string]func(ctx context.Context, dir string, ready func()) error{
	"_firewall": serveFirewall,
	"_silent":   serveSilent,
	"_beat":     beat,
}

const (
	askedRoot   = "root.key"
	askedHome   = "firewall"
	askedSocket = "socket"
	askReady    = "ready"
)

// startRole runs this program in a role until stop.
func startRole(ctx context.Context, role, dir string) (stop func() error, err error) {
	_, stop, err = startPiped(ctx, role, dir)
	return stop, err
}

// startPiped returns besides what the role writes after it is ready.
func startPiped(ctx context.Context, role, dir string) (piped io.Reader, stop func() error, err error) {
	_, out, stop, err := startSelf(ctx, role, dir)
	if err != nil {
		return nil, nil, err
	}
	ready := make([]byte, len(askReady)+1)
	if _, err := io.ReadFull(out, ready); err != nil || string(ready) != askReady+"\n" {
		return nil, nil, errors.Join(fmt.Errorf("%s did not come up", role), err, stop())
	}
	return out, stop, nil
}

// starter starts a role, in a process or in this one.
type starter func(ctx context.Context, role, dir string) (stop func() error, err error)

// startHere runs a role beside whoever measures.
func startHere(ctx context.Context, role, dir string) (stop func() error, err error) {
	ctx, cancel := context.WithCancel(ctx)
	ready, ended := make(chan struct{}), make(chan error, 1)
	go func() { ended <- askedRoles[role](ctx, dir, func() { close(ready) }) }()
	stop = func() error { cancel(); return <-ended }
	select {
	case <-ready:
		return stop, nil
	case err := <-ended:
		cancel()
		return nil, fmt.Errorf("%s did not come up: %w", role, err)
	}
}

var askedOperations = []fas.Operation{
	{Path: "/CreateCustomization", Action: "CreateCustomization", Mutating: true, Verbs: []fas.Verb{fas.VerbCatalogCreate}},
	{Path: "/UpdateCustomization", Action: "UpdateCustomization", OnCustomization: true, Mutating: true, Verbs: []fas.Verb{fas.VerbCatalogActivate}},
	{Path: "/AssociateCustomizationPermission", Action: "AssociateCustomizationPermission", OnCustomization: true, Mutating: true, Verbs: []fas.Verb{fas.VerbCatalogShare}},
	{Path: "/GetRetrievals", Action: "GetRetrievals", OnCustomization: true, Verbs: []fas.Verb{fas.VerbQuery}},
}

func serveFirewall(ctx context.Context, dir string, ready func()) (err error) {
	key, err := os.ReadFile(filepath.Join(dir, askedRoot))
	if err != nil {
		return err
	}
	log, err := audit.Open(filepath.Join(dir, "audit"), nil)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, log.Close()) }()
	// The limits of a tenant are not what is measured.
	wall, err := firewalld.Open(filepath.Join(dir, askedHome), tenant.NewSecret(key), log,
		&firewalld.Options{Operations: askedOperations, Limits: fas.Limits{Rate: 1e6, Concurrent: 1000}})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, wall.Close()) }()
	l, err := wall.ListenUnix(filepath.Join(dir, askedSocket), []fas.Workload{{Name: "front-end", UID: uint32(os.Getuid()), GID: uint32(os.Getgid()), Control: true}})
	if err != nil {
		return err
	}
	ready()
	return l.Serve(ctx)
}

// serveSilent answers as many bytes over a unix socket and does nothing for
// them.
func serveSilent(ctx context.Context, dir string, ready func()) error {
	l, err := net.Listen("unix", filepath.Join(dir, "silent"))
	if err != nil {
		return err
	}
	out := bytes.Repeat([]byte("x"), askAnswer)
	srv := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = w.Write(out)
	})}
	defer context.AfterFunc(ctx, func() { _ = srv.Close() })()
	ready()
	if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// beat writes a byte whenever a call is due: whoever begins the calls is woken
// as by a request that comes in, and not by timers, which the runtime rounds to
// milliseconds.
func beat(ctx context.Context, _ string, ready func()) error {
	ready()
	start := time.Now()
	for i := 1; ctx.Err() == nil; i++ {
		pause(time.Until(start.Add(time.Duration(i) * time.Second / askPerSecond)))
		if _, err := os.Stdout.Write([]byte{'.'}); err != nil {
			return nil //nolint:nilerr // nobody listens any more
		}
	}
	return nil
}
