package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/cloisterdev/cloister/authz"
	"github.com/cloisterdev/cloister/examples/customization/internal/api"
	"github.com/cloisterdev/cloister/examples/customization/internal/client"
	"github.com/cloisterdev/cloister/fas/sigv4"
	"github.com/cloisterdev/cloister/kmsctx"
	"github.com/cloisterdev/cloister/tenant"
)

// signatures are attacks on the proof that a customer called.
func (g *gallery) signatures() []attack {
	signed := func(id, title string, change func(r *http.Request, body *[]byte), at time.Duration, mutate func(*client.User)) attack {
		return attack{id, title, "signature", func(context.Context) (outcome, error) {
			u := g.a.dev.User
			if mutate != nil {
				mutate(&u)
			}
			body := g.retrievals(g.a.arn)
			r, err := g.request(u, "GetRetrievals", body, time.Now().Add(at))
			if err != nil {
				return outcome{}, err
			}
			if change != nil {
				change(r, &body)
			}
			return send(r, body)
		}, g.works}
	}
	again := func(id, title, op string, who func() client.User, body func() []byte, wait time.Duration) attack {
		var first outcome
		return attack{id, title, "replay", func(context.Context) (outcome, error) {
			b := body()
			r, err := g.request(who(), op, b, time.Now())
			if err != nil {
				return outcome{}, err
			}
			if first, err = send(r.Clone(context.Background()), b); err != nil {
				return outcome{}, err
			}
			time.Sleep(wait)
			return send(r.Clone(context.Background()), b)
		}, func(context.Context) error {
			if first.refused {
				return fmt.Errorf("the first call was refused: %s", first.saw)
			}
			return nil
		}}
	}
	activate := func() []byte {
		return toJSON(map[string]any{"identifier": g.a.arn, "operation": "ACTIVATE", "clientToken": unique()})
	}
	return []attack{
		signed("unsigned", "a call without a signature", func(r *http.Request, _ *[]byte) { r.Header.Del("Authorization") }, 0, nil),
		signed("tampered-body", "the body changed after signing", func(_ *http.Request, b *[]byte) { *b = bytes.Replace(*b, []byte("read"), []byte("REad"), 1) }, 0, nil),
		signed("tampered-body-and-digest", "body and digest changed after signing", func(r *http.Request, b *[]byte) {
			*b = []byte("{}")
			r.Header.Set("X-Amz-Content-Sha256", "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a")
		}, 0, nil),
		signed("tampered-header", "a signed header changed", func(r *http.Request, _ *[]byte) { r.Header.Set("Content-Type", "text/plain") }, 0, nil),
		signed("unsigned-amz-header", "an X-Amz header added unsigned", func(r *http.Request, _ *[]byte) { r.Header.Set("X-Amz-Tenant", "other") }, 0, nil),
		signed("other-path", "a signature moved to another operation", func(r *http.Request, _ *[]byte) { r.URL.Path = "/GenerateCompletions" }, 0, nil),
		signed("flipped-signature", "one digit of the signature changed", func(r *http.Request, _ *[]byte) {
			v := r.Header.Get("Authorization")
			last := byte('0')
			if v[len(v)-1] == '0' {
				last = '1'
			}
			r.Header.Set("Authorization", v[:len(v)-1]+string(last))
		}, 0, nil),
		signed("expired", "a call signed 20 minutes ago", nil, -20*time.Minute, nil),
		signed("future", "a call signed for 10 minutes from now", nil, 10*time.Minute, nil),
		signed("unknown-key", "an access key that nobody has", nil, 0, func(u *client.User) { u.AccessKeyID = "AKIA0000000000000000" }),
		signed("wrong-secret", "a colleague's key ID with the own secret", nil, 0, func(u *client.User) { u.AccessKeyID = g.a.admin.User.AccessKeyID }),
		signed("other-tenants-key", "the other tenant's key for this customization", nil, 0, func(u *client.User) { *u = g.b.dev.User }),
		signed("presigned", "a presigned link in the place of a signed call", func(r *http.Request, b *[]byte) {
			g.presign(r, *b)
		}, 0, nil),
		again("replay-mutating", "a mutating call sent twice", "UpdateCustomization", func() client.User { return g.a.admin.User }, activate, 0),
		again("replay-read", "a read sent again after its window", "GetRetrievals", func() client.User { return g.a.dev.User },
			func() []byte { return g.retrievals(g.a.arn) }, 5500*time.Millisecond),
	}
}

// presign makes a link of a call: who has it, can use it.
func (g *gallery) presign(r *http.Request, body []byte) {
	for _, h := range []string{"Authorization", "X-Amz-Date", "X-Amz-Content-Sha256"} {
		r.Header.Del(h)
	}
	u := g.a.dev.User
	c := sigv4.Credentials{AccessKeyID: u.AccessKeyID, Secret: tenant.NewSecret([]byte(u.Secret)), Region: client.Region, Service: client.Service}
	if err := sigv4.Presign(r, body, c, time.Now(), time.Hour); err != nil {
		panic(err) // the request was made here
	}
}

// permissions are attacks by people who are who they say they are.
func (g *gallery) permissions() []attack {
	use := func(c func() *client.Client, op string, body func() []byte) func(context.Context) (outcome, error) {
		return func(ctx context.Context) (outcome, error) {
			a, err := c().Raw(ctx, op, body())
			return seen(a), err
		}
	}
	target := func(arn func() string) func() []byte {
		return func() []byte { return g.retrievals(arn()) }
	}
	identifier := func() []byte { return toJSON(map[string]any{"identifier": g.a.arn, "nonce": unique()}) }
	share := func(ctx context.Context, op string) error {
		_, err := g.a.admin.Call(ctx, op, map[string]any{"identifier": g.a.arn, "permission": map[string]string{"user": g.a.dev.User.User.String()}, "nonce": unique()}, nil)
		return err
	}
	return []attack{
		{"colleague", "a colleague without the right", "authz", use(func() *client.Client { return g.a.peer }, "GetRetrievals", target(func() string { return g.a.arn })), g.works},
		{"foreign", "another tenant's customization", "authz", use(func() *client.Client { return g.b.dev }, "GetRetrievals", target(func() string { return g.a.arn })), g.works},
		{"foreign-admin", "another tenant's admin deletes", "authz", use(func() *client.Client { return g.b.admin }, "DeleteCustomization", identifier), g.works},
		{"developer-administers", "a developer deletes", "authz", use(func() *client.Client { return g.a.dev }, "DeleteCustomization", identifier), g.works},
		{"developer-shares", "a colleague gives himself the right", "authz", use(func() *client.Client { return g.a.peer }, "AssociateCustomizationPermission", func() []byte {
			return toJSON(map[string]any{"identifier": g.a.arn, "permission": map[string]string{"user": g.a.peer.User.User.String()}})
		}), g.works},
		{"foreign-or-missing", "tell a foreign customization from a missing one", "api", func(ctx context.Context) (outcome, error) {
			same, err := g.lookAlike(ctx)
			return outcome{same, "the same answer"}, err
		}, g.works},
		{"right-taken-back", "use after the right was taken back", "authz", func(ctx context.Context) (outcome, error) {
			if err := share(ctx, "DisassociateCustomizationPermission"); err != nil {
				return outcome{}, err
			}
			a, err := g.a.dev.Raw(ctx, "GetRetrievals", g.retrievals(g.a.arn))
			return seen(a), err
		}, func(ctx context.Context) error {
			if err := share(ctx, "AssociateCustomizationPermission"); err != nil {
				return err
			}
			return g.works(ctx)
		}},
		{"deactivated", "use while it is not active", "registry", func(ctx context.Context) (outcome, error) {
			if _, err := g.a.admin.Call(ctx, "UpdateCustomization", map[string]any{"identifier": g.a.arn, "operation": "DEACTIVATE", "clientToken": unique()}, nil); err != nil {
				return outcome{}, err
			}
			a, err := g.a.dev.Raw(ctx, "GetRetrievals", g.retrievals(g.a.arn))
			return seen(a), err
		}, func(ctx context.Context) error {
			if err := g.a.activate(ctx); err != nil {
				return err
			}
			return g.works(ctx)
		}},
	}
}

// lookAlike compares the answers to a foreign and to a missing ID, byte for
// byte except the request's ID.
func (g *gallery) lookAlike(ctx context.Context) (bool, error) {
	var shapes []string
	for _, arn := range []string{g.b.arn, api.ARN(tenant.NewCustomizationID())} {
		a, err := g.a.dev.Raw(ctx, "GetRetrievals", g.retrievals(arn))
		if err != nil {
			return false, err
		}
		a.Header.Del("X-Amzn-Requestid")
		a.Header.Del("Date")
		h, err := json.Marshal(a.Header)
		if err != nil {
			return false, err
		}
		shapes = append(shapes, fmt.Sprint(a.Status, string(h), string(a.Body)))
	}
	return shapes[0] == shapes[1] && !strings.HasPrefix(shapes[0], "200"), nil
}

// formats are attacks by what is written: bodies, names, policies, contexts.
func (g *gallery) formats() []attack {
	raw := func(id, title, body string) attack {
		return attack{id, title, "api", func(ctx context.Context) (outcome, error) {
			a, err := g.a.dev.Raw(ctx, "GetRetrievals", []byte(strings.ReplaceAll(body, "ARN", g.a.arn)))
			return seen(a), err
		}, g.works}
	}
	policy := func(id, title, text, good string) attack {
		check := func(text string) error {
			s, err := authz.ParseSchema("cloister", []byte(authz.DefaultSchema))
			if err != nil {
				return err
			}
			return s.Check(authz.Source{Name: "submitted", Text: text})
		}
		return attack{id, title, "cedar", func(context.Context) (outcome, error) { return refusedBy(check(text), authz.ErrRejected) },
			func(context.Context) error { return check(good) }}
	}
	const good = `permit(principal is Cloister::User, action == Cloister::Action::"GetRetrievals", resource) when { principal.admin };`
	sealed := func(id, title string, other map[string]string) attack {
		return attack{id, title, "kmsctx", func(ctx context.Context) (outcome, error) {
			return refusedBy(openUnder(ctx, other), kmsctx.ErrContextMismatch)
		}, func(ctx context.Context) error {
			return openUnder(ctx, map[string]string{"tenant": "a", "customization": "b"})
		}}
	}
	return []attack{
		raw("duplicate-key", "a body that names two customizations", `{"customizationArn":"ARN","customizationArn":"ARN","query":"x"}`),
		raw("case-variant-key", "a key that differs in case", `{"CustomizationArn":"ARN","query":"x"}`),
		raw("trailing-data", "data after the JSON object", `{"customizationArn":"ARN","query":"x"}{}`),
		raw("deep-body", "a body nested a thousand deep", `{"customizationArn":"ARN","query":"x","y":`+strings.Repeat("[", 1000)+strings.Repeat("]", 1000)+`}`),
		{"harmful-name", "a name with markup or terminal escapes", "tenant.Text", func(ctx context.Context) (outcome, error) {
			// The log holds both names, and no byte that a terminal or a page
			// would obey.
			log, err := os.ReadFile(filepath.Join(auditDir(g.st.Dir()), "records.jsonl"))
			if err != nil {
				return outcome{}, err
			}
			harmless := !bytes.ContainsAny(log, "<\x1b") && bytes.Contains(log, []byte("script")) && bytes.Contains(log, []byte("[31mred"))
			for _, s := range []*side{g.a, g.b} {
				a, err := s.admin.Raw(ctx, "ListCustomizations", toJSON(map[string]any{"nonce": unique()}))
				if err != nil {
					return outcome{}, err
				}
				harmless = harmless && a.Status == 200 && !bytes.ContainsAny(a.Body, "<\x1b")
			}
			return outcome{harmless, "escaped text"}, nil
		}, func(ctx context.Context) error {
			var l api.ListCustomizationsResponse
			if _, err := g.a.admin.Call(ctx, "ListCustomizations", map[string]any{"nonce": unique()}, &l); err != nil {
				return err
			}
			for _, c := range l.Customizations {
				if c.ARN == g.a.arn && strings.HasPrefix(c.Name.Reveal("compare with what was typed"), "<script>") {
					return nil
				}
			}
			return fmt.Errorf("the name did not survive")
		}},
		policy("cedar-typo", "a policy with two transposed characters", `permit(principal is Cloister::User, action == Cloister::Action::"GetRetreivals", resource);`, good),
		policy("cedar-nonsense", "a policy on a resource that makes no sense", `permit(principal, action == Cloister::Action::"CreateCustomization", resource is Cloister::Customization);`, good),
		policy("cedar-deep", "a policy that would overflow the parser", `permit(principal, action, resource) when { `+strings.Repeat("(", 4000)+"true"+strings.Repeat(")", 4000)+` };`, good),
		sealed("context-wrong", "a wrong encryption-context pair", map[string]string{"tenant": "a", "customization": "c"}),
		sealed("context-missing", "a missing encryption-context pair", map[string]string{"tenant": "a"}),
		sealed("context-extra", "an extra encryption-context pair", map[string]string{"tenant": "a", "customization": "b", "x": "y"}),
	}
}

func openUnder(ctx context.Context, pairs map[string]string) error {
	ring, err := kmsctx.NewRawAES("demo", "key", tenant.NewSecret(bytes.Repeat([]byte{7}, 32)))
	if err != nil {
		return err
	}
	env, err := kmsctx.New(ring, nil)
	if err != nil {
		return err
	}
	mine, err := kmsctx.NewContext(map[string]string{"tenant": "a", "customization": "b"})
	if err != nil {
		return err
	}
	msg, err := env.Seal(ctx, nil, []byte("source"), mine)
	if err != nil {
		return err
	}
	want, err := kmsctx.NewContext(pairs)
	if err != nil {
		return err
	}
	_, err = env.Open(ctx, nil, msg, want)
	return err
}
