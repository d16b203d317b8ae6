package localkms_test

import (
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
