package localkms_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/cloisterdev/cloister/fas/policy"
	"github.com/cloisterdev/cloister/kmsctx/localkms"
)

// A policy decides who makes which grants, by their constraints, and a deny
// keeps even the retiring principal from retiring one.
func TestPoliciesDecideAboutGrants(t *testing.T) {
	t.Parallel()
	s := service(t, t.TempDir(), nil)
	everyone := `{"Effect":"Allow","Principal":"*","Action":"kms:*","Resource":"*"}`
	deny := func(action, condition string) string {
		return `{"Effect":"Deny","Principal":"*","Action":"kms:` + action + `","Resource":"*","Condition":` + condition + `}`
	}
	grant := func(who localkms.Principal, key string, c *localkms.Constraints) (string, error) {
		g, err := s.CreateGrant(ctx, who, &localkms.CreateGrantInput{KeyID: key, GranteePrincipal: bob.ARN, RetiringPrincipal: alice.ARN,
			Operations: []string{"Decrypt", "RetireGrant"}, Constraints: c})
		if err != nil {
			return "", err
		}
		return g.GrantToken, nil
	}
	equals := func(kv ...string) *localkms.Constraints {
		return &localkms.Constraints{EncryptionContextEquals: pairs(kv...)}
	}
	subset := func(kv ...string) *localkms.Constraints {
		return &localkms.Constraints{EncryptionContextSubset: pairs(kv...)}
	}
	retire := func(who localkms.Principal, token string) error {
		_, err := s.RetireGrant(ctx, who, &localkms.RetireGrantInput{GrantToken: token})
		return err
	}

	tenantB := keyOf(t, s, everyone+","+deny("CreateGrant", `{"StringEquals":{"kms:EncryptionContext:Tenant":"b"}}`))
	keyless := keyOf(t, s, everyone+","+deny("CreateGrant", `{"Null":{"kms:EncryptionContextKeys":"true"}}`))
	for name, c := range map[string]struct {
		key         string
		constraints *localkms.Constraints
		want        error
	}{
		"the tenant that is denied":                   {tenantB, equals("tenant", "b"), localkms.ErrNotAuthorized},
		"the same, as a subset, and more":             {tenantB, subset("Tenant", "b", "x", "y"), localkms.ErrNotAuthorized},
		"another tenant":                              {tenantB, equals("tenant", "a"), nil},
		"no constraint where one must be":             {keyless, nil, localkms.ErrNotAuthorized},
		"any constraint where one must be":            {keyless, subset("tenant", "b"), nil},
		"a constraint of which two keys are one":      {tenantB, subset("Ö", "a", "ö", "b"), localkms.ErrInvalid},
		"no constraint where only a tenant is denied": {tenantB, nil, nil},
	} {
		_, err := grant(alice, c.key, c.constraints)
		want(t, name, err, c.want)
	}

	typed := func(kind string) string {
		return keyOf(t, s, everyone+","+deny("CreateGrant", `{"StringEquals":{"kms:GrantConstraintType":"`+kind+`"}}`))
	}
	noEquals, noSubset := typed("EncryptionContextEquals"), typed("EncryptionContextSubset")
	unconstrained := keyOf(t, s, everyone+","+deny("CreateGrant", `{"Null":{"kms:GrantConstraintType":"true"}}`))
	notAlices := keyOf(t, s, everyone+","+deny("CreateGrant", `{"StringEquals":{"kms:RetiringPrincipal":"`+alice.ARN+`"}}`))
	for name, c := range map[string]struct {
		key         string
		constraints *localkms.Constraints
		want        error
	}{
		"the type that is denied":               {noEquals, equals("tenant", "a"), localkms.ErrNotAuthorized},
		"the other type":                        {noEquals, subset("tenant", "a"), nil},
		"no type where one is denied":           {noEquals, nil, nil},
		"a subset where it is denied":           {noSubset, subset("tenant", "a"), localkms.ErrNotAuthorized},
		"equal where subsets are denied":        {noSubset, equals("tenant", "a"), nil},
		"no type where one must be":             {unconstrained, nil, localkms.ErrNotAuthorized},
		"a type where one must be":              {unconstrained, subset("tenant", "a"), nil},
		"a retiring principal that is denied":   {notAlices, nil, localkms.ErrNotAuthorized},
		"a retiring principal, in all the rest": {unconstrained, equals("tenant", "a"), nil},
	} {
		_, err := grant(alice, c.key, c.constraints)
		want(t, name, err, c.want)
	}

	kept := keyOf(t, s, everyone+","+deny("RetireGrant", `{"StringEquals":{"kms:EncryptionContext:tenant":"kept"}}`))
	token, err := grant(admin, kept, equals("tenant", "kept"))
	must(t, err)
	free, err := grant(admin, kept, equals("tenant", "free"))
	must(t, err)
	own, err := policy.Parse([]byte(`{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Action":"kms:RetireGrant","Resource":"*"}]}`))
	must(t, err)
	carol := localkms.Principal{ARN: account + "user/carol"}
	for name, who := range map[string]localkms.Principal{"retiring": alice, "grantee": bob, "root": admin, "account": {ARN: carol.ARN, Policy: allows(t, "kms:*")}} {
		want(t, name+", denied by the key's policy", retire(who, token), localkms.ErrNotAuthorized)
	}
	for name, who := range map[string]localkms.Principal{
		"retiring, denied by its own policy": {ARN: alice.ARN, Policy: own},
		"grantee, denied by its own policy":  {ARN: bob.ARN, Policy: own},
		"whom only the key's policy allows":  carol,
		"another account's root":             {ARN: foreign + "root", Policy: allows(t, "kms:*")},
	} {
		want(t, name, retire(who, free), localkms.ErrNotAuthorized)
	}
	for name, who := range map[string]localkms.Principal{"retiring": alice, "grantee": bob, "root": admin, "account": {ARN: carol.ARN, Policy: allows(t, "kms:RetireGrant")}} {
		token, err := grant(admin, kept, equals("tenant", "free"))
		must(t, err)
		want(t, name+", the control", retire(who, token), nil)
	}
}

// Whoever may end the grants of one key ends no other key's, and lists none.
func TestGrantsAreTheirKeys(t *testing.T) {
	t.Parallel()
	s := service(t, t.TempDir(), nil)
	mine := keyOf(t, s, `{"Effect":"Allow","Principal":{"AWS":"`+bob.ARN+`"},"Action":"kms:*","Resource":"*"}`)
	theirs := createKey(t, s)
	carol := localkms.Principal{ARN: account + "user/carol"}
	grant := func(key string, to localkms.Principal) *localkms.CreatedGrant {
		g, err := s.CreateGrant(ctx, admin, &localkms.CreateGrantInput{KeyID: key, GranteePrincipal: to.ARN, RetiringPrincipal: carol.ARN, Operations: []string{"Decrypt"}})
		must(t, err)
		return g
	}
	own, second, other := grant(mine, alice), grant(mine, carol), grant(theirs, alice)
	retire := func(in localkms.RetireGrantInput) error {
		_, err := s.RetireGrant(ctx, carol, &in)
		return err
	}
	revoke := func(key, id string) error {
		_, err := s.RevokeGrant(ctx, bob, &localkms.RevokeGrantInput{KeyID: key, GrantID: id})
		return err
	}
	for name, c := range map[string]struct{ err, want error }{
		"revoked under another key":          {revoke(mine, other.GrantID), localkms.ErrUnknown},
		"revoked, the key is another's":      {revoke(theirs, other.GrantID), localkms.ErrNotAuthorized},
		"revoked, no ID":                     {revoke(mine, ""), localkms.ErrGrantID},
		"retired under another key":          {retire(localkms.RetireGrantInput{KeyID: mine, GrantID: other.GrantID}), localkms.ErrUnknown},
		"retired, no ID":                     {retire(localkms.RetireGrantInput{KeyID: theirs}), localkms.ErrGrantID},
		"retired, a long ID":                 {retire(localkms.RetireGrantInput{KeyID: theirs, GrantID: strings.Repeat("a", 129)}), localkms.ErrGrantID},
		"retired, no key":                    {retire(localkms.RetireGrantInput{GrantID: other.GrantID}), localkms.ErrInvalid},
		"retired, not an ARN":                {retire(localkms.RetireGrantInput{KeyID: "arn:x", GrantID: other.GrantID}), localkms.ErrARN},
		"retired by a token and a key":       {retire(localkms.RetireGrantInput{GrantToken: other.GrantToken, KeyID: theirs}), localkms.ErrInvalid},
		"retired by a token and another's":   {retire(localkms.RetireGrantInput{GrantToken: other.GrantToken, GrantID: own.GrantID}), localkms.ErrInvalid},
		"retired by what is no token":        {retire(localkms.RetireGrantInput{GrantToken: other.GrantID}), localkms.ErrGrantToken},
		"listed, who retires has no ARN":     {retirable(s, "carol"), localkms.ErrARN},
		"listed, who retires is anybody":     {retirable(s, account+"user/*"), localkms.ErrARN},
		"listed, who retires (the control)":  {retirable(s, carol.ARN), nil},
		"listed by who may not list of keys": {listed(s, bob, theirs), localkms.ErrNotAuthorized},
	} {
		want(t, name, c.err, c.want)
	}
	list := func(in localkms.ListGrantsInput) (ids []string) {
		out, err := s.ListGrants(ctx, admin, &in)
		must(t, err)
		for _, g := range out.Grants {
			ids = append(ids, g.GrantID)
		}
		return ids
	}
	both := []string{own.GrantID, second.GrantID}
	slices.Sort(both)
	for name, c := range map[string]struct{ got, want []string }{
		"one key's":       {list(localkms.ListGrantsInput{KeyID: mine}), both},
		"the other's":     {list(localkms.ListGrantsInput{KeyID: theirs}), []string{other.GrantID}},
		"by ID":           {list(localkms.ListGrantsInput{KeyID: mine, GrantID: own.GrantID}), []string{own.GrantID}},
		"by another's ID": {list(localkms.ListGrantsInput{KeyID: mine, GrantID: other.GrantID}), nil},
		"by grantee":      {list(localkms.ListGrantsInput{KeyID: mine, GranteePrincipal: carol.ARN}), []string{second.GrantID}},
	} {
		if !slices.Equal(c.got, c.want) {
			t.Errorf("%s: %v, not %v", name, c.got, c.want)
		}
	}
	if out, err := s.ListRetirableGrants(ctx, admin, &localkms.ListRetirableGrantsInput{RetiringPrincipal: alice.ARN}); err != nil || len(out.Grants) != 0 {
		t.Errorf("whom nobody let retire: %v, %v", out, err)
	}
	want(t, "revoked", revoke(mine, own.GrantID), nil)
	want(t, "retired", retire(localkms.RetireGrantInput{KeyID: theirs, GrantID: other.GrantID}), nil)
}

func retirable(s *localkms.Service, who string) error {
	_, err := s.ListRetirableGrants(ctx, admin, &localkms.ListRetirableGrantsInput{RetiringPrincipal: who})
	return err
}

func listed(s *localkms.Service, who localkms.Principal, key string) error {
	_, err := s.ListGrants(ctx, who, &localkms.ListGrantsInput{KeyID: key})
	return err
}
