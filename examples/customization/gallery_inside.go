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
	"slices"
	"time"

	"github.com/cloisterdev/cloister/audit"
	"github.com/cloisterdev/cloister/examples/customization/internal/api"
	"github.com/cloisterdev/cloister/examples/customization/internal/client"
	"github.com/cloisterdev/cloister/fas"
	"github.com/cloisterdev/cloister/fas/policy"
	"github.com/cloisterdev/cloister/fas/sigv4"
	"github.com/cloisterdev/cloister/tenant"
)

// evidence is a user's signed call as a compromised front end has it in hand.
func (g *gallery) evidence(u client.User, op string, body []byte) (fas.Evidence, error) {
	r, err := g.request(u, op, body, time.Now())
	if err != nil {
		return fas.Evidence{}, err
	}
	r.RequestURI = r.URL.Path
	ev, got, err := sigv4.Capture(r, 1<<20)
	if err != nil {
		return fas.Evidence{}, err
	}
	if ev, err = ev.WithBody(got); err != nil {
		return fas.Evidence{}, err
	}
	return fas.SigV4Evidence(ev)
}

func scopeFor(actions []string, where string) ([]byte, error) {
	return policy.Marshal(policy.Statement{Effect: "Allow", Actions: actions, Resources: []string{"arn:aws:s3:::" + where}})
}

// compromised plays a front end that is in the attacker's hands: it has the
// firewall's socket and calls of customers, and asks for more than they
// signed.
func (g *gallery) compromised(ctx context.Context) ([]attack, error) {
	u := g.a.admin.User
	body := func() []byte {
		return toJSON(map[string]any{"customizationName": "unfinished", "dataReference": g.a.reference(u.Bucket, prefix), "clientToken": unique()})
	}
	ev, err := g.evidence(u, "CreateCustomization", body())
	if err != nil {
		return nil, err
	}
	own, err := g.wall.AssumeOwn(ctx, ev, fas.Request{RequestID: tenant.NewRequestID()})
	if err != nil {
		return nil, err
	}
	row, ticket, err := g.wall.Catalog(own).Create(ctx, fas.CreateInput{})
	if err != nil {
		return nil, err
	}
	exchange := func(op string, b []byte, actions []string, where string) error {
		ev, err := g.evidence(u, op, b)
		if err != nil {
			return err
		}
		var scope []byte
		if where != "" {
			if scope, err = scopeFor(actions, where); err != nil {
				return err
			}
		}
		s, err := g.wall.Exchange(ctx, ev, fas.Request{RequestID: tenant.NewRequestID(), Customization: row.Customization, Profile: "ingest-source", Scope: scope})
		if err == nil {
			err = s.Close()
		}
		return err
	}
	read := []string{"s3:GetObject", "s3:ListBucket"}
	right := u.Bucket + "/" + prefix + "*"
	control := func(context.Context) error { return exchange("CreateCustomization", body(), read, right) }
	wide := func(id, title, layer, op string, actions []string, where string, want error) attack {
		return attack{id, title, layer, func(context.Context) (outcome, error) {
			b := body()
			if op != "CreateCustomization" {
				b = toJSON(map[string]any{"nonce": unique()})
			}
			return refusedBy(exchange(op, b, actions, where), want)
		}, control}
	}
	assume := func(id, title string, who client.User, op string, target string, want error) attack {
		return attack{id, title, "firewall", func(ctx context.Context) (outcome, error) {
			ev, err := g.evidence(who, op, g.retrievals(target))
			if err != nil {
				return outcome{}, err
			}
			t, err := api.ParseCustomization(target)
			if err != nil {
				return outcome{}, err
			}
			_, err = g.wall.AssumeOwn(ctx, ev, fas.Request{RequestID: tenant.NewRequestID(), Customization: t})
			return refusedBy(err, want)
		}, g.works}
	}
	presigned := attack{"fe-presigned", "a presigned link of the customer's shown to the firewall", "firewall", func(ctx context.Context) (outcome, error) {
		b := g.retrievals(g.a.arn)
		r, err := g.request(g.a.dev.User, "GetRetrievals", b, time.Now())
		if err != nil {
			return outcome{}, err
		}
		g.presign(r, b)
		r.RequestURI = r.URL.RequestURI()
		signed, got, err := sigv4.CaptureWith(r, 1<<20, sigv4.CaptureOptions{Presigned: true})
		if err != nil {
			return outcome{}, err
		}
		if signed, err = signed.WithBody(got); err != nil {
			return outcome{}, err
		}
		ev, err := fas.SigV4Evidence(signed)
		if err != nil {
			return outcome{}, err
		}
		t, err := api.ParseCustomization(g.a.arn)
		if err != nil {
			return outcome{}, err
		}
		_, err = g.wall.AssumeOwn(ctx, ev, fas.Request{RequestID: tenant.NewRequestID(), Customization: t})
		return refusedBy(err, fas.ErrDenied)
	}, g.works}
	list := []attack{
		presigned,
		assume("fe-foreign", "A's signed call used for B's customization", g.a.dev.User, "GetRetrievals", g.b.arn, fas.ErrDenied),
		assume("fe-wrong-evidence", "B's signed call used for A's customization", g.b.dev.User, "GetRetrievals", g.a.arn, fas.ErrDenied),
		assume("fe-list-as-query", "a list call used to open a collection", g.a.admin.User, "ListCustomizations", g.a.arn, fas.ErrDenied),
		assume("fe-invented-operation", "an operation that is not in the table", g.a.admin.User, "ReadEverything", g.a.arn, fas.ErrOperation),
		wide("fe-other-operation", "a list call exchanged for the bucket", "profile", "ListCustomizations", read, right, fas.ErrOperation),
		wide("fe-empty-scope", "an empty scope-down", "scope", "CreateCustomization", nil, "", fas.ErrScope),
		wide("fe-wider-than-profile", "a scope-down with s3:PutObject", "scope", "CreateCustomization", []string{"s3:PutObject"}, right, fas.ErrScope),
		wide("fe-everything", "a scope-down for every bucket", "scope", "CreateCustomization", read, "*", fas.ErrScope),
		wide("fe-other-bucket", "the other tenant's bucket", "scope", "CreateCustomization", read, g.b.admin.User.Bucket+"/"+prefix+"*", fas.ErrScope),
		wide("fe-other-prefix", "another prefix of the same bucket", "scope", "CreateCustomization", read, u.Bucket+"/secrets/*", fas.ErrScope),
	}
	more, err := g.sessions(ctx, row, ticket, own, body)
	return append(list, more...), err
}

// sessions misuses sessions and tickets that were rightly given.
func (g *gallery) sessions(ctx context.Context, row fas.Row, ticket fas.Ticket, own *fas.Session, body func() []byte) ([]attack, error) {
	u := g.a.admin.User
	ev, err := g.evidence(u, "CreateCustomization", body())
	if err != nil {
		return nil, err
	}
	scope, err := scopeFor([]string{"s3:GetObject", "s3:ListBucket"}, u.Bucket+"/"+prefix+"*")
	if err != nil {
		return nil, err
	}
	s, err := g.wall.Exchange(ctx, ev, fas.Request{RequestID: tenant.NewRequestID(), Customization: row.Customization, Profile: "ingest-source", Scope: scope})
	if err != nil {
		return nil, err
	}
	creds, err := s.Credentials()
	if err != nil {
		return nil, err
	}
	get := func(c fas.Credentials, method, path string) (outcome, error) {
		h := &http.Client{Transport: &sigv4.Transport{AccessKeyID: c.AccessKeyID, Secret: c.Secret, SessionToken: c.Token, Region: "us-east-1", Service: "s3"}}
		r, err := http.NewRequest(method, "http://"+g.st.S3Addr()+path, nil)
		if err != nil {
			return outcome{}, err
		}
		a, err := client.Send(h, r)
		return outcome{a.Status != 200, fmt.Sprint(a.Status)}, err
	}
	listing := "/" + u.Bucket + "?list-type=2&max-keys=1&prefix=src%2F"
	control := func(context.Context) error {
		got, err := get(creds, http.MethodGet, listing)
		if err == nil && got.refused {
			err = errors.New(got.saw)
		}
		return err
	}
	bucket := func(id, title string, change func(*fas.Credentials), method, path string) attack {
		return attack{id, title, "bucket", func(context.Context) (outcome, error) {
			c := creds
			if change != nil {
				change(&c)
			}
			return get(c, method, path)
		}, control}
	}
	redeem := func(t fas.Ticket, v fas.Verb) (outcome, error) {
		s, err := g.wall.Redeem(ctx, t, v)
		if err == nil {
			_ = s.Close()
		}
		return refusedBy(err, fas.ErrTicket)
	}
	staged := func(context.Context) error {
		s, err := g.wall.Redeem(ctx, ticket, fas.VerbStage)
		if err == nil {
			err = s.Close()
		}
		return err
	}
	// The claims stay, the signature is not the authority's.
	forged := func(c *fas.Credentials) { c.Token = c.Token[:len(c.Token)-8] + "AAAAAAAA" }
	cat := g.wall.Catalog(own)
	// The gallery's own program is another workload than the front end.
	thief, err := callFirewall(g.st.Dir())
	if err != nil {
		return nil, err
	}
	return []attack{
		{"session-stolen", "a session used by another program than the one it was given to", "firewall", func(ctx context.Context) (outcome, error) {
			_, _, err := thief.Catalog(own).Create(ctx, fas.CreateInput{})
			return refusedBy(err, fas.ErrRole)
		}, func(ctx context.Context) error {
			// The program may call: with what is its own.
			ev, err := g.evidence(u, "ListCustomizations", toJSON(map[string]any{"nonce": unique()}))
			if err != nil {
				return err
			}
			s, err := thief.AssumeOwn(ctx, ev, fas.Request{RequestID: tenant.NewRequestID()})
			if err != nil {
				return err
			}
			_, err = thief.Catalog(s).List(ctx)
			return errors.Join(err, s.Close(), thief.Close())
		}},
		bucket("session-other-bucket", "a session used on the other tenant's bucket", nil, http.MethodGet, "/"+g.b.admin.User.Bucket+"?list-type=2&prefix=src%2F"),
		bucket("session-other-prefix", "a session used on another prefix", nil, http.MethodGet, "/"+u.Bucket+"/secrets/key.pem"),
		bucket("session-whole-bucket", "a session that lists the whole bucket", nil, http.MethodGet, "/"+u.Bucket+"?list-type=2"),
		bucket("session-other-verb", "a session that writes", nil, http.MethodPut, "/"+u.Bucket+"/src/new.go"),
		bucket("session-deletes", "a session that deletes", nil, http.MethodDelete, "/"+u.Bucket+"/src/new.go"),
		bucket("session-made-up", "a session token that the firewall did not sign", forged, http.MethodGet, listing),
		bucket("session-wrong-secret", "a session's token with another secret", func(c *fas.Credentials) { c.Secret = tenant.NewSecret([]byte("guess")) }, http.MethodGet, listing),
		bucket("session-no-token", "a session's key without its token", func(c *fas.Credentials) { c.Token = "" }, http.MethodGet, listing),
		{"session-expired", "a session used after its end", "bucket", func(ctx context.Context) (outcome, error) {
			ev, err := g.evidence(u, "CreateCustomization", body())
			if err != nil {
				return outcome{}, err
			}
			brief, err := g.wall.Exchange(ctx, ev, fas.Request{RequestID: tenant.NewRequestID(), Customization: row.Customization, Profile: "ingest-source", Scope: scope, TTL: 2 * time.Second})
			if err != nil {
				return outcome{}, err
			}
			c, err := brief.Credentials()
			if err != nil {
				return outcome{}, err
			}
			if got, err := get(c, http.MethodGet, listing); err != nil || got.refused {
				return outcome{}, fmt.Errorf("before its end: %s, %w", got.saw, err)
			}
			time.Sleep(time.Until(brief.Expires()))
			return get(c, http.MethodGet, listing)
		}, control},
		{"session-for-session", "a session used to get another one", "firewall", func(ctx context.Context) (outcome, error) {
			h := &http.Client{Transport: &sigv4.Transport{AccessKeyID: creds.AccessKeyID, Secret: creds.Secret, SessionToken: creds.Token, Region: client.Region, Service: client.Service}}
			r, err := http.NewRequest(http.MethodPost, "http://"+g.st.Addr()+"/CreateCustomization", bytes.NewReader(body()))
			if err != nil {
				return outcome{}, err
			}
			a, err := client.Send(h, r)
			return seen(a), err
		}, control},
		{"catalog-other-verb", "a create session used to delete", "firewall", func(ctx context.Context) (outcome, error) {
			_, err := cat.Delete(ctx, row.Customization)
			return refusedBy(err, fas.ErrVerb)
		}, staged},
		{"ticket-for-bucket", "a ticket used for the bucket", "ticket", func(context.Context) (outcome, error) { return redeem(ticket, fas.VerbBucketRead) }, staged},
		{"ticket-for-query", "a ticket used for the active snapshot", "ticket", func(context.Context) (outcome, error) { return redeem(ticket, fas.VerbQuery) }, staged},
		{"ticket-too-early", "a ticket used for a step that is not due", "ticket", func(context.Context) (outcome, error) { return redeem(ticket, fas.VerbEvaluate) }, staged},
		{"ticket-flipped", "a ticket with one bit changed", "ticket", func(context.Context) (outcome, error) {
			t := ticket
			t.Sealed = bytes.Clone(t.Sealed)
			t.Sealed[len(t.Sealed)-1] ^= 1
			return redeem(t, fas.VerbStage)
		}, staged},
		{"worker-role", "a worker's connection used as a front end's", "firewall", func(ctx context.Context) (outcome, error) {
			w, err := g.worker(ctx)
			if err != nil {
				return outcome{}, err
			}
			defer w.Close()
			return refusedBy(w.Abandon(ctx, ticket, "x"), fas.ErrRole)
		}, func(ctx context.Context) error {
			w, err := g.worker(ctx)
			if err != nil {
				return err
			}
			defer w.Close()
			s, err := w.Redeem(ctx, ticket, fas.VerbStage)
			if err == nil {
				err = s.Close()
			}
			return err
		}},
		{"ticket-after-end", "a ticket used after the workflow's end", "ticket", func(ctx context.Context) (outcome, error) {
			if err := staged(ctx); err != nil {
				return outcome{}, err
			}
			if err := g.wall.Abandon(ctx, ticket, "given-up"); err != nil {
				return outcome{}, err
			}
			return redeem(ticket, fas.VerbStage)
		}, g.works},
	}, nil
}

func (g *gallery) worker(ctx context.Context) (*fas.Client, error) {
	f, err := g.wall.Attach(ctx)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	c, err := net.FileConn(f)
	if err != nil {
		return nil, err
	}
	u, ok := c.(*net.UnixConn)
	if !ok {
		return nil, errors.New("not a unix socket")
	}
	return fas.DialWorker(u)
}

// buckets are attacks on the customer cloud itself.
func (g *gallery) buckets() []attack {
	key := "/" + g.a.admin.User.Bucket + "?list-type=2&max-keys=1&prefix=src%2F"
	as := func(u client.User, sign bool) (outcome, error) {
		r, err := http.NewRequest(http.MethodGet, "http://"+g.st.S3Addr()+key, nil)
		if err != nil {
			return outcome{}, err
		}
		h := http.DefaultClient
		if sign {
			h = &http.Client{Transport: &sigv4.Transport{AccessKeyID: u.AccessKeyID, Secret: tenant.NewSecret([]byte(u.Secret)), Region: "us-east-1", Service: "s3"}}
		}
		a, err := client.Send(h, r)
		return outcome{a.Status != 200, fmt.Sprint(a.Status)}, err
	}
	control := func(context.Context) error {
		got, err := as(g.a.admin.User, true)
		if err == nil && got.refused {
			err = errors.New(got.saw)
		}
		return err
	}
	return []attack{
		{"bucket-unsigned", "the bucket without a signature", "bucket", func(context.Context) (outcome, error) { return as(client.User{}, false) }, control},
		{"bucket-other-tenant", "the bucket with the other tenant's key", "bucket", func(context.Context) (outcome, error) { return as(g.b.admin.User, true) }, control},
	}
}

// files are attacks by whoever can write the service's disk.
func (g *gallery) files() []attack {
	var mine, theirs string
	find := func() error {
		all, err := filepath.Glob(filepath.Join(g.st.Dir(), "front", "collections", "col-*", "snap-*.seg"))
		if err != nil || len(all) < 2 {
			return fmt.Errorf("%d collection files: %w", len(all), err)
		}
		slices.SortFunc(all, func(a, b string) int { return modified(a).Compare(modified(b)) })
		mine, theirs = all[0], all[1]
		return nil
	}
	with := func(id, title string, change func(own, other []byte) []byte) attack {
		return attack{id, title, "retrieval", func(ctx context.Context) (out outcome, err error) {
			if err := find(); err != nil {
				return out, err
			}
			own, err := os.ReadFile(mine)
			if err != nil {
				return out, err
			}
			other, err := os.ReadFile(theirs)
			if err != nil {
				return out, err
			}
			at := modified(mine)
			if err := os.WriteFile(mine, change(bytes.Clone(own), other), 0o600); err != nil {
				return out, err
			}
			a, err := g.a.dev.Raw(ctx, "GetRetrievals", g.retrievals(g.a.arn))
			return seen(a), errors.Join(err, os.WriteFile(mine, own, 0o600), os.Chtimes(mine, at, at))
		}, g.works}
	}
	return []attack{
		with("file-swapped", "B's collection file copied over A's", func(_, other []byte) []byte { return other }),
		with("file-flipped", "one bit changed in every page of the collection", func(own, _ []byte) []byte {
			// Every page that a query may read gets its flipped bit.
			for i := 100; i < len(own)-4096; i += 2 << 10 {
				own[i] ^= 1
			}
			return own
		}),
		with("file-footer-flipped", "one bit of the manifest changed", func(own, _ []byte) []byte { own[len(own)-60] ^= 1; return own }),
		with("file-truncated", "the collection's file cut short", func(own, _ []byte) []byte { return own[:len(own)/2] }),
		with("file-extended", "pages appended to the collection's file", func(own, other []byte) []byte { return append(own, other[:16<<10]...) }),
		{"file-yesterday", "yesterday's snapshot put in the place of today's", "retrieval", func(ctx context.Context) (out outcome, err error) {
			if err := find(); err != nil {
				return out, err
			}
			yesterday, err := os.ReadFile(mine)
			if err != nil {
				return out, err
			}
			today, err := g.nextVersion(ctx, filepath.Dir(mine), mine)
			if err != nil {
				return out, err
			}
			own, err := os.ReadFile(today)
			if err != nil {
				return out, err
			}
			if err := os.WriteFile(today, yesterday, 0o600); err != nil {
				return out, err
			}
			a, err := g.a.dev.Raw(ctx, "GetRetrievals", g.retrievals(g.a.arn))
			return seen(a), errors.Join(err, os.WriteFile(today, own, 0o600))
		}, g.works},
	}
}

// nextVersion makes and activates the next version of A's customization and
// returns its file.
func (g *gallery) nextVersion(ctx context.Context, dir, old string) (string, error) {
	in := map[string]any{"identifier": g.a.arn, "operation": "UPDATE", "clientToken": unique(),
		"dataReference": g.a.reference(g.a.admin.User.Bucket, prefix)}
	if _, err := g.a.admin.Call(ctx, "UpdateCustomization", in, nil); err != nil {
		return "", err
	}
	for {
		_, err := g.a.admin.Call(ctx, "UpdateCustomization", map[string]any{"identifier": g.a.arn, "operation": "ACTIVATE", "version": 2, "clientToken": unique()}, nil)
		var no *client.Failure
		switch {
		case err == nil:
			all, err := filepath.Glob(filepath.Join(dir, "snap-*.seg"))
			if err != nil {
				return "", err
			}
			for _, p := range all {
				if p != old {
					return p, nil
				}
			}
			return "", errors.New("the next version has no file")
		case !errors.As(err, &no) || no.Status != http.StatusConflict:
			return "", err
		}
		select {
		case <-ctx.Done():
			return "", ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func modified(p string) time.Time {
	i, err := os.Stat(p)
	if err != nil {
		return time.Time{}
	}
	return i.ModTime()
}

// auditAttacks alter copies of the audit log after the service has ended.
func (g *gallery) auditAttacks(dir string) error {
	for _, a := range []struct {
		id, title string
		want      error
		change    func([]byte) []byte
	}{
		{"audit-edited", "a denial turned into an allow in the audit log", audit.ErrTampered, func(b []byte) []byte {
			return bytes.Replace(b, []byte(`"decision":"deny"`), []byte(`"decision":"allow"`), 1)
		}},
		{"audit-truncated", "the end of the audit log cut off", audit.ErrTruncated, func(b []byte) []byte {
			return b[:bytes.LastIndexByte(b[:len(b)-1], '\n')+1]
		}},
		{"audit-removed", "one record removed from the audit log", audit.ErrTampered, func(b []byte) []byte {
			i := bytes.IndexByte(b, '\n') + 1
			return append(bytes.Clone(b[:i]), b[i+bytes.IndexByte(b[i:], '\n')+1:]...)
		}},
	} {
		tmp, err := os.MkdirTemp("", "cloister-audit-")
		if err != nil {
			return err
		}
		err = copyLog(tmp, dir, a.change)
		var got outcome
		if err == nil {
			_, verr := audit.Verify(tmp, nil)
			got, err = refusedBy(verr, a.want)
		}
		if err := errors.Join(err, os.RemoveAll(tmp)); err != nil {
			return err
		}
		_, cerr := audit.Verify(dir, nil)
		if err := g.report(refusalEvent{ID: a.id, Title: a.title, Layer: "audit", Refused: got.refused, Control: cerr == nil, Saw: got.saw, Reason: "-"}, cerr); err != nil {
			return err
		}
	}
	return nil
}

func copyLog(to, from string, change func([]byte) []byte) error {
	for _, name := range []string{"records.jsonl", "checkpoint", "verifier.key"} {
		f, err := os.Open(filepath.Join(from, name))
		if err != nil {
			return err
		}
		b, err := io.ReadAll(f)
		if err := errors.Join(err, f.Close()); err != nil {
			return err
		}
		if name == "records.jsonl" {
			b = change(b)
		}
		if err := os.WriteFile(filepath.Join(to, name), b, 0o600); err != nil {
			return err
		}
	}
	return nil
}
