package kmsctx

import (
	"encoding/base64"
	"encoding/json"
	"maps"
	"slices"
	"strings"
)

// GrantConstraint is the constraint of a KMS grant, with the names of its API.
// Exactly one of the two is set.
//
// Source: AWS KMS API Reference, GrantConstraints.
type GrantConstraint struct {
	Equals map[string]string `json:"EncryptionContextEquals,omitempty"`
	Subset map[string]string `json:"EncryptionContextSubset,omitempty"`
}

// GrantConstraint returns the constraint that permits this context and no
// other. It refuses, with [ErrContext], the zero value and a foreign context
// that no constraint can express: no pairs or more than eight, more than 384
// characters, keys that differ in case alone (a grant compares keys without
// case).
func (c Context) GrantConstraint() (GrantConstraint, error) {
	total, seen := 0, map[string]bool{}
	for k, v := range c.pairs {
		total += len(k) + len(v)
		seen[strings.ToLower(k)] = true
	}
	if len(c.pairs) == 0 || len(c.pairs) > maxPairs || total > maxContext || len(seen) != len(c.pairs) {
		return GrantConstraint{}, fail(ErrContext, "no grant can be constrained to it")
	}
	return GrantConstraint{Equals: c.Pairs()}, nil
}

// PolicyCondition returns the Condition element of a key policy or IAM policy
// statement that permits calls with this context and no other, ready for
// encoding/json. Besides every pair it pins the list of keys, which
// StringEquals on pairs alone leaves open. What a policy would read as a
// variable is escaped. It refuses, with [ErrContext], a context without pairs:
// its condition would permit everything.
//
// Source: AWS KMS Developer Guide, kms:EncryptionContext:context-key and
// kms:EncryptionContextKeys; IAM User Guide, policy variables.
func (c Context) PolicyCondition() (map[string]map[string][]string, error) {
	if len(c.pairs) == 0 {
		return nil, fail(ErrContext, "no pairs to demand")
	}
	equals := map[string][]string{}
	for k, v := range c.pairs {
		equals["kms:EncryptionContext:"+k] = []string{strings.ReplaceAll(v, "$", "${$}")}
	}
	return map[string]map[string][]string{
		"StringEquals":              equals,
		"ForAllValues:StringEquals": {"kms:EncryptionContextKeys": slices.Sorted(maps.Keys(c.pairs))},
	}, nil
}

// S3Header returns the value of the x-amz-server-side-encryption-context
// header and of SSEKMSEncryptionContext: base64 of JSON with sorted keys. S3
// stores it and passes it on when the object is read, whoever reads: what
// compares is the reader's own policy, or Open. It is empty for a context
// without pairs.
//
// Source: Amazon S3 API Reference, PutObject.
func (c Context) S3Header() string {
	if len(c.pairs) == 0 {
		return ""
	}
	b, err := json.Marshal(c.pairs)
	if err != nil {
		return "" // a map of strings always encodes
	}
	return base64.StdEncoding.EncodeToString(b)
}
