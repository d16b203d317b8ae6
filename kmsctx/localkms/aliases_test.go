package localkms_test

import (
	"testing"

	"github.com/cloisterdev/cloister/fas/policy"
	"github.com/cloisterdev/cloister/kmsctx/localkms"
)

// An alias is the account's: who may do everything with a key, by its policy,
// gets no name for it without the account, and a deny on the alias denies.
func TestAliasesAreDecidedToo(t *testing.T) {
	t.Parallel()
	s := service(t, t.TempDir(), nil)
	const arn = "arn:aws:kms:us-east-1:000000000000:"
	by := func(statements string) localkms.Principal {
		d, err := policy.Parse([]byte(`{"Version":"2012-10-17","Statement":[` + statements + `]}`))
		must(t, err)
		return localkms.Principal{ARN: alice.ARN, Policy: d}
	}
	on := func(effect, resource string) string {
		return `{"Effect":"` + effect + `","Action":"kms:*Alias","Resource":"` + resource + `"}`
	}
	mine := keyOf(t, s, `{"Effect":"Allow","Principal":{"AWS":"`+alice.ARN+`"},"Action":"kms:*","Resource":"*"}`)
	theirs := createKey(t, s)
	create := func(who localkms.Principal, key string) error {
		_, err := s.CreateAlias(ctx, who, &localkms.AliasInput{AliasName: "alias/payroll", TargetKeyID: key})
		return err
	}
	update := func(who localkms.Principal, key string) error {
		_, err := s.UpdateAlias(ctx, who, &localkms.AliasInput{AliasName: "alias/payroll", TargetKeyID: key})
		return err
	}
	remove := func(who localkms.Principal) error {
		_, err := s.DeleteAlias(ctx, who, &localkms.AliasNameInput{AliasName: "alias/payroll"})
		return err
	}
	refused := map[string]localkms.Principal{
		"no policy of the account":  alice,
		"one of other aliases":      by(on("Allow", arn+"alias/other")),
		"one of keys":               by(on("Allow", arn+"key/*")),
		"a deny on the alias":       by(on("Allow", "*") + "," + on("Deny", arn+"alias/pay*")),
		"another account's, by all": {ARN: foreign + "root", Policy: allows(t, "kms:*")},
	}
	for name, who := range refused {
		want(t, "CreateAlias, "+name, create(who, mine), localkms.ErrNotAuthorized)
	}
	must(t, create(admin, mine))
	for name, who := range refused {
		want(t, "UpdateAlias, "+name, update(who, mine), localkms.ErrNotAuthorized)
		want(t, "DeleteAlias, "+name, remove(who), localkms.ErrNotAuthorized)
	}
	allowed := by(on("Allow", arn+"alias/payroll"))
	want(t, "a key that is not hers", update(allowed, theirs), localkms.ErrNotAuthorized)
	must(t, update(admin, theirs))
	want(t, "from a key that is not hers", update(allowed, mine), localkms.ErrNotAuthorized)
	want(t, "DeleteAlias, from a key that is not hers", remove(allowed), localkms.ErrNotAuthorized)
	must(t, update(admin, mine))
	must(t, update(allowed, mine))
	must(t, remove(allowed))
	must(t, create(allowed, mine))
}
