package main

import (
	"bytes"
	"context"

	"github.com/cloisterdev/cloister/kmsctx"
	"github.com/cloisterdev/cloister/tenant"
)

// envelopes are attacks on what a tenant has sealed, by who has the message
// and the key, and not the right to this object.
func (g *gallery) envelopes(ctx context.Context) ([]attack, error) {
	ring, err := kmsctx.NewRawAES("demo", "key", tenant.NewSecret(bytes.Repeat([]byte{7}, 32)))
	if err != nil {
		return nil, err
	}
	plain := []byte("source")
	pairs := func(customization string) (kmsctx.Context, error) {
		return kmsctx.NewContext(map[string]string{"tenant": "a", "customization": customization})
	}
	mine, err := pairs("b")
	if err != nil {
		return nil, err
	}
	guess, err := pairs("c")
	if err != nil {
		return nil, err
	}
	hidden, err := kmsctx.New(ring, &kmsctx.Options{Withheld: []string{"customization"}})
	if err != nil {
		return nil, err
	}
	withheld, err := hidden.Seal(ctx, nil, plain, mine)
	if err != nil {
		return nil, err
	}
	env, err := kmsctx.New(ring, &kmsctx.Options{AllowRewrap: true})
	if err != nil {
		return nil, err
	}
	message, err := env.Seal(ctx, nil, plain, mine)
	if err != nil {
		return nil, err
	}
	u, err := kmsctx.InspectUnverified(message)
	if err != nil {
		return nil, err
	}
	opens := func(e *kmsctx.Envelope, m []byte, want kmsctx.Context) error {
		_, err := e.Open(ctx, nil, m, want)
		return err
	}
	rewrap := func(from kmsctx.Context) error {
		head, err := env.Rewrap(ctx, message[:u.HeaderLength], from, nil, guess)
		if err != nil {
			return err
		}
		_, err = env.OpenDetached(ctx, nil, head, message[u.HeaderLength:], guess)
		return err
	}
	return []attack{
		{"context-withheld", "a message whose withheld pair is guessed", "kmsctx",
			func(context.Context) (outcome, error) {
				return refusedBy(opens(hidden, withheld, guess), kmsctx.ErrNoMatchingKey)
			},
			func(context.Context) error { return opens(hidden, withheld, mine) }},
		{"context-withheld-left-out", "a message whose withheld pair is left out", "kmsctx",
			func(context.Context) (outcome, error) {
				part, err := kmsctx.NewContext(map[string]string{"tenant": "a"})
				if err != nil {
					return outcome{}, err
				}
				return refusedBy(opens(hidden, withheld, part), kmsctx.ErrNoMatchingKey)
			},
			func(context.Context) error { return opens(hidden, withheld, mine) }},
		{"rewrap-wrong-context", "a message moved to the attacker's context under a wrong one", "kmsctx",
			func(context.Context) (outcome, error) { return refusedBy(rewrap(guess), kmsctx.ErrContextMismatch) },
			func(context.Context) error { return rewrap(mine) }},
	}, nil
}
