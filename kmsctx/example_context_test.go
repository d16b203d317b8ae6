package kmsctx_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/cloisterdev/cloister/kmsctx"
	"github.com/cloisterdev/cloister/tenant"
)

// object is one of a tenant's: what it is, not where it lies.
type object struct{ tenant, kind, name string }

// context is built from what the code that opens an object believes, never
// from what is stored beside it.
func (o object) context() (kmsctx.Context, error) {
	return kmsctx.NewContext(map[string]string{"tenant": o.tenant, "kind": o.kind, "name": o.name})
}

// A row that somebody moved to another place does not open there, whoever
// holds the key.
func ExampleNewContext() {
	ctx := context.Background()
	ring, err := kmsctx.NewRawAES("example", "key-1", tenant.NewSecret(bytes.Repeat([]byte{1}, kmsctx.DataKeyLen)))
	if err != nil {
		fmt.Println(err)
		return
	}
	env, err := kmsctx.New(ring, &kmsctx.Options{RequiredKeys: []string{"tenant", "kind", "name"}})
	if err != nil {
		fmt.Println(err)
		return
	}
	table := map[object][]byte{}
	put := func(o object, plain string) error {
		ec, err := o.context()
		if err != nil {
			return err
		}
		table[o], err = env.Seal(ctx, nil, []byte(plain), ec)
		return err
	}
	get := func(o object) (string, error) {
		ec, err := o.context()
		if err != nil {
			return "", err
		}
		plain, err := env.Open(ctx, nil, table[o], ec)
		return string(plain), err
	}
	acme, globex := object{"acme", "token", "ci"}, object{"globex", "token", "ci"}
	if err := errors.Join(put(acme, "acme's token"), put(globex, "globex's token")); err != nil {
		fmt.Println(err)
		return
	}
	table[acme], table[globex] = table[globex], table[acme] // a wrong join, or an attacker
	_, err = get(acme)
	fmt.Println(err)
	_, err = get(globex)
	fmt.Println(errors.Is(err, kmsctx.ErrContextMismatch))
	table[acme], table[globex] = table[globex], table[acme]
	fmt.Println(get(acme))
	// Output:
	// kmsctx: open: encryption context does not match
	// true
	// acme's token <nil>
}

// Whoever may write the store learns nothing of who owns an object whose
// context is withheld, and a reader who guesses opens nothing.
func ExampleOptions_withheld() {
	ctx := context.Background()
	env, _ := exampleEnvelope(&kmsctx.Options{Withheld: []string{"tenant"}})
	contexts := make([]kmsctx.Context, 2)
	for i, t := range []string{"acme", "a guess"} {
		var err error
		if contexts[i], err = kmsctx.ForeignContext(map[string]string{"tenant": t, "kind": "token"}); err != nil {
			fmt.Println(err)
			return
		}
	}
	m, err := env.Seal(ctx, nil, []byte("secret"), contexts[0])
	if err != nil {
		fmt.Println(err)
		return
	}
	u, err := kmsctx.InspectUnverified(m)
	fmt.Println(u.Context, err)
	_, err = env.Open(ctx, nil, m, contexts[1])
	fmt.Println(err)
	plain, err := env.Open(ctx, nil, m, contexts[0])
	fmt.Println(string(plain), err)
	// Output:
	// map[kind:token] <nil>
	// kmsctx: open: no encrypted data key opens
	// secret <nil>
}

// The same context as a grant's constraint, as the condition of a key policy,
// and as S3's header.
func ExampleContext_GrantConstraint() {
	_, err := kmsctx.Context{}.GrantConstraint()
	fmt.Println(errors.Is(err, kmsctx.ErrContext))
	ec, err := kmsctx.NewContext(map[string]string{"tenant": "acme"})
	if err != nil {
		fmt.Println(err)
		return
	}
	g, err := ec.GrantConstraint()
	fmt.Println(g.Equals, err)
	fmt.Println(ec.S3Header())
	// Output:
	// true
	// map[tenant:acme] <nil>
	// eyJ0ZW5hbnQiOiJhY21lIn0=
}
