package localkms

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"

	"github.com/cloisterdev/cloister/fas/policy"
)

// AliasInput is the input of CreateAlias and UpdateAlias.
type AliasInput struct {
	AliasName   string
	TargetKeyID string `json:"TargetKeyId"`
}

// AliasNameInput is the input of DeleteAlias.
type AliasNameInput struct{ AliasName string }

// CreateAlias gives a key a name, alias/NAME. The account must allow the caller
// to on the alias, and the key's policy, or the account, on the key.
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

// UpdateAlias moves an alias to another key. The caller must be allowed to on the
// alias and on both keys. What was encrypted under the alias stays with the old
// one.
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

// DeleteAlias takes a name from a key. The caller must be allowed to on both.
func (s *Service) DeleteAlias(ctx context.Context, who Principal, in *AliasNameInput) (*Empty, error) {
	c := s.begin("DeleteAlias", who, nil)
	return write(ctx, c, func() (*Empty, error) {
		if err := c.allowAlias("DeleteAlias", in.AliasName); err != nil {
			return nil, err
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

// allowAlias decides a change of an alias for the alias itself: it belongs to
// the account, which alone can allow it.
func (c *call) allowAlias(op, name string) error {
	if !validAlias(name) {
		return ErrAlias
	}
	if !c.accountAllows(policy.Request{Action: "kms:" + op, Resource: c.s.arn(name), Context: c.common(nil)}) {
		return ErrNotAuthorized
	}
	return nil
}

func (c *call) aliasTarget(op string, in *AliasInput) (string, error) {
	if err := c.allowAlias(op, in.AliasName); err != nil {
		return "", err
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
