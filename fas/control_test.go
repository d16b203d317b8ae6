package fas_test

import (
	"context"
	"crypto/tls"
	"testing"
	"time"

	"github.com/cloisterdev/cloister/audit"
	"github.com/cloisterdev/cloister/fas"
	"github.com/cloisterdev/cloister/tenant"
)

// tlsListener serves workloads until the test ends.
func (w *world) tlsListener(ca *authority, ws ...fas.Workload) (dial func(identity string) *fas.Client) {
	w.t.Helper()
	l, err := w.srv.ListenTLS("127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{ca.issue(nil, "wall")}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: ca.pool()}, ws)
	w.ok(err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- l.Serve(ctx) }()
	w.t.Cleanup(func() { cancel(); w.ok(<-done) })
	return func(identity string) *fas.Client {
		w.t.Helper()
		c, err := fas.DialTLS(ctx, l.Addr().String(), &tls.Config{Certificates: []tls.Certificate{ca.issue(nil, identity)}, RootCAs: ca.pool(), ServerName: "wall"})
		w.ok(err)
		w.t.Cleanup(func() { w.ok(c.Close()) })
		return c
	}
}

// A workload that is no control plane learns of nobody's work, and a ticket in
// its hands opens and ends nothing.
func TestControlPlane(t *testing.T) {
	t.Parallel()
	w, ca := newWorld(t), newAuthority(t)
	dial := w.tlsListener(ca, fas.Workload{Name: "editor", Identity: "editor.example.org", Operator: true}, fas.Workload{Name: "ingestion", Identity: "ingestion.example.org", Control: true})
	ctx := context.Background()
	_, ticket := w.create()
	editor, ingestion := dial("editor.example.org"), dial("ingestion.example.org")
	for name, call := range map[string]func() error{
		"unfinished": func() error { _, err := editor.Unfinished(ctx); return err },
		"redeem":     func() error { _, err := editor.Redeem(ctx, ticket, fas.VerbStage); return err },
		"register":   func() error { return editor.Register(ctx, ticket, [32]byte{1}) },
		"finish":     func() error { return editor.Finish(ctx, ticket, 1) },
		"abandon":    func() error { return editor.Abandon(ctx, ticket, "x") },
		"removed":    func() error { return editor.Removed(ctx, ticket) },
	} {
		before := w.rec.count(func(e audit.Event) bool { return e.Reason == "not-a-control-plane" })
		w.refused(name, call(), fas.ErrRole)
		if n := w.rec.count(func(e audit.Event) bool {
			return e.Reason == "not-a-control-plane" && e.Decision == audit.Deny && e.Detail["workload"] == "editor"
		}); n != before+1 {
			t.Errorf("%s: %d records", name, n-before)
		}
	}
	// What is its own it may do.
	s, err := editor.AssumeOwn(ctx, w.evidence("ListCustomizations", time.Now()), fas.Request{RequestID: tenant.NewRequestID()})
	w.ok(err)
	rows, err := editor.Catalog(s).List(ctx)
	w.ok(err)
	if len(rows) != 1 || rows[0].State != fas.Creating {
		t.Errorf("%+v", rows)
	}
	// The control plane does its work.
	open, err := ingestion.Unfinished(ctx)
	w.ok(err)
	if len(open) != 1 {
		t.Fatalf("%d unfinished", len(open))
	}
	work, err := ingestion.Redeem(ctx, open[0].Ticket, fas.VerbIndex)
	w.ok(err)
	w.ok(work.Close())
	w.ok(ingestion.Register(ctx, ticket, [32]byte{1}))
	w.ok(ingestion.Finish(ctx, ticket, 1))
}
