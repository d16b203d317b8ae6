package localkms

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strconv"
)

// Constraints are AWS's: what the encryption context of a call must be, or hold.
type Constraints struct {
	EncryptionContextEquals map[string]string `json:",omitempty"`
	EncryptionContextSubset map[string]string `json:",omitempty"`
}

// CreateGrantInput is AWS's. GranteeServicePrincipal and SourceArn are not
// supported.
type CreateGrantInput struct {
	KeyID             string `json:"KeyId"`
	GranteePrincipal  string
	RetiringPrincipal string
	Operations        []string
	Constraints       *Constraints
	GrantTokens       []string
	Name              string
	DryRun            *bool
}

// CreatedGrant is CreateGrant's output.
type CreatedGrant struct {
	GrantID    string `json:"GrantId"`
	GrantToken string
}

// CreateGrant lets a principal use a key. With a name, the same request again
// returns the same grant and a fresh token; without one it makes another. A
// caller that may create grants by a grant only cannot make one that permits
// more than that grant does.
func (s *Service) CreateGrant(ctx context.Context, who Principal, in *CreateGrantInput) (*CreatedGrant, error) {
	c := s.begin("CreateGrant", who, in.DryRun)
	c.event.Grantee = in.GranteePrincipal
	return write(ctx, c, func() (*CreatedGrant, error) {
		g := &grant{Name: in.Name, Grantee: in.GranteePrincipal, Retiring: in.RetiringPrincipal, Issuer: who.ARN,
			Operations: slices.Compact(slices.Sorted(slices.Values(in.Operations))), Created: c.now.UnixMilli()}
		kind := ""
		if in.Constraints != nil {
			g.Equals, g.Subset = maps.Clone(in.Constraints.EncryptionContextEquals), maps.Clone(in.Constraints.EncryptionContextSubset)
			if len(g.Equals)+len(g.Subset) == 0 {
				return nil, invalid("Constraints that constrain nothing")
			}
			kind = "EncryptionContextSubset"
			if len(g.Equals) > 0 {
				kind = "EncryptionContextEquals"
			}
			c.event.Context = g.pairs()
		}
		if err := g.check(); err != nil {
			return nil, err
		}
		more := map[string]string{"kms:granteeprincipal": g.Grantee, "kms:grantisforawsresource": "false"}
		if g.Retiring != "" {
			more["kms:retiringprincipal"] = g.Retiring
		}
		if kind != "" {
			more["kms:grantconstrainttype"] = kind
		}
		id, k, err := c.permitted(in.KeyID, in.GrantTokens, access{op: "CreateGrant", grantOp: "CreateGrant", pairs: c.event.Context, more: more, child: g,
			multi: map[string][]string{"kms:grantoperations": g.Operations}})
		if err != nil {
			return nil, err
		}
		if err := k.ready(); err != nil {
			return nil, err
		}
		g.KeyID = id
		n := 0
		for _, have := range c.st.Grants {
			if g.Name != "" && !have.capability() && have.same(g) {
				c.event.GrantID = have.ID
				return &CreatedGrant{have.ID, s.kms.newToken(have.ID)}, nil
			}
			if have.KeyID == id {
				n++
			}
		}
		if n >= s.o.Limits.GrantsPerKey {
			return nil, fmtErr(ErrLimit, "%d grants of the key", s.o.Limits.GrantsPerKey)
		}
		g.ID = newID() + newID()
		c.st.Grants[g.ID], c.event.GrantID = g, g.ID
		return &CreatedGrant{g.ID, s.kms.newToken(g.ID)}, nil
	})
}

// RetireGrantInput is AWS's: a token, or a key's ARN and a grant's ID.
type RetireGrantInput struct {
	GrantToken string
	KeyID      string `json:"KeyId"`
	GrantID    string `json:"GrantId"`
	DryRun     *bool
}

// RetireGrant ends a grant from the next call on. The retiring principal may,
// the grantee if the grant says so, and whom the key's account allows to, unless
// a policy denies it. A key's policy does not allow it to anybody, as on AWS.
func (s *Service) RetireGrant(ctx context.Context, who Principal, in *RetireGrantInput) (*Empty, error) {
	c := s.begin("RetireGrant", who, in.DryRun)
	return write(ctx, c, func() (*Empty, error) {
		id := in.GrantID
		if in.GrantToken != "" {
			if in.KeyID != "" || in.GrantID != "" {
				return nil, invalid("either GrantToken, or KeyId and GrantId")
			}
			var err error
			if id, err = s.kms.openToken(in.GrantToken); err != nil {
				return nil, err
			}
		}
		g, k, err := c.grantOf(in.KeyID, id, in.GrantToken != "")
		if err != nil {
			return nil, err
		}
		_, own, err := c.judge(g.KeyID, k, access{op: "RetireGrant", pairs: g.pairs()})
		if err != nil {
			return nil, err
		}
		mine := g.Retiring == who.ARN || g.Grantee == who.ARN && slices.Contains(g.Operations, "RetireGrant")
		if !mine && !c.ofAccount(own) {
			return nil, ErrNotAuthorized
		}
		if k.Delete > 0 {
			return nil, ErrPendingDeletion
		}
		delete(c.st.Grants, id)
		return &Empty{}, nil
	})
}

// RevokeGrantInput is AWS's.
type RevokeGrantInput struct {
	KeyID   string `json:"KeyId"`
	GrantID string `json:"GrantId"`
	DryRun  *bool
}

// RevokeGrant ends a grant from the next call on. Policies alone allow it.
func (s *Service) RevokeGrant(ctx context.Context, who Principal, in *RevokeGrantInput) (*Empty, error) {
	c := s.begin("RevokeGrant", who, in.DryRun)
	return write(ctx, c, func() (*Empty, error) {
		id, k, err := c.resolve(in.KeyID)
		if err != nil {
			return nil, err
		}
		if err := c.allow(id, k, access{op: "RevokeGrant", more: map[string]string{"kms:grantisforawsresource": "false"}}); err != nil {
			return nil, err
		}
		if _, _, err := c.grantOf(in.KeyID, in.GrantID, false); err != nil {
			return nil, err
		}
		if k.Delete > 0 {
			return nil, ErrPendingDeletion
		}
		delete(c.st.Grants, in.GrantID)
		return &Empty{}, nil
	})
}

// grantOf finds a grant by its ID, and by its key unless a token named it. A key
// that is not there has no grants, like one that has not this one.
func (c *call) grantOf(keyName, id string, byToken bool) (*grant, *key, error) {
	if id == "" || len(id) > 128 {
		return nil, nil, ErrGrantID
	}
	g := c.st.Grants[id]
	if !byToken {
		keyID, _, err := c.resolve(keyName)
		if err != nil && !errors.Is(err, ErrUnknown) && !errors.Is(err, ErrNotAuthorized) {
			return nil, nil, err
		}
		if g != nil && g.KeyID != keyID {
			g = nil
		}
	}
	if g == nil || g.capability() {
		return nil, nil, errNoGrant
	}
	k := c.st.live(g.KeyID, c.now)
	if k == nil {
		return nil, nil, errNoGrant
	}
	c.event.KeyID, c.event.GrantID = g.KeyID, id
	return g, k, nil
}

var errNoGrant = fmtErr(ErrUnknown, "no such grant")

// GrantEntry is one entry of ListGrants and ListRetirableGrants.
type GrantEntry struct {
	KeyID             string `json:"KeyId"`
	GrantID           string `json:"GrantId"`
	Name              string `json:",omitempty"`
	CreationDate      Epoch
	GranteePrincipal  string
	RetiringPrincipal string `json:",omitempty"`
	IssuingAccount    string
	Operations        []string
	Constraints       *Constraints `json:",omitempty"`
}

// GrantList is the output of ListGrants and ListRetirableGrants.
type GrantList struct {
	Grants []GrantEntry
	Page
}

// ListGrantsInput is AWS's.
type ListGrantsInput struct {
	KeyID            string `json:"KeyId"`
	GrantID          string `json:"GrantId"`
	GranteePrincipal string
	PageInput
}

// ListGrants lists the grants of a key to principals.
func (s *Service) ListGrants(ctx context.Context, who Principal, in *ListGrantsInput) (*GrantList, error) {
	c := s.begin("ListGrants", who, nil)
	return read(ctx, c, false, func() (*GrantList, error) {
		id, k, err := c.permitted(in.KeyID, nil, access{op: "ListGrants", more: map[string]string{"kms:grantisforawsresource": strconv.FormatBool(false)}})
		if err != nil {
			return nil, err
		}
		if k.Delete > 0 {
			return nil, ErrPendingDeletion
		}
		return c.grants(in.PageInput, func(g *grant) bool {
			return g.KeyID == id && (in.GrantID == "" || g.ID == in.GrantID) && (in.GranteePrincipal == "" || g.Grantee == in.GranteePrincipal)
		})
	})
}

// ListRetirableGrantsInput is AWS's.
type ListRetirableGrantsInput struct {
	RetiringPrincipal string
	PageInput
}

// ListRetirableGrants lists the grants that a principal may retire.
func (s *Service) ListRetirableGrants(ctx context.Context, who Principal, in *ListRetirableGrantsInput) (*GrantList, error) {
	c := s.begin("ListRetirableGrants", who, nil)
	return read(ctx, c, false, func() (*GrantList, error) {
		if err := c.allowAccount("ListRetirableGrants", nil, nil); err != nil {
			return nil, err
		}
		if !validPrincipal(in.RetiringPrincipal) {
			return nil, ErrARN
		}
		return c.grants(in.PageInput, func(g *grant) bool { return g.Retiring == in.RetiringPrincipal })
	})
}

func (c *call) grants(in PageInput, match func(*grant) bool) (*GrantList, error) {
	var all []GrantEntry
	for _, id := range slices.Sorted(maps.Keys(c.st.Grants)) {
		g := c.st.Grants[id]
		if g.capability() || !match(g) || c.st.live(g.KeyID, c.now) == nil {
			continue
		}
		e := GrantEntry{c.s.arn("key/" + g.KeyID), g.ID, g.Name, Epoch(g.Created), g.Grantee, g.Retiring, rootARN(c.s.o.Account), slices.Clone(g.Operations), nil}
		if len(g.Equals)+len(g.Subset) > 0 {
			e.Constraints = &Constraints{maps.Clone(g.Equals), maps.Clone(g.Subset)}
		}
		all = append(all, e)
	}
	out := &GrantList{}
	var err error
	out.Grants, out.Page, err = page(all, in, 50, 100, func(g GrantEntry) string { return g.GrantID })
	return out, err
}
