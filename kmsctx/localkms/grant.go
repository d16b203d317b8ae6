package localkms

import (
	"maps"
	"slices"
	"strings"

	"github.com/cloisterdev/cloister/kmsctx"
)

// grant is one grant. Without a grantee it is a capability of [KMS]: whoever
// names it may use it.
type grant struct {
	ID         string            `json:"id"`
	KeyID      string            `json:"key"`
	Name       string            `json:"name,omitempty"`
	Grantee    string            `json:"grantee,omitempty"`
	Retiring   string            `json:"retiring,omitempty"`
	Issuer     string            `json:"issuer,omitempty"`
	Operations []string          `json:"operations,omitempty"` // sorted
	Equals     map[string]string `json:"equals,omitempty"`
	Subset     map[string]string `json:"subset,omitempty"`
	Created    int64             `json:"created,omitempty"`
}

func (g *grant) capability() bool { return g.Grantee == "" }

// grantOperations are those of AWS KMS that a symmetric key knows.
var grantOperations = []string{"CreateGrant", "Decrypt", "DescribeKey", "Encrypt", "GenerateDataKey",
	"GenerateDataKeyWithoutPlaintext", "ReEncryptFrom", "ReEncryptTo", "RetireGrant"}

const (
	maxPairs      = 8   // of one constraint
	maxConstraint = 384 // characters of one constraint
)

func (g *grant) valid() bool {
	if g.capability() {
		_, err := kmsctx.NewContext(g.Subset)
		return err == nil && validName(g.Name) && len(g.Equals) == 0 && len(g.Operations) == 0
	}
	return g.check() == nil
}

// check refuses a grant to a principal that could not be made.
func (g *grant) check() error {
	switch {
	case !validPrincipal(g.Grantee) || g.Retiring != "" && !validPrincipal(g.Retiring):
		return fmtErr(ErrARN, "a principal is named by its ARN")
	case len(g.Operations) == 0:
		return invalid("a grant needs operations")
	case g.Name != "" && !validGrantName(g.Name):
		return invalid("a grant's name has letters, digits and : / _ - only")
	case !validConstraint(g.Equals) || !validConstraint(g.Subset):
		return invalid("a constraint has 1 to %d pairs of at most %d characters, no empty key, none twice", maxPairs, maxConstraint)
	}
	for i, op := range g.Operations {
		if !slices.Contains(grantOperations, op) || i > 0 && g.Operations[i-1] >= op {
			return invalid("no operation of a symmetric key's grant, or one twice")
		}
	}
	return nil
}

func validGrantName(s string) bool {
	return validName(s) && !strings.ContainsFunc(s, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune(":/_-", r))
	})
}

func validPrincipal(s string) bool {
	return validName(s) && strings.HasPrefix(s, "arn:") && !strings.Contains(s, "*")
}

func validConstraint(pairs map[string]string) bool {
	if len(pairs) > maxPairs {
		return false
	}
	n := 0
	for k, v := range pairs {
		n += len(k) + len(v)
	}
	_, err := canonical(pairs)
	return err == nil && n <= maxConstraint
}

// contextBound are the operations that a constraint binds: those that take an
// encryption context.
var contextBound = []string{"Decrypt", "Encrypt", "GenerateDataKey", "GenerateDataKeyWithoutPlaintext", "ReEncryptFrom", "ReEncryptTo"}

// permits reports whether the grant covers an operation under an encryption
// context. Keys are compared without case, values with it.
func (g *grant) permits(op string, pairs map[string]string) bool {
	if !slices.Contains(g.Operations, op) {
		return false
	}
	if !slices.Contains(contextBound, op) {
		return true
	}
	return (len(g.Equals) == 0 || len(g.Equals) == len(pairs) && within(g.Equals, pairs)) && within(g.Subset, pairs)
}

// within reports whether pairs hold every pair of want.
func within(want, pairs map[string]string) bool {
	if len(want) == 0 {
		return true
	}
	low := folded(pairs)
	for k, v := range want {
		if got, ok := low[lowered(k)]; !ok || got != v {
			return false
		}
	}
	return true
}

// pairs are those of both constraints.
func (g *grant) pairs() map[string]string {
	out := maps.Clone(g.Equals)
	if out == nil {
		return maps.Clone(g.Subset)
	}
	maps.Copy(out, g.Subset)
	return out
}

func folded(pairs map[string]string) map[string]string {
	out := make(map[string]string, len(pairs))
	for k, v := range pairs {
		out[lowered(k)] = v
	}
	return out
}

// narrower reports whether everything that g permits is permitted by parent.
func (g *grant) narrower(parent *grant) bool {
	for _, op := range g.Operations {
		if !slices.Contains(parent.Operations, op) {
			return false
		}
	}
	if len(parent.Equals) > 0 && !maps.Equal(folded(g.Equals), folded(parent.Equals)) {
		return false
	}
	return len(parent.Subset) == 0 || within(parent.Subset, g.Equals) || within(parent.Subset, g.Subset)
}

// same reports whether both were asked for with the same parameters.
func (g *grant) same(o *grant) bool {
	return g.KeyID == o.KeyID && g.Name == o.Name && g.Grantee == o.Grantee && g.Retiring == o.Retiring &&
		slices.Equal(g.Operations, o.Operations) && maps.Equal(g.Equals, o.Equals) && maps.Equal(g.Subset, o.Subset)
}
