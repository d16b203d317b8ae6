package localkms

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
)

// AliasInput is the input of CreateAlias and UpdateAlias.
type AliasInput struct {
	AliasName   string
	TargetKeyID string `json:"TargetKeyId"`
}

// AliasNameInput is the input of DeleteAlias.
type AliasNameInput struct{ AliasName string }

// CreateAlias gives a key a name, alias/NAME. The caller must be allowed to on
// the alias and on the key.
func (s *Service) CreateAlias(ctx context.Context, who Principal, in *AliasInput) (*Empty, error) {
	c := s.begin("CreateAlias", who, nil)
	return write(ctx, c, func() (*Empty, error) {
		id, err := c.aliasTarget("CreateAlias", in)
		if err != nil {
			return nil, err
		}
		if c.st.Aliases[in.AliasName] != nil {
			return nil, ErrExists
		}
		if err := c.countAliases(id); err != nil {
			return nil, err
		}
		now := c.now.UnixMilli()
		c.st.Aliases[in.AliasName] = &alias{id, now, now}
		return &Empty{}, nil
	})
}

// UpdateAlias moves an alias to another key. What was encrypted under the alias
// stays with the old one.
func (s *Service) UpdateAlias(ctx context.Context, who Principal, in *AliasInput) (*Empty, error) {
	c := s.begin("UpdateAlias", who, nil)
	return write(ctx, c, func() (*Empty, error) {
		id, err := c.aliasTarget("UpdateAlias", in)
		if err != nil {
			return nil, err
		}
		a := c.st.Aliases[in.AliasName]
		if a == nil {
			return nil, c.unknown(in.AliasName)
		}
		if err := c.allowOld("UpdateAlias", a.Key); err != nil {
			return nil, err
		}
		if a.Key != id {
			if err := c.countAliases(id); err != nil {
				return nil, err
			}
		}
		a.Key, a.Updated, c.event.KeyID = id, c.now.UnixMilli(), id
		return &Empty{}, nil
	})
}

// DeleteAlias takes a name from a key.
func (s *Service) DeleteAlias(ctx context.Context, who Principal, in *AliasNameInput) (*Empty, error) {
	c := s.begin("DeleteAlias", who, nil)
	return write(ctx, c, func() (*Empty, error) {
		if !validAlias(in.AliasName) {
			return nil, ErrAlias
		}
		a := c.st.Aliases[in.AliasName]
		if a == nil {
			return nil, c.unknown(in.AliasName)
		}
		if err := c.allowOld("DeleteAlias", a.Key); err != nil {
			return nil, err
		}
		delete(c.st.Aliases, in.AliasName)
		return &Empty{}, nil
	})
}

func (c *call) aliasTarget(op string, in *AliasInput) (string, error) {
	if !validAlias(in.AliasName) {
		return "", ErrAlias
	}
	if strings.Contains(in.TargetKeyID, aliasPrefix) {
		return "", invalid("TargetKeyId is a key, not an alias")
	}
	id, k, err := c.permitted(in.TargetKeyID, nil, access{op: op})
	if err != nil {
		return "", err
	}
	if k.Delete > 0 {
		return "", ErrPendingDeletion
	}
	return id, nil
}

// allowOld decides a change of an alias for the key that it has now.
func (c *call) allowOld(op, id string) error {
	_, k, err := c.known(id)
	if err != nil {
		return err
	}
	return c.allow(id, k, access{op: op})
}

func (c *call) countAliases(id string) error {
	n := 0
	for _, a := range c.st.Aliases {
		if a.Key == id {
			n++
		}
	}
	if n >= c.s.o.Limits.Aliases {
		return fmtErr(ErrLimit, "%d aliases of the key", c.s.o.Limits.Aliases)
	}
	return nil
}

// AliasEntry is one entry of ListAliases.
type AliasEntry struct {
	AliasName       string
	AliasArn        string
	TargetKeyID     string `json:"TargetKeyId"`
	CreationDate    Epoch
	LastUpdatedDate Epoch
}

// AliasList is ListAliases's output.
type AliasList struct {
	Aliases []AliasEntry
	Page
}

// KeyPageInput asks for one page of a list about one key.
type KeyPageInput struct {
	KeyID string `json:"KeyId"`
	PageInput
}

// ListAliases lists the aliases of the account, or of one key.
func (s *Service) ListAliases(ctx context.Context, who Principal, in *KeyPageInput) (*AliasList, error) {
	c := s.begin("ListAliases", who, nil)
	return read(ctx, c, false, func() (*AliasList, error) {
		if err := c.allowAccount("ListAliases", nil, nil); err != nil {
			return nil, err
		}
		id := ""
		if in.KeyID != "" {
			var err error
			if id, _, err = c.resolve(in.KeyID); errors.Is(err, ErrNotAuthorized) {
				id, err = in.KeyID, nil // no aliases, like a key that has none
			}
			if err != nil {
				return nil, err
			}
		}
		var all []AliasEntry
		for _, n := range slices.Sorted(maps.Keys(c.st.Aliases)) {
			if a := c.st.Aliases[n]; (id == "" || a.Key == id) && c.st.live(a.Key, c.now) != nil {
				all = append(all, AliasEntry{n, s.arn(n), a.Key, Epoch(a.Created), Epoch(a.Updated)})
			}
		}
		out := &AliasList{}
		var err error
		out.Aliases, out.Page, err = page(all, in.PageInput, 50, 100, func(a AliasEntry) string { return a.AliasName })
		return out, err
	})
}

// TagInput is the input of TagResource.
type TagInput struct {
	KeyID string `json:"KeyId"`
	Tags  []Tag
}

// UntagInput is the input of UntagResource.
type UntagInput struct {
	KeyID   string `json:"KeyId"`
	TagKeys []string
}

// TagResource sets tags of a key.
func (s *Service) TagResource(ctx context.Context, who Principal, in *TagInput) (*Empty, error) {
	more, names := map[string]string{}, []string{}
	for _, t := range in.Tags {
		more["aws:requesttag/"+lowered(t.TagKey)] = t.TagValue
		names = append(names, t.TagKey)
	}
	return s.retag(ctx, "TagResource", who, in.KeyID, more, names, func(k *key) (err error) {
		if len(in.Tags) == 0 {
			return invalid("Tags")
		}
		tags, err := s.tagged(k.Tags, in.Tags)
		if err == nil {
			k.Tags = tags
		}
		return err
	})
}

// UntagResource removes tags of a key.
func (s *Service) UntagResource(ctx context.Context, who Principal, in *UntagInput) (*Empty, error) {
	return s.retag(ctx, "UntagResource", who, in.KeyID, nil, in.TagKeys, func(k *key) error {
		if len(in.TagKeys) == 0 {
			return invalid("TagKeys")
		}
		for _, n := range in.TagKeys {
			delete(k.Tags, n)
		}
		if len(k.Tags) == 0 {
			k.Tags = nil
		}
		return nil
	})
}

func (s *Service) retag(ctx context.Context, op string, who Principal, name string, more map[string]string, names []string, change func(*key) error) (*Empty, error) {
	c := s.begin(op, who, nil)
	return write(ctx, c, func() (*Empty, error) {
		_, k, err := c.permitted(name, nil, access{op: op, more: more, multi: map[string][]string{"aws:tagkeys": names}})
		if err != nil {
			return nil, err
		}
		if k.Delete > 0 {
			return nil, ErrPendingDeletion
		}
		return &Empty{}, change(k)
	})
}

// TagList is ListResourceTags's output.
type TagList struct {
	Tags []Tag
	Page
}

// ListResourceTags lists the tags of a key.
func (s *Service) ListResourceTags(ctx context.Context, who Principal, in *KeyPageInput) (*TagList, error) {
	c := s.begin("ListResourceTags", who, nil)
	return read(ctx, c, false, func() (*TagList, error) {
		_, k, err := c.permitted(in.KeyID, nil, access{op: "ListResourceTags"})
		if err != nil {
			return nil, err
		}
		out := &TagList{}
		out.Tags, out.Page, err = page(sortedTags(k.Tags), in.PageInput, 50, 50, func(t Tag) string { return t.TagKey })
		return out, err
	})
}

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
