package firewalld_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/cloisterdev/cloister/internal/sabotage"
)

// threat is one row of the table of threats: an attack through the firewall's
// real socket, refused, with its control; and for each control that refuses it
// a saboteur that takes the control away and must be seen.
type threat struct {
	name      string
	attack    func(*testing.T)
	saboteurs []sabotage.Patch
}

var threats = []threat{
	{"forged-signature", forgedSignature, []sabotage.Patch{
		{File: "fas/sigv4/verify.go", Old: "if !match {", New: "if !match && false {"}}},
	{"replay-in-window", replayInWindow, []sabotage.Patch{
		{File: "fas/firewall.go", Old: "\t\tif fresh {", New: "\t\tif true || fresh {"}}},
	{"replay-after-restart", replayAfterRestart, []sabotage.Patch{
		{File: "fas/ahead.go", Old: "if at.Before(f.started) {", New: "if false && at.Before(f.started) {"},
		{File: "fas/ahead.go", Old: "return !at.After(f.ahead", New: "return false && !at.After(f.ahead"},
		{File: "fas/firewalld/registry.go", Old: "if err == nil && !r.fresh {", New: "if err == nil && r.fresh {"}}},
	{"signature-of-another-operation", anotherOperation, []sabotage.Patch{
		{File: "fas/exchange.go", Old: "case !slices.Contains(prof.Operations, v.op.Path):", New: "case false && !slices.Contains(prof.Operations, v.op.Path):"},
		{File: "fas/catalogsessions.go", Old: "case !slices.Contains(s.verbs, v):", New: "case false && !slices.Contains(s.verbs, v):"}}},
	{"another-tenants-bucket", anotherTenantsBucket, []sabotage.Patch{
		{File: "fas/exchange.go", Old: "r.Tenant != v.caller.Tenant() || ", New: ""}}},
	{"another-bucket-of-the-tenant", anotherBucket, []sabotage.Patch{
		{File: "fas/exchange.go", Old: "if policy.Subset(bound, doc).Answer != policy.Yes {", New: "if false && policy.Subset(bound, doc).Answer != policy.Yes {"}}},
	{"empty-or-wide-scope", emptyOrWideScope, []sabotage.Patch{
		{File: "fas/exchange.go", Old: "if policy.Subset(p.doc, doc).Answer != policy.Yes {", New: "if false && policy.Subset(p.doc, doc).Answer != policy.Yes {"}}},
	{"policy-injection", policyInjection, []sabotage.Patch{
		{File: "fas/gate.go", Old: `policy.Literal(bucket+"/"+prefix)`, New: `(bucket + "/" + prefix)`}}},
	{"profile-tampering", profileTampering, []sabotage.Patch{
		{File: "fas/profile/verified.go", Old: `if signed[r] == "" {`, New: `if signed[r] == "" && false {`}}},
	{"session-mints-session", sessionMintsSession, []sabotage.Patch{
		{File: "fas/catalogsessions.go", Old: "case !slices.Contains(s.verbs, v):", New: "case false && !slices.Contains(s.verbs, v):"}}},
	{"stolen-session", stolenSession, []sabotage.Patch{
		{File: "fas/catalogsessions.go", Old: "case !time.Now().Before(s.expires):", New: "case false && !time.Now().Before(s.expires):"},
		{File: "fas/catalogsessions.go", Old: "case s.from != from:", New: "case false && s.from != from:"},
		{File: "fas/catalogsessions.go", Old: "case f.denied.revoked(id,", New: "case false && f.denied.revoked(id,"}}},
	{"sts-proof-spoofing", proofSpoofing, []sabotage.Patch{
		{File: "fas/awssts/verify.go", Old: `(kind != "text/xml" && kind != "application/xml")`, New: `kind == "nothing"`}}},
	{"cross-service-reuse", crossService, []sabotage.Patch{
		{File: "fas/sigv4/verify.go", Old: "if !in || e.service != o.Service {", New: "if !in && e.service != o.Service {"}}},
	{"ambient-credentials", ambientCredentials, []sabotage.Patch{
		{File: "fas/awssts/provider.go", Old: "c.Credentials, c.BearerAuthTokenProvider, c.ConfigSources = p, nil, nil", New: "c.BearerAuthTokenProvider, c.ConfigSources = nil, nil"}}},
	{"assume-own-without-receipt", assumeOwnOracle, []sabotage.Patch{
		{File: "fas/firewall.go", Old: "if err != nil {\n\t\treturn f.deny(ctx, *e, \"not-authorized\", ErrDenied)", New: "if err != nil && false {\n\t\treturn f.deny(ctx, *e, \"not-authorized\", ErrDenied)"}}},
	{"audit-sink-down", auditSinkDown, []sabotage.Patch{
		{File: "fas/record.go", Old: "if err := record(ctx, e); err != nil {", New: "if err := record(ctx, e); err != nil && false {"}}},
	{"key-in-the-front-end", keyInFrontEnd, []sabotage.Patch{
		{File: "fas/firewall.go", Old: "\te.Evidence = claim.Digest\n", New: "\te.Evidence = claim.Digest\n\t_ = id.Secret.Use(func(b []byte) error { v.watch.spans = append(v.watch.spans, Span{Name: string(b)}); return nil })\n"}}},
	{"unsigned-header", unsignedHeader, []sabotage.Patch{
		{File: "fas/sigv4/capture.go", Old: "if received != amzSigned {", New: "if received != amzSigned && false {"}}},
	{"flood", flood, []sabotage.Patch{
		{File: "fas/limits.go", Old: "if a.tokens < 1 || a.running >= m.l.Concurrent {", New: "if false && (a.tokens < 1 || a.running >= m.l.Concurrent) {"},
		{File: "fas/replay_memory.go", Old: "if m.kept.Add(1) > m.max {", New: "if m.kept.Add(1) > m.max && false {"}}},
	{"ticket-of-another-workload", anothersTicket, []sabotage.Patch{
		{File: "fas/server.go", Old: "slices.Contains(controlCalls, in.Op) && !con.peer.control", New: "slices.Contains(controlCalls, in.Op) && false"}}},
	{"another-program-at-the-socket", anotherProgram, []sabotage.Patch{
		{File: "fas/listen.go", Old: `if w.Executable == "" || w.Executable == exe {`, New: `if w.Executable == "" || w.Executable != "" {`}}},
}

func TestThreats(t *testing.T) {
	for _, row := range threats {
		t.Run(row.name, row.attack)
	}
}

// TestThreatsHaveTeeth builds the package once for each saboteur, which takes
// minutes: it runs where CLOISTER_SABOTEURS is 1.
func TestThreatsHaveTeeth(t *testing.T) {
	if os.Getenv("CLOISTER_SABOTEURS") != "1" {
		t.Skip("set CLOISTER_SABOTEURS=1 to build and run a sabotaged firewall for each row")
	}
	root, err := filepath.Abs(filepath.Join("..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range threats {
		if len(row.saboteurs) == 0 {
			t.Errorf("%s has no saboteur", row.name)
		}
		for _, p := range row.saboteurs {
			t.Run(row.name+"/"+filepath.Base(p.File), func(t *testing.T) {
				ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
				defer cancel()
				if err := sabotage.Caught(ctx, root, "./fas/firewalld", "TestThreats/"+row.name, p); err != nil {
					t.Errorf("%v", err)
				}
			})
		}
	}
}
