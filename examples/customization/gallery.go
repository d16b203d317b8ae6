package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"time"

	"github.com/cloisterdev/cloister/audit"
	"github.com/cloisterdev/cloister/examples/customization/internal/client"
	"github.com/cloisterdev/cloister/examples/customization/internal/stack"
	"github.com/cloisterdev/cloister/fas"
	"github.com/cloisterdev/cloister/fas/sigv4"
	"github.com/cloisterdev/cloister/tenant"
)

// attack is one entry of the gallery: what an attacker does, and the same done
// rightly. try returns what the attacker saw; an error means that the attack
// could not be made at all.
type attack struct {
	id, title, layer string
	try              func(context.Context) (outcome, error)
	control          func(context.Context) error
}

// outcome is what an attacker saw.
type outcome struct {
	refused bool
	saw     string
}

// gallery attacks a running service through the doors that attackers have.
type gallery struct {
	p    *printer
	st   *stack.Stack
	a, b *side
	sum  *summary
	tier string
	wall *fas.Client // a compromised front end's connection
}

type refusalEvent struct {
	ID      string `json:"id"`
	Title   string `json:"title"`
	Layer   string `json:"layer"`
	Refused bool   `json:"refused"`
	Control bool   `json:"control"`
	Saw     string `json:"caller_saw"`
	Reason  string `json:"audit_reason"`
}

func (g *gallery) run(ctx context.Context) error {
	conn, err := g.st.DialFirewall()
	if err != nil {
		return err
	}
	if g.wall, err = fas.Dial(conn); err != nil {
		return err
	}
	defer g.wall.Close()
	inside, err := g.compromised(ctx)
	if err != nil {
		return fmt.Errorf("gallery: play a compromised front end: %w", err)
	}
	workers, endWorkers, err := g.workers()
	if err != nil {
		return fmt.Errorf("gallery: play a compromised worker: %w", err)
	}
	defer endWorkers()
	slots, endSlots, err := g.slots(ctx)
	if err != nil {
		return fmt.Errorf("gallery: play a compromised pool: %w", err)
	}
	defer endSlots()
	envelopes, err := g.envelopes(ctx)
	if err != nil {
		return fmt.Errorf("gallery: seal for the envelope attacks: %w", err)
	}
	keys, endKeys, err := g.keys(ctx, filepath.Join(g.st.Dir(), "gallery-kms"))
	if err != nil {
		return fmt.Errorf("gallery: make keys and grants: %w", err)
	}
	defer endKeys()
	tokens, endTokens, err := g.tokens()
	if err != nil {
		return fmt.Errorf("gallery: start an identity provider: %w", err)
	}
	defer endTokens()
	for _, list := range [][]attack{g.signatures(), tokens, g.permissions(), inside, g.formats(), envelopes, keys, g.buckets(), workers, slots, g.files(), g.settings()} {
		for _, a := range list {
			if err := g.do(ctx, a); err != nil {
				return err
			}
		}
	}
	return nil
}

func (g *gallery) do(ctx context.Context, a attack) error {
	start := time.Now()
	got, err := a.try(ctx)
	if err != nil {
		return fmt.Errorf("gallery: %s could not be tried: %w", a.id, err)
	}
	ev := refusalEvent{ID: a.id, Title: a.title, Layer: a.layer, Refused: got.refused, Saw: got.saw}
	ev.Reason = g.reason(start)
	cerr := a.control(ctx)
	ev.Control = cerr == nil
	return g.report(ev, cerr)
}

func (g *gallery) report(ev refusalEvent, cerr error) error {
	g.sum.Refusals++
	g.sum.Controls++
	mark := "REFUSED"
	if ev.Refused {
		g.sum.Refused++
	} else {
		mark = "SUCCEEDED"
	}
	if ev.Control {
		g.sum.ControlsPassed++
	} else {
		mark += fmt.Sprintf(" (but the control failed: %v)", cerr)
	}
	if g.sum.Refusals == 1 {
		g.p.say("")
	}
	g.p.say("%-9s %-52s %-10s saw: %-34.34s audit: %s", mark, ev.Title, ev.Layer, ev.Saw, ev.Reason)
	return g.p.event("refusal", ev)
}

// reason finds what the audit log says of the refusal.
func (g *gallery) reason(since time.Time) string {
	time.Sleep(60 * time.Millisecond) // denials are durable within 50 ms
	last := "-"
	for _, dir := range []string{cloudAuditDir(g.st.Dir()), auditDir(g.st.Dir())} {
		for e, err := range audit.Read(dir) {
			if err != nil {
				return "-"
			}
			if e.Decision == audit.Deny && !e.Time.Before(since) && !strings.HasPrefix(e.Kind, "authz.") {
				last = e.Kind + "/" + e.Reason
			}
		}
	}
	return last
}

// request builds a signed request of a user, so that an attack can change it.
func (g *gallery) request(u client.User, op string, body []byte, at time.Time) (*http.Request, error) {
	r, err := http.NewRequest(http.MethodPost, "http://"+g.st.Addr()+"/"+op, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Content-Type", "application/json")
	return r, sigv4.SignRequest(r, body, sigv4.Credentials{AccessKeyID: u.AccessKeyID, Secret: tenant.NewSecret([]byte(u.Secret)), Region: client.Region, Service: client.Service}, at)
}

func send(r *http.Request, body []byte) (outcome, error) {
	if body != nil {
		r.Body, r.ContentLength = http.NoBody, 0
		if len(body) > 0 {
			r.Body, r.ContentLength = readCloser{bytes.NewReader(body)}, int64(len(body))
		}
	}
	a, err := client.Send(http.DefaultClient, r)
	if err != nil {
		return outcome{}, err
	}
	return seen(a), nil
}

type readCloser struct{ *bytes.Reader }

// Close does nothing.
func (readCloser) Close() error { return nil }

func seen(a client.Answer) outcome {
	return outcome{a.Status != http.StatusOK, fmt.Sprintf("%d %s", a.Status, a.Header.Get("X-Amzn-Errortype"))}
}

// refusedBy turns the error of a room into an outcome; any other error than
// the wanted one means that the attack failed for the wrong reason.
func refusedBy(err, want error) (outcome, error) {
	switch {
	case err == nil:
		return outcome{false, "success"}, nil
	case errors.Is(err, want):
		return outcome{true, want.Error()}, nil
	}
	return outcome{false, "another error: " + err.Error()}, nil
}

func (g *gallery) retrievals(arn string) []byte {
	return toJSON(map[string]any{"customizationArn": arn, "query": "read connection buffer", "nonce": unique()})
}

// works is the control of most attacks: the developer's own call succeeds.
func (g *gallery) works(ctx context.Context) error {
	a, err := g.a.dev.Raw(ctx, "GetRetrievals", g.retrievals(g.a.arn))
	if err == nil && a.Status != http.StatusOK {
		err = fmt.Errorf("status %d", a.Status)
	}
	return err
}
