package localkms_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/cloisterdev/cloister/kmsctx/localkms"
)

// A policy that would keep its putter from ever changing it is refused, unless
// the putter says to know, and may.
func TestLockout(t *testing.T) {
	t.Parallel()
	s := service(t, t.TempDir(), nil)
	policy := func(statements ...string) string {
		return `{"Version":"2012-10-17","Statement":[` + strings.Join(statements, ",") + `]}`
	}
	root := `{"Effect":"Allow","Principal":{"AWS":"` + admin.ARN + `"},"Action":"kms:*","Resource":"*"}`
	hers := `{"Effect":"Allow","Principal":{"AWS":"` + alice.ARN + `"},"Action":"kms:*","Resource":"*"}`
	denied := `{"Effect":"Deny","Principal":"*","Action":"kms:PutKeyPolicy","Resource":"*"}`
	create := func(text string, bypass bool) (string, error) {
		k, err := s.CreateKey(ctx, admin, &localkms.CreateKeyInput{Policy: text, BypassPolicyLockoutSafetyCheck: bypass})
		if err != nil {
			return "", err
		}
		return k.KeyMetadata.KeyID, nil
	}
	put := func(key, text string, bypass bool) error {
		_, err := s.PutKeyPolicy(ctx, admin, &localkms.PolicyInput{KeyID: key, Policy: text, BypassPolicyLockoutSafetyCheck: bypass})
		return err
	}
	for name, c := range map[string]struct {
		policy string
		locked bool
	}{
		"another's":            {policy(hers), true},
		"nobody may put":       {policy(root, denied), true},
		"for somebody besides": {policy(root, hers), false},
	} {
		key := createKey(t, s)
		_, created := create(c.policy, false)
		for how, err := range map[string]error{"CreateKey": created, "PutKeyPolicy": put(key, c.policy, false)} {
			if !c.locked {
				want(t, how+", "+name, err, nil)
			} else if !errors.Is(err, localkms.ErrPolicy) || !strings.Contains(err.Error(), "will not allow you to update") {
				t.Errorf("%s, %s: %v", how, name, err)
			}
		}
		got, err := s.GetKeyPolicy(ctx, admin, &localkms.PolicyInput{KeyID: key})
		if err != nil || (got.Policy == c.policy) == c.locked {
			t.Errorf("%s: the key's policy is %v, %v", name, got, err)
		}
		_, err = create(c.policy, true)
		want(t, "CreateKey, "+name+", bypassed", err, nil)
		want(t, "PutKeyPolicy, "+name+", bypassed", put(key, c.policy, true), nil)
	}

	careful, err := create(policy(root, `{"Effect":"Deny","Principal":"*","Action":"kms:PutKeyPolicy","Resource":"*","Condition":{"Bool":{"kms:BypassPolicyLockoutSafetyCheck":"true"}}}`), false)
	must(t, err)
	want(t, "where the bypass is denied", put(careful, policy(root), true), localkms.ErrNotAuthorized)
	want(t, "where the bypass is denied, without it", put(careful, policy(root), false), nil)

	key := createKey(t, s)
	if got, err := s.GetKeyPolicy(ctx, admin, &localkms.PolicyInput{KeyID: key}); err != nil || !strings.Contains(got.Policy, admin.ARN) {
		t.Errorf("the policy of a key that was given none: %v, %v", got, err)
	}
	for _, name := range []string{"default", "", "other"} {
		var w error
		if name == "other" {
			w = localkms.ErrUnknown
		}
		_, err := s.PutKeyPolicy(ctx, admin, &localkms.PolicyInput{KeyID: key, PolicyName: name, Policy: policy(root)})
		want(t, "PutKeyPolicy, named "+name, err, w)
		_, err = s.GetKeyPolicy(ctx, admin, &localkms.PolicyInput{KeyID: key, PolicyName: name})
		want(t, "GetKeyPolicy, named "+name, err, w)
	}
}
