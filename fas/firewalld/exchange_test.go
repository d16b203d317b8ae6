package firewalld_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/cloisterdev/cloister/fas"
	"github.com/cloisterdev/cloister/fas/firewalld"
	"github.com/cloisterdev/cloister/tenant"
)

// A compromised front end asks for a bucket in a customer's name. What it gets
// lies within the profile, within what the customer signed, and is for a row of
// that customer's that waits for its source.
func TestExchangeRefuses(t *testing.T) {
	w := newWorld(t)
	w.create()
	ctx := context.Background()
	const source = "s3://src-mine/code/"
	body := func(uri string) string {
		w.n++
		return fmt.Sprintf(`{"nonce":%d,"dataReference":{"s3Reference":{"uri":%q}}}`, w.n, uri)
	}
	scope := func(action, resource string) []byte {
		return fmt.Appendf(nil, `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":[%s],"Resource":[%s]}]}`, action, resource)
	}
	const read = `"s3:GetObject","s3:ListBucket"`
	const mine = `"arn:aws:s3:::src-mine/code/*"`
	type try struct {
		who     person
		op, uri string
		row     tenant.CustomizationID
		profile string
		scope   []byte
	}
	good := try{w.admin, "CreateCustomization", source, w.row.Customization, firewalld.SourceProfile, scope(read, mine)}
	exchange := func(c try) (*fas.Session, error) {
		return w.c.Exchange(ctx, w.evidence(c.who, c.op, body(c.uri)), fas.Request{RequestID: tenant.NewRequestID(), Customization: c.row, Profile: c.profile, Scope: c.scope})
	}
	for name, c := range map[string]struct {
		change func(*try)
		want   error
	}{
		"no scope":                {func(c *try) { c.scope = nil }, fas.ErrScope},
		"a scope that is no JSON": {func(c *try) { c.scope = []byte("{") }, fas.ErrScope},
		"a verb more":             {func(c *try) { c.scope = scope(read+`,"s3:PutObject"`, mine) }, fas.ErrScope},
		"every verb":              {func(c *try) { c.scope = scope(`"s3:*"`, mine) }, fas.ErrScope},
		"every bucket":            {func(c *try) { c.scope = scope(read, `"arn:aws:s3:::*"`) }, fas.ErrScope},
		"another bucket":          {func(c *try) { c.scope = scope(read, `"arn:aws:s3:::src-theirs/code/*"`) }, fas.ErrScope},
		"one bucket more":         {func(c *try) { c.scope = scope(read, mine+`,"arn:aws:s3:::src-theirs/code/*"`) }, fas.ErrScope},
		"a longer bucket name":    {func(c *try) { c.scope = scope(read, `"arn:aws:s3:::src-mine*"`) }, fas.ErrScope},
		"another prefix":          {func(c *try) { c.scope = scope(read, `"arn:aws:s3:::src-mine/secrets/*"`) }, fas.ErrScope},
		"the prefix above":        {func(c *try) { c.scope = scope(read, `"arn:aws:s3:::src-mine/*"`) }, fas.ErrScope},
		"a signed body without":   {func(c *try) { c.uri = "" }, fas.ErrScope},
		"a body without prefix":   {func(c *try) { c.uri = "s3://src-mine/" }, fas.ErrScope},
		"a body with a wildcard":  {func(c *try) { c.uri = "s3://src-*/code/" }, fas.ErrScope},
		"a body of another kind":  {func(c *try) { c.uri = "https://src-mine/code/" }, fas.ErrScope},
		"no profile":              {func(c *try) { c.profile = "" }, fas.ErrDenied},
		"an unknown profile":      {func(c *try) { c.profile = "ingest-everything" }, fas.ErrDenied},
		"another operation":       {func(c *try) { c.op = "ListCustomizations" }, fas.ErrOperation},
		"no row":                  {func(c *try) { c.row = tenant.CustomizationID{} }, fas.ErrDenied},
		"a missing row":           {func(c *try) { c.row = tenant.NewCustomizationID() }, fas.ErrDenied},
		"another tenant's row":    {func(c *try) { c.who = w.other }, fas.ErrDenied},
		"a user who may not":      {func(c *try) { c.who = w.dev }, fas.ErrDenied},
	} {
		bad := good
		c.change(&bad)
		s, err := exchange(bad)
		if w.refused(name, err, c.want); s != nil {
			t.Errorf("%s: a session beside the refusal", name)
		}
		// The body's bound would refuse these verbs too; each layer is asked.
		if want, ok := map[string]string{"a verb more": "scope-exceeds-profile", "every verb": "scope-exceeds-profile", "another prefix": "scope-exceeds-signed-body"}[name]; ok {
			w.rec.mu.Lock()
			if got := w.rec.events[len(w.rec.events)-1].Reason; got != want {
				t.Errorf("%s: recorded as %s, not %s", name, got, want)
			}
			w.rec.mu.Unlock()
		}
	}
	s, err := exchange(good)
	w.ok(err)
	creds, err := s.Credentials()
	if w.ok(err); creds.Bucket != "src-mine" || creds.Prefix != "code/" {
		t.Errorf("a session on %s/%s", creds.Bucket, creds.Prefix)
	}
	if err := s.WithKey(fas.VerbQuery, func([]byte) error { return errors.New("a key") }); !errors.Is(err, fas.ErrVerb) {
		t.Errorf("a session on a bucket has a key of a collection: %v", err)
	}
	w.ok(w.c.Abandon(ctx, w.ticket, "test"))
	_, err = exchange(good)
	w.refused("a row that waits for nothing", err, fas.ErrDenied)
}
