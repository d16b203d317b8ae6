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

// An alias that is there is moved by who may move it, and not made anew; it
// names a key and no alias.
func TestAliasesAreNotTaken(t *testing.T) {
	t.Parallel()
	s := service(t, t.TempDir(), nil)
	first, second := createKey(t, s), createKey(t, s)
	create := func(name, key string) error {
		_, err := s.CreateAlias(ctx, admin, &localkms.AliasInput{AliasName: name, TargetKeyID: key})
		return err
	}
	must(t, create("alias/a", first))
	must(t, create("alias/b", second))
	want(t, "again", create("alias/a", second), localkms.ErrExists)
	want(t, "again, the same", create("alias/a", first), localkms.ErrExists)
	for _, target := range []string{"alias/b", "arn:aws:kms:us-east-1:000000000000:alias/b"} {
		want(t, "CreateAlias, to "+target, create("alias/c", target), localkms.ErrInvalid)
		_, err := s.UpdateAlias(ctx, admin, &localkms.AliasInput{AliasName: "alias/a", TargetKeyID: target})
		want(t, "UpdateAlias, to "+target, err, localkms.ErrInvalid)
	}
	for key, name := range map[string]string{first: "alias/a", second: "alias/b"} {
		out, err := s.ListAliases(ctx, admin, &localkms.KeyPageInput{KeyID: key})
		if err != nil || len(out.Aliases) != 1 || out.Aliases[0].AliasName != name || out.Aliases[0].TargetKeyID != key {
			t.Errorf("%s: %v, %v", name, out, err)
		}
	}
}
