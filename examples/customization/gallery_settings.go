package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/cloisterdev/cloister/authz"
	"github.com/cloisterdev/cloister/examples/customization/internal/api"
	"github.com/cloisterdev/cloister/examples/customization/internal/client"
)

// obeyed is how soon a running service must follow the owner of a key.
const obeyed = 2 * time.Second

// settings are what a tenant decides outside of the API: its key and its
// policies. Each is changed by the command that an owner types, while the
// service runs.
func (g *gallery) settings() []attack {
	id := g.a.admin.User.Tenant.String()
	data := []string{"--data", g.st.Dir()}
	key := func(ctx context.Context, words ...string) error {
		return runKey(ctx, append(words, data...), io.Discard)
	}
	var small string
	return []attack{
		{"key-disabled", "completions under a disabled key; others go on", "key", func(ctx context.Context) (outcome, error) {
			if err := key(ctx, "disable", id); err != nil {
				return outcome{}, err
			}
			took, err := stops(ctx, g.a.dev, g.completion(g.a.arn))
			if err != nil {
				return outcome{}, err
			}
			other, err := g.b.dev.Raw(ctx, "GenerateCompletions", g.completion(g.b.arn)())
			return outcome{took < obeyed && other.Status == http.StatusOK,
				fmt.Sprintf("refused after %s, the other tenant: %d", took.Round(time.Millisecond), other.Status)}, err
		}, func(ctx context.Context) error {
			if err := key(ctx, "enable", id); err != nil {
				return err
			}
			return g.works(ctx)
		}},
		{"grant-retired", "a customization whose grant was retired", "key", func(ctx context.Context) (outcome, error) {
			var err error
			if small, err = g.small(ctx); err != nil {
				return outcome{}, err
			}
			if a, err := g.a.dev.Raw(ctx, "GenerateCompletions", g.completion(small)()); err != nil || a.Status != http.StatusOK {
				return outcome{}, fmt.Errorf("before the grant was retired: %d, %w", a.Status, err)
			}
			if err := key(ctx, "revoke", id, small); err != nil {
				return outcome{}, err
			}
			a, err := g.a.dev.Raw(ctx, "GenerateCompletions", g.completion(small)())
			return seen(a), err
		}, func(ctx context.Context) error {
			return errors.Join(g.works(ctx), g.remove(ctx, small))
		}},
		g.permitAll(data), g.typo(data),
	}
}

// permitAll gives B a policy that permits everything: it opens nothing of A.
func (g *gallery) permitAll(data []string) attack {
	set := func(ctx context.Context) error {
		return g.policy(ctx, data, "permit(principal, action, resource);\n")
	}
	return attack{"permit-all", "a tenant whose policy permits everything", "authz", func(ctx context.Context) (outcome, error) {
		if err := set(ctx); err != nil {
			return outcome{}, err
		}
		a, err := g.b.peer.Raw(ctx, "GetRetrievals", g.retrievals(g.a.arn))
		return seen(a), err
	}, func(ctx context.Context) error { return g.colleague(ctx, http.StatusOK) }}
}

// typo replaces that policy by one with two letters transposed: the old set
// stays in force.
func (g *gallery) typo(data []string) attack {
	return attack{"policy-typo-kept", "a policy with a typo in the place of a good one", "cedar", func(ctx context.Context) (outcome, error) {
		err := g.policy(ctx, data, `forbid(principal, action == Cloister::Action::"GetRetreivals", resource);`)
		if same := g.colleague(ctx, http.StatusOK); same != nil {
			return outcome{}, fmt.Errorf("the old policy is not in force: %w", same)
		}
		return refusedBy(err, authz.ErrRejected)
	}, func(ctx context.Context) error {
		if err := runPolicy(ctx, append([]string{"clear", g.b.admin.User.Tenant.String()}, data...), io.Discard); err != nil {
			return err
		}
		return g.colleague(ctx, http.StatusForbidden)
	}}
}

func (g *gallery) policy(ctx context.Context, data []string, text string) error {
	dir, err := os.MkdirTemp("", "cloister-policy-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, "own.cedar")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		return err
	}
	return runPolicy(ctx, append([]string{"set", g.b.admin.User.Tenant.String(), file}, data...), io.Discard)
}

// colleague tells whether B's colleague, whom nobody gave the right, gets the
// answer that B's policies say.
func (g *gallery) colleague(ctx context.Context, want int) error {
	a, err := g.b.peer.Raw(ctx, "GetRetrievals", g.retrievals(g.b.arn))
	if err == nil && a.Status != want {
		err = fmt.Errorf("the own colleague: %d instead of %d", a.Status, want)
	}
	return err
}

func (g *gallery) completion(arn string) func() []byte {
	return func() []byte {
		return toJSON(map[string]any{"customizationArn": arn, "nonce": unique(), "fileContext": map[string]any{
			"leftFileContent": "package x\n\nfunc f() error {\n\tif err != nil {\n\t\treturn ", "rightFileContent": "\n", "filename": "x.go",
			"programmingLanguage": map[string]string{"languageName": "go"}}})
	}
}

// stops asks until it is refused, and says how long that took.
func stops(ctx context.Context, c *client.Client, body func() []byte) (time.Duration, error) {
	start := time.Now()
	for time.Since(start) < 2*obeyed {
		a, err := c.Raw(ctx, "GenerateCompletions", body())
		if err != nil {
			return 0, err
		}
		if a.Status != http.StatusOK {
			return time.Since(start), nil
		}
		time.Sleep(10 * time.Millisecond)
	}
	return time.Since(start), nil
}

// small makes A a second customization, of a part of its code.
func (g *gallery) small(ctx context.Context) (string, error) {
	where := prefix
	if last := g.a.sub[len(g.a.sub)-1]; last != "." {
		where += last + "/"
	}
	var made api.CreateCustomizationResponse
	in := map[string]any{"customizationName": "small", "dataReference": g.a.reference(g.a.admin.User.Bucket, where), "clientToken": unique()}
	if _, err := g.a.admin.Call(ctx, "CreateCustomization", in, &made); err != nil {
		return "", err
	}
	if _, err := waitFor(ctx, g.a.admin, made.CustomizationARN, nil); err != nil {
		return "", err
	}
	if _, err := g.a.admin.Call(ctx, "UpdateCustomization", map[string]any{"identifier": made.CustomizationARN, "operation": "ACTIVATE", "clientToken": unique()}, nil); err != nil {
		return "", err
	}
	_, err := g.a.admin.Call(ctx, "AssociateCustomizationPermission",
		map[string]any{"identifier": made.CustomizationARN, "permission": map[string]string{"user": g.a.dev.User.User.String()}, "nonce": unique()}, nil)
	return made.CustomizationARN, err
}

// remove deletes a customization: a retired grant is no reason to keep files.
func (g *gallery) remove(ctx context.Context, arn string) error {
	if _, err := g.a.admin.Call(ctx, "UpdateCustomization", map[string]any{"identifier": arn, "operation": "DEACTIVATE", "clientToken": unique()}, nil); err != nil {
		return err
	}
	_, err := g.a.admin.Call(ctx, "DeleteCustomization", map[string]any{"identifier": arn, "nonce": unique()}, nil)
	return err
}
