package awskms

import "context"

// Grant names a grant of this call's key to its caller.
type Grant struct {
	// ID is the grant's ID.
	ID string
	// Token makes a new grant usable before it has reached the whole service.
	// Without it a refusal may mean "not yet"; see [kmsctx.ErrGrantPending].
	Token string
}

type grantKey struct{}

// WithGrant returns a context whose KMS calls name the grants. It adds to those
// that ctx has.
func WithGrant(ctx context.Context, grants ...Grant) context.Context {
	have, _ := ctx.Value(grantKey{}).([]Grant)
	return context.WithValue(ctx, grantKey{}, append(have[:len(have):len(have)], grants...))
}

func tokens(ctx context.Context) []string {
	grants, _ := ctx.Value(grantKey{}).([]Grant)
	var out []string
	for _, g := range grants {
		if g.Token != "" {
			out = append(out, g.Token)
		}
	}
	return out
}

// tokenless reports whether a grant was named without its token.
func tokenless(ctx context.Context) bool {
	grants, _ := ctx.Value(grantKey{}).([]Grant)
	return len(tokens(ctx)) < len(grants)
}
