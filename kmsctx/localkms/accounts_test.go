package localkms_test

import (
	"context"
	"strings"
	"testing"

	"github.com/cloisterdev/cloister/fas/policy"
	"github.com/cloisterdev/cloister/kmsctx/localkms"
)

const foreign = "arn:aws:iam::999999999999:"

func allows(t testing.TB, action string) *policy.Document {
	t.Helper()
	d, err := policy.Parse([]byte(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"` + action + `","Resource":"*"}]}`))
	must(t, err)
	return d
}

// keyOf makes a key that root may change, with one statement more.
func keyOf(t testing.TB, s *localkms.Service, statement string) string {
	t.Helper()
	k, err := s.CreateKey(ctx, admin, &localkms.CreateKeyInput{Policy: `{"Version":"2012-10-17","Statement":[
		{"Effect":"Allow","Principal":{"AWS":"` + admin.ARN + `"},"Action":"kms:*","Resource":"*"},` + statement + `]}`})
	must(t, err)
	return k.KeyMetadata.KeyID
}

// A key policy that leaves the decision to an account leaves it to the
// principals of that account.
func TestPrincipalsOfAnotherAccount(t *testing.T) {
	t.Parallel()
	s := service(t, t.TempDir(), nil)
	mine := localkms.Principal{ARN: account + "user/alice", Policy: allows(t, "kms:*")}
	theirs := localkms.Principal{ARN: foreign + "user/mallory", Policy: allows(t, "kms:*")}
	theirRoot := localkms.Principal{ARN: foreign + "root", Policy: allows(t, "kms:*")}
	bare := localkms.Principal{ARN: theirs.ARN}
	of := func(who ...string) string { return `{"AWS":["` + strings.Join(who, `","`) + `"]}` }
	statement := func(effect, principal, condition string) string {
		return `{"Effect":"` + effect + `","Principal":` + principal + `,"Action":"kms:*","Resource":"*"` + condition + `}`
	}
	for name, c := range map[string]struct {
		statement string
		who       localkms.Principal
		want      error
	}{
		"its own account's root is named, by another's":   {statement("Allow", of(admin.ARN), ""), theirs, localkms.ErrNotAuthorized},
		"its own account's root is named, by its own":     {statement("Allow", of(admin.ARN), ""), mine, nil},
		"the other account's root is named":               {statement("Allow", of("999999999999"), ""), theirs, nil},
		"the other account's root, who has no policy":     {statement("Allow", of("999999999999"), ""), bare, localkms.ErrNotAuthorized},
		"the other account's root is named, by this one":  {statement("Allow", of("999999999999"), ""), localkms.Principal{ARN: bob.ARN, Policy: allows(t, "kms:ListKeys")}, localkms.ErrNotAuthorized},
		"named, and allowed by its own account":           {statement("Allow", of(theirs.ARN), ""), theirs, nil},
		"named, and not allowed by its own account":       {statement("Allow", of(theirs.ARN), ""), bare, localkms.ErrNotAuthorized},
		"anyone of this account, by another's":            {statement("Allow", `"*"`, `,"Condition":{"StringEquals":{"kms:CallerAccount":"000000000000"}}`), theirs, localkms.ErrNotAuthorized},
		"anyone whose principal account this is":          {statement("Allow", `"*"`, `,"Condition":{"StringEquals":{"aws:PrincipalAccount":"000000000000"}}`), theirRoot, localkms.ErrNotAuthorized},
		"anyone of this account, by its own":              {statement("Allow", `"*"`, `,"Condition":{"StringEquals":{"kms:CallerAccount":"000000000000"}}`), alice, nil},
		"anyone, but for the other account's root":        {statement("Allow", `"*"`, "") + "," + statement("Deny", of("999999999999"), ""), theirs, localkms.ErrNotAuthorized},
		"anyone, but for the other account's, by its own": {statement("Allow", `"*"`, "") + "," + statement("Deny", of("999999999999"), ""), alice, nil},
	} {
		blob := encrypt(t, s, keyOf(t, s, c.statement), nil)
		want(t, name, decrypts(s, c.who, blob, nil), c.want)
	}
	blob := encrypt(t, s, createKey(t, s), nil)
	want(t, "the default policy, another account", decrypts(s, theirs, blob, nil), localkms.ErrNotAuthorized)
	want(t, "the default policy, this account", decrypts(s, mine, blob, nil), nil)
	for _, who := range []localkms.Principal{theirs, theirRoot} {
		_, err := s.CreateKey(ctx, who, &localkms.CreateKeyInput{})
		want(t, "a key for another account", err, localkms.ErrNotAuthorized)
		_, err = s.ListKeys(ctx, who, &localkms.PageInput{})
		want(t, "the list of keys, for another account", err, localkms.ErrNotAuthorized)
	}
	_, err := s.ListKeys(ctx, mine, &localkms.PageInput{})
	want(t, "the list of keys", err, nil)
}

// Who has assumed a role is that role for key policies.
func TestPrincipalOfARole(t *testing.T) {
	t.Parallel()
	s := service(t, t.TempDir(), nil)
	session := func(role string) localkms.Principal {
		return localkms.Principal{ARN: "arn:aws:sts::000000000000:assumed-role/" + role + "/session", Policy: allows(t, "kms:*")}
	}
	delegated := `{"Effect":"Allow","Principal":{"AWS":"` + admin.ARN + `"},"Action":"kms:*","Resource":"*"}`
	for name, deny := range map[string]string{
		"named":            `"Principal":{"AWS":"` + account + `role/reader"},"Action":"kms:Decrypt","Resource":"*"`,
		"named, with path": `"Principal":{"AWS":"` + account + `role/app/reader"},"Action":"kms:Decrypt","Resource":"*"`,
		"by condition":     `"Principal":"*","Action":"kms:Decrypt","Resource":"*","Condition":{"StringEquals":{"aws:PrincipalArn":"` + account + `role/reader"}}`,
	} {
		blob := encrypt(t, s, keyOf(t, s, delegated+`,{"Effect":"Deny",`+deny+`}`), nil)
		want(t, "denied, "+name, decrypts(s, session("reader"), blob, nil), localkms.ErrNotAuthorized)
		for _, other := range []string{"writer", "Reader", "reader2"} {
			want(t, "another role, "+name, decrypts(s, session(other), blob, nil), nil)
		}
	}
	blob := encrypt(t, s, keyOf(t, s, `{"Effect":"Allow","Principal":{"AWS":"`+account+`role/reader"},"Action":"kms:Decrypt","Resource":"*"}`), nil)
	want(t, "allowed", decrypts(s, localkms.Principal{ARN: session("reader").ARN}, blob, nil), nil)
	for name, arn := range map[string]string{"another role": session("writer").ARN, "a user of that name": account + "user/reader",
		"the role of another account":      "arn:aws:sts::999999999999:assumed-role/reader/session",
		"a session of that name":           "arn:aws:sts::000000000000:assumed-role/writer/reader",
		"a federated user of that name":    "arn:aws:sts::000000000000:federated-user/reader",
		"a session without a session name": "arn:aws:sts::000000000000:assumed-role/reader",
	} {
		want(t, name, decrypts(s, localkms.Principal{ARN: arn, Policy: nil}, blob, nil), localkms.ErrNotAuthorized)
	}
}

// What a caller is told of a grant is a copy.
func TestListedGrantsAreCopies(t *testing.T) {
	t.Parallel()
	s := service(t, t.TempDir(), nil)
	key := createKey(t, s)
	blob := encrypt(t, s, key, pairs("tenant", "b"))
	_, err := s.CreateGrant(ctx, admin, &localkms.CreateGrantInput{KeyID: key, GranteePrincipal: alice.ARN, Operations: []string{"DescribeKey", "Encrypt"},
		Constraints: &localkms.Constraints{EncryptionContextEquals: pairs("tenant", "a"), EncryptionContextSubset: pairs("tenant", "a")}})
	must(t, err)
	_, err = s.CreateGrant(ctx, admin, &localkms.CreateGrantInput{KeyID: key, GranteePrincipal: alice.ARN, Operations: []string{"Decrypt"},
		Constraints: &localkms.Constraints{EncryptionContextEquals: pairs("tenant", "a"), EncryptionContextSubset: pairs("tenant", "a")}})
	must(t, err)
	want(t, "another context", decrypts(s, alice, blob, pairs("tenant", "b")), localkms.ErrNotAuthorized)
	out, err := s.ListGrants(ctx, admin, &localkms.ListGrantsInput{KeyID: key})
	must(t, err)
	for _, g := range out.Grants {
		clear(g.Constraints.EncryptionContextEquals)
		clear(g.Constraints.EncryptionContextSubset)
		for i := range g.Operations {
			g.Operations[i] = "Decrypt"
		}
	}
	want(t, "another context, after the list was changed", decrypts(s, alice, blob, pairs("tenant", "b")), localkms.ErrNotAuthorized)
	want(t, "its context", decrypts(s, alice, encrypt(t, s, key, pairs("tenant", "a")), pairs("tenant", "a")), nil)
}

type kept struct{ last localkms.Event }

func (k *kept) Record(_ context.Context, e localkms.Event) error { k.last = e; return nil }

// The record of a grant names the grant, also where it existed, and all of what
// constrains it.
func TestGrantRecorded(t *testing.T) {
	t.Parallel()
	rec := &kept{}
	s, err := localkms.NewService(open(t, t.TempDir()), rec, nil)
	must(t, err)
	in := &localkms.CreateGrantInput{KeyID: createKey(t, s), GranteePrincipal: alice.ARN, Operations: []string{"Decrypt"}, Name: "n",
		Constraints: &localkms.Constraints{EncryptionContextEquals: pairs("tenant", "a", "purpose", "p"), EncryptionContextSubset: pairs("tenant", "a")}}
	for _, when := range []string{"new", "again"} {
		g, err := s.CreateGrant(ctx, admin, in)
		must(t, err)
		if rec.last.GrantID != g.GrantID || rec.last.Grantee != alice.ARN || len(rec.last.Context) != 2 {
			t.Errorf("%s: %+v", when, rec.last)
		}
	}
}
