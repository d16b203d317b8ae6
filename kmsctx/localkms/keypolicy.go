package localkms

import (
	"context"
	"unicode/utf8"
)

// PolicyInput is the input of PutKeyPolicy and GetKeyPolicy.
type PolicyInput struct {
	KeyID                          string `json:"KeyId"`
	PolicyName                     string
	Policy                         string
	BypassPolicyLockoutSafetyCheck bool
}

// KeyPolicy is GetKeyPolicy's output.
type KeyPolicy struct{ Policy, PolicyName string }

// PutKeyPolicy replaces a key's policy. One that keeps the caller from changing
// it again is refused, unless the check is bypassed.
func (s *Service) PutKeyPolicy(ctx context.Context, who Principal, in *PolicyInput) (*Empty, error) {
	more := map[string]string{"kms:bypasspolicylockoutsafetycheck": "false"}
	if in.BypassPolicyLockoutSafetyCheck {
		more["kms:bypasspolicylockoutsafetycheck"] = "true"
	}
	c := s.begin("PutKeyPolicy", who, nil)
	return write(ctx, c, func() (*Empty, error) {
		id, k, err := c.policyOf(in, more)
		if err != nil {
			return nil, err
		}
		return &Empty{}, c.setPolicy(id, k, in.Policy, in.BypassPolicyLockoutSafetyCheck)
	})
}

// GetKeyPolicy returns a key's policy, as it was put.
func (s *Service) GetKeyPolicy(ctx context.Context, who Principal, in *PolicyInput) (*KeyPolicy, error) {
	c := s.begin("GetKeyPolicy", who, nil)
	return read(ctx, c, false, func() (*KeyPolicy, error) {
		_, k, err := c.policyOf(in, nil)
		if err != nil {
			return nil, err
		}
		if k.Policy == "" {
			return &KeyPolicy{defaultPolicy(s.o.Account), "default"}, nil
		}
		return &KeyPolicy{k.Policy, "default"}, nil
	})
}

func (c *call) policyOf(in *PolicyInput, more map[string]string) (string, *key, error) {
	if in.PolicyName != "" && in.PolicyName != "default" {
		return "", nil, fmtErr(ErrUnknown, "a key has one policy, named default")
	}
	id, k, err := c.permitted(in.KeyID, nil, access{op: c.event.Operation, more: more})
	if err == nil && k.Delete > 0 {
		err = ErrPendingDeletion
	}
	return id, k, err
}

// setPolicy parses and sets a key's policy, and refuses one that would keep the
// caller from changing it again.
func (c *call) setPolicy(id string, k *key, text string, bypass bool) error {
	p, err := parsePolicy([]byte(text))
	if err == nil {
		err = p.check()
	}
	if err != nil {
		return err
	}
	again := *k
	again.policy = p
	if !bypass && c.allow(id, &again, access{op: "PutKeyPolicy"}) != nil {
		return fmtErr(ErrPolicy, "the new key policy will not allow you to update the key policy in the future")
	}
	if !utf8.ValidString(text) {
		return fmtErr(ErrPolicy, "not UTF-8")
	}
	k.Policy, k.policy = text, p
	return nil
}
