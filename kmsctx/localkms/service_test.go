package localkms_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cloisterdev/cloister/fas/policy"
	"github.com/cloisterdev/cloister/kmsctx"
	"github.com/cloisterdev/cloister/kmsctx/localkms"
)

const account = "arn:aws:iam::000000000000:"

var (
	admin = localkms.Principal{ARN: account + "root"}
	alice = localkms.Principal{ARN: account + "user/alice"}
	bob   = localkms.Principal{ARN: account + "user/bob"}
)

type quiet struct{}

func (quiet) Record(context.Context, localkms.Event) error { return nil }

func service(t testing.TB, dir string, o *localkms.Options) *localkms.Service {
	t.Helper()
	s, err := localkms.NewService(open(t, dir), quiet{}, o)
	must(t, err)
	return s
}

func createKey(t testing.TB, s *localkms.Service) string {
	t.Helper()
	k, err := s.CreateKey(ctx, admin, &localkms.CreateKeyInput{})
	must(t, err)
	return k.KeyMetadata.KeyID
}

func ptr[T any](v T) *T { return &v }

func encrypt(t testing.TB, s *localkms.Service, key string, pairs map[string]string) []byte {
	t.Helper()
	c, err := s.Encrypt(ctx, admin, &localkms.EncryptInput{KeyID: key, Plaintext: []byte("x"), EncryptionContext: pairs})
	must(t, err)
	return c.CiphertextBlob
}

func decrypts(s *localkms.Service, who localkms.Principal, blob []byte, pairs map[string]string, tokens ...string) error {
	out, err := s.Decrypt(ctx, who, &localkms.DecryptInput{CiphertextBlob: blob, EncryptionContext: pairs, GrantTokens: tokens})
	if err == nil && string(out.Plaintext) != "x" {
		return errors.New("another plaintext")
	}
	return err
}

func want(t testing.TB, what string, err, sentinel error) {
	t.Helper()
	if !errors.Is(err, sentinel) || (err == nil) != (sentinel == nil) {
		t.Errorf("%s: %v, not %v", what, err, sentinel)
	}
}

func TestNewServiceRefuses(t *testing.T) {
	t.Parallel()
	k := open(t, t.TempDir())
	for name, c := range map[string]struct {
		k *localkms.KMS
		r localkms.Recorder
		o *localkms.Options
	}{
		"no store":    {nil, quiet{}, nil},
		"no recorder": {k, nil, nil},
		"account":     {k, quiet{}, &localkms.Options{Account: "1"}},
		"region":      {k, quiet{}, &localkms.Options{Region: "a b"}},
		"propagation": {k, quiet{}, &localkms.Options{Propagation: -1}},
		"limit":       {k, quiet{}, &localkms.Options{Limits: localkms.Limits{Keys: -1}}},
	} {
		if s, err := localkms.NewService(c.k, c.r, c.o); !errors.Is(err, localkms.ErrInvalid) || s != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	s := service(t, t.TempDir(), nil)
	for _, who := range []string{"", "root", "arn:aws:iam::000000000000:user/*", "arn: x"} {
		_, err := s.ListKeys(ctx, localkms.Principal{ARN: who}, &localkms.PageInput{})
		want(t, "principal "+who, err, localkms.ErrNotAuthorized)
	}
}

// A grant's constraint: keys without case, values with it.
func TestGrantConstraints(t *testing.T) {
	t.Parallel()
	s := service(t, t.TempDir(), nil)
	key := createKey(t, s)
	grant := func(c localkms.Constraints, to localkms.Principal) string {
		g, err := s.CreateGrant(ctx, admin, &localkms.CreateGrantInput{KeyID: key, GranteePrincipal: to.ARN, Operations: []string{"Encrypt"}, Constraints: &c})
		must(t, err)
		return g.GrantID
	}
	grant(localkms.Constraints{EncryptionContextEquals: pairs("Tenant", "a", "p", "q")}, alice)
	grant(localkms.Constraints{EncryptionContextSubset: pairs("Tenant", "a")}, bob)
	for name, c := range map[string]struct {
		pairs      map[string]string
		alice, bob error
	}{
		"as it is":          {pairs("Tenant", "a", "p", "q"), nil, nil},
		"keys in lower":     {pairs("tenant", "a", "p", "q"), nil, nil},
		"keys in upper":     {pairs("TENANT", "a", "P", "q"), nil, nil},
		"value in upper":    {pairs("Tenant", "A", "p", "q"), localkms.ErrNotAuthorized, localkms.ErrNotAuthorized},
		"another value":     {pairs("Tenant", "b", "p", "q"), localkms.ErrNotAuthorized, localkms.ErrNotAuthorized},
		"swapped":           {pairs("a", "Tenant", "q", "p"), localkms.ErrNotAuthorized, localkms.ErrNotAuthorized},
		"less":              {pairs("Tenant", "a"), localkms.ErrNotAuthorized, nil},
		"more":              {pairs("Tenant", "a", "p", "q", "x", "y"), localkms.ErrNotAuthorized, nil},
		"nothing":           {nil, localkms.ErrNotAuthorized, localkms.ErrNotAuthorized},
		"a look-alike":      {pairs("Tena\u200bnt", "a"), localkms.ErrNotAuthorized, localkms.ErrNotAuthorized},
		"other case":        {pairs("\u212aey", "a"), localkms.ErrNotAuthorized, localkms.ErrNotAuthorized},
		"two cases at once": {pairs("Tenant", "a", "tenant", "b", "p", "q"), localkms.ErrInvalid, localkms.ErrInvalid},
	} {
		for who, w := range map[string]error{alice.ARN: c.alice, bob.ARN: c.bob} {
			_, err := s.Encrypt(ctx, localkms.Principal{ARN: who}, &localkms.EncryptInput{KeyID: key, Plaintext: []byte("x"), EncryptionContext: c.pairs})
			want(t, name+" "+who, err, w)
		}
	}
}

// A sub-grant permits nothing that its parent does not. The children that are
// accepted are also tried: none opens what the parent would not.
func TestSubGrants(t *testing.T) {
	t.Parallel()
	s := service(t, t.TempDir(), nil)
	a, b, ap := pairs("tenant", "a"), pairs("tenant", "b"), pairs("tenant", "a", "p", "q")
	for name, parent := range map[string]*localkms.Constraints{
		"subset": {EncryptionContextSubset: a}, "equals": {EncryptionContextEquals: a}, "free": nil,
	} {
		key := createKey(t, s)
		_, err := s.CreateGrant(ctx, admin, &localkms.CreateGrantInput{KeyID: key, GranteePrincipal: alice.ARN, Operations: []string{"Decrypt", "CreateGrant"}, Constraints: parent})
		must(t, err)
		blobs := map[string][]byte{"": encrypt(t, s, key, nil), "a": encrypt(t, s, key, a), "b": encrypt(t, s, key, b), "ap": encrypt(t, s, key, ap)}
		contexts := map[string]map[string]string{"": nil, "a": a, "b": b, "ap": ap}
		made := 0
		for i, c := range []*localkms.Constraints{nil, {EncryptionContextSubset: a}, {EncryptionContextEquals: a}, {EncryptionContextSubset: b}, {EncryptionContextEquals: b},
			{EncryptionContextSubset: ap}, {EncryptionContextEquals: ap}, {EncryptionContextSubset: pairs("TENANT", "a")}, {EncryptionContextEquals: a, EncryptionContextSubset: b}} {
			for _, ops := range [][]string{{"Decrypt"}, {"Decrypt", "Encrypt"}, {"CreateGrant"}, {"RetireGrant"}} {
				child := localkms.Principal{ARN: fmt.Sprintf("%suser/%d-%s", account, i, strings.Join(ops, "-"))}
				_, err := s.CreateGrant(ctx, alice, &localkms.CreateGrantInput{KeyID: key, GranteePrincipal: child.ARN, Operations: ops, Constraints: c})
				if ops[len(ops)-1] == "Encrypt" || ops[0] == "RetireGrant" {
					want(t, name+": an operation that the parent has not", err, localkms.ErrNotAuthorized)
					continue
				}
				if err != nil {
					want(t, name, err, localkms.ErrNotAuthorized)
					continue
				}
				made++
				for n, blob := range blobs {
					if decrypts(s, child, blob, contexts[n]) == nil && decrypts(s, alice, blob, contexts[n]) != nil {
						t.Errorf("%s: child %d opens %q, which its parent does not", name, i, n)
					}
				}
			}
		}
		if wanted := map[string]int{"free": 18, "subset": 12, "equals": 4}[name]; made != wanted {
			t.Errorf("%s: %d children were made, not %d", name, made, wanted)
		}
	}
	key := createKey(t, s)
	_, err := s.CreateGrant(ctx, bob, &localkms.CreateGrantInput{KeyID: key, GranteePrincipal: bob.ARN, Operations: []string{"Decrypt"}})
	want(t, "who has no grant", err, localkms.ErrNotAuthorized)
}

func TestCreateGrantIsStrict(t *testing.T) {
	t.Parallel()
	s := service(t, t.TempDir(), &localkms.Options{Limits: localkms.Limits{GrantsPerKey: 2}})
	key := createKey(t, s)
	in := func(change func(*localkms.CreateGrantInput)) *localkms.CreateGrantInput {
		g := &localkms.CreateGrantInput{KeyID: key, GranteePrincipal: alice.ARN, Operations: []string{"Decrypt"}, Name: "n"}
		if change != nil {
			change(g)
		}
		return g
	}
	many := map[string]string{}
	for i := range 9 {
		many[fmt.Sprint(i)] = "x"
	}
	for name, c := range map[string]struct {
		change func(*localkms.CreateGrantInput)
		want   error
	}{
		"no grantee":       {func(g *localkms.CreateGrantInput) { g.GranteePrincipal = "" }, localkms.ErrARN},
		"any grantee":      {func(g *localkms.CreateGrantInput) { g.GranteePrincipal = account + "user/*" }, localkms.ErrARN},
		"a name":           {func(g *localkms.CreateGrantInput) { g.GranteePrincipal = "alice" }, localkms.ErrARN},
		"retiring name":    {func(g *localkms.CreateGrantInput) { g.RetiringPrincipal = "alice" }, localkms.ErrARN},
		"no operation":     {func(g *localkms.CreateGrantInput) { g.Operations = nil }, localkms.ErrInvalid},
		"another's":        {func(g *localkms.CreateGrantInput) { g.Operations = []string{"Sign"} }, localkms.ErrInvalid},
		"not grantable":    {func(g *localkms.CreateGrantInput) { g.Operations = []string{"RevokeGrant"} }, localkms.ErrInvalid},
		"star":             {func(g *localkms.CreateGrantInput) { g.Operations = []string{"*"} }, localkms.ErrInvalid},
		"empty constraint": {func(g *localkms.CreateGrantInput) { g.Constraints = &localkms.Constraints{} }, localkms.ErrInvalid},
		"nine pairs": {func(g *localkms.CreateGrantInput) {
			g.Constraints = &localkms.Constraints{EncryptionContextSubset: many}
		}, localkms.ErrInvalid},
		"385 characters": {func(g *localkms.CreateGrantInput) {
			g.Constraints = &localkms.Constraints{EncryptionContextEquals: pairs("k", strings.Repeat("v", 384))}
		}, localkms.ErrInvalid},
		"case twice": {func(g *localkms.CreateGrantInput) {
			g.Constraints = &localkms.Constraints{EncryptionContextEquals: pairs("k", "v", "K", "v")}
		}, localkms.ErrInvalid},
		"name with a space": {func(g *localkms.CreateGrantInput) { g.Name = "a b" }, localkms.ErrInvalid},
		"no key":            {func(g *localkms.CreateGrantInput) { g.KeyID = "x" }, localkms.ErrUnknown},
		"another account":   {func(g *localkms.CreateGrantInput) { g.KeyID = "arn:aws:kms:us-east-1:111111111111:key/" + key }, localkms.ErrUnknown},
		"another region":    {func(g *localkms.CreateGrantInput) { g.KeyID = "arn:aws:kms:eu-west-1:000000000000:key/" + key }, localkms.ErrUnknown},
		"not an ARN":        {func(g *localkms.CreateGrantInput) { g.KeyID = "arn:x" }, localkms.ErrARN},
		"eleven tokens":     {func(g *localkms.CreateGrantInput) { g.GrantTokens = make([]string, 11) }, localkms.ErrInvalid},
		"the control":       {nil, nil},
		"again":             {nil, nil},
	} {
		_, err := s.CreateGrant(ctx, admin, in(c.change))
		want(t, name, err, c.want)
	}
	list, err := s.ListGrants(ctx, admin, &localkms.ListGrantsInput{KeyID: key})
	if err != nil || len(list.Grants) != 1 {
		t.Fatalf("%v, %v", list, err)
	}
	// The same name with anything else is another grant; the limit counts.
	_, err = s.CreateGrant(ctx, admin, in(func(g *localkms.CreateGrantInput) { g.Operations = []string{"Encrypt"} }))
	want(t, "another of that name", err, nil)
	_, err = s.CreateGrant(ctx, admin, in(func(g *localkms.CreateGrantInput) { g.Name = "" }))
	want(t, "one too many", err, localkms.ErrLimit)
}

// What time does: propagation, the deletion window, automatic rotation.
func TestTime(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		s := service(t, dir, &localkms.Options{Propagation: 5 * time.Minute})
		key := createKey(t, s)
		ec := pairs("tenant", "a")
		blob := encrypt(t, s, key, ec)
		g, err := s.CreateGrant(ctx, admin, &localkms.CreateGrantInput{KeyID: key, GranteePrincipal: alice.ARN, Operations: []string{"Decrypt"}})
		must(t, err)
		other, err := s.CreateGrant(ctx, admin, &localkms.CreateGrantInput{KeyID: key, GranteePrincipal: bob.ARN, Operations: []string{"Decrypt"}})
		must(t, err)
		want(t, "before it has spread", decrypts(s, alice, blob, ec), localkms.ErrNotAuthorized)
		want(t, "with another's token", decrypts(s, alice, blob, ec, other.GrantToken), localkms.ErrNotAuthorized)
		want(t, "with its token", decrypts(s, alice, blob, ec, g.GrantToken), nil)
		time.Sleep(5*time.Minute - time.Millisecond)
		want(t, "just before", decrypts(s, alice, blob, ec), localkms.ErrNotAuthorized)
		time.Sleep(time.Millisecond)
		want(t, "when it has spread", decrypts(s, alice, blob, ec), nil)

		// Rotation: a period of 90 days, asleep for 400.
		_, err = s.EnableKeyRotation(ctx, admin, &localkms.EnableKeyRotationInput{KeyID: key, RotationPeriodInDays: ptr(90)})
		must(t, err)
		material := func() string {
			d, err := s.DescribeKey(ctx, admin, &localkms.DescribeKeyInput{KeyID: key})
			must(t, err)
			return d.KeyMetadata.CurrentKeyMaterialID
		}
		first := material()
		time.Sleep(90*24*time.Hour - time.Second)
		encrypt(t, s, key, ec)
		if material() != first {
			t.Error("rotated early")
		}
		time.Sleep(310 * 24 * time.Hour)
		fresh := encrypt(t, s, key, ec)
		if material() == first {
			t.Error("not rotated")
		}
		rot, err := s.ListKeyRotations(ctx, admin, &localkms.ListKeyRotationsInput{KeyID: key})
		if err != nil || len(rot.Rotations) != 1 || rot.Rotations[0].RotationType != "AUTOMATIC" {
			t.Errorf("%+v, %v", rot, err)
		}
		want(t, "old material", decrypts(s, alice, blob, ec), nil)
		want(t, "new material", decrypts(s, alice, fresh, ec), nil)
		// The other process sees it too.
		want(t, "elsewhere", decrypts(service(t, dir, nil), alice, fresh, ec), nil)

		// Deletion: refused at once, gone after the window, with its grants.
		_, err = s.ScheduleKeyDeletion(ctx, admin, &localkms.ScheduleKeyDeletionInput{KeyID: key, PendingWindowInDays: ptr(7)})
		must(t, err)
		want(t, "pending", decrypts(s, alice, blob, ec), localkms.ErrPendingDeletion)
		_, err = s.RotateKeyOnDemand(ctx, admin, &localkms.KeyInput{KeyID: key})
		want(t, "pending, rotate", err, localkms.ErrPendingDeletion)
		time.Sleep(7*24*time.Hour - time.Second)
		_, err = s.CancelKeyDeletion(ctx, admin, &localkms.KeyInput{KeyID: key})
		must(t, err)
		want(t, "cancelled, but disabled", decrypts(s, alice, blob, ec), localkms.ErrKeyDisabled)
		_, err = s.EnableKey(ctx, admin, &localkms.KeyInput{KeyID: key})
		must(t, err)
		want(t, "enabled", decrypts(s, alice, blob, ec), nil)
		_, err = s.ScheduleKeyDeletion(ctx, admin, &localkms.ScheduleKeyDeletionInput{KeyID: key})
		must(t, err)
		time.Sleep(30 * 24 * time.Hour)
		want(t, "gone", decrypts(s, admin, blob, ec), localkms.ErrInvalidCiphertext)
		want(t, "gone, to who may not know", decrypts(s, alice, blob, ec), localkms.ErrNotAuthorized)
		_, err = s.CancelKeyDeletion(ctx, admin, &localkms.KeyInput{KeyID: key})
		want(t, "gone, cancel", err, localkms.ErrUnknown)
		_, err = s.RetireGrant(ctx, admin, &localkms.RetireGrantInput{GrantToken: g.GrantToken})
		want(t, "gone, its grant", err, localkms.ErrUnknown)
		createKey(t, s) // the next change writes it off
		if list, err := s.ListKeys(ctx, admin, &localkms.PageInput{}); err != nil || len(list.Keys) != 1 {
			t.Errorf("%+v, %v", list, err)
		}
	})
}

// Which principals a key's policy reaches, and what it leaves to the account.
func TestKeyPolicy(t *testing.T) {
	t.Parallel()
	s := service(t, t.TempDir(), nil)
	account2 := func(text string) *policy.Document {
		d, err := policy.Parse([]byte(`{"Version":"2012-10-17","Statement":[` + text + `]}`))
		must(t, err)
		return d
	}
	trusted := localkms.Principal{ARN: bob.ARN, Policy: account2(`{"Effect":"Allow","Action":"kms:*","Resource":"*"}`)}
	barred := localkms.Principal{ARN: bob.ARN, Policy: account2(`{"Effect":"Allow","Action":"kms:*","Resource":"*"},{"Effect":"Deny","Action":"kms:Decrypt","Resource":"*"}`)}
	rootOnly := `{"Effect":"Allow","Principal":{"AWS":"` + account + `root"},"Action":"kms:*","Resource":"*"}`
	to := func(who, effect, more string) string {
		return `{"Effect":"` + effect + `","Principal":` + who + `,"Action":"kms:Decrypt","Resource":"*"` + more + `}`
	}
	is := func(p localkms.Principal) string { return `{"AWS":["` + p.ARN + `"]}` }
	condition := `,"Condition":{"StringEquals":{"kms:EncryptionContext:Tenant":"a"}}`
	for name, c := range map[string]struct {
		policy string
		who    localkms.Principal
		want   error
	}{
		"root":                        {rootOnly, admin, nil},
		"left to an account silent":   {rootOnly, alice, localkms.ErrNotAuthorized},
		"left to an account allowing": {rootOnly, trusted, nil},
		"left to an account denying":  {rootOnly, barred, localkms.ErrNotAuthorized},
		"named":                       {rootOnly + "," + to(is(alice), "Allow", ""), alice, nil},
		"another named":               {rootOnly + "," + to(is(bob), "Allow", ""), alice, localkms.ErrNotAuthorized},
		"named, and denied by own":    {rootOnly + "," + to(is(bob), "Allow", ""), barred, localkms.ErrNotAuthorized},
		"everybody":                   {rootOnly + "," + to(`"*"`, "Allow", ""), alice, nil},
		"everybody, listed":           {rootOnly + "," + to(`{"AWS":"*"}`, "Allow", ""), alice, nil},
		"the account by number":       {rootOnly + "," + to(`{"AWS":"000000000000"}`, "Allow", ""), alice, localkms.ErrNotAuthorized},
		"another account's root":      {rootOnly + "," + to(`{"AWS":"111111111111"}`, "Allow", ""), alice, localkms.ErrNotAuthorized},
		"a service":                   {rootOnly + "," + to(`{"Service":"s3.amazonaws.com"}`, "Allow", ""), alice, localkms.ErrNotAuthorized},
		"denied":                      {rootOnly + "," + to(is(bob), "Deny", ""), trusted, localkms.ErrNotAuthorized},
		"root denied with the rest":   {rootOnly + "," + to(`"*"`, "Deny", ""), admin, localkms.ErrNotAuthorized},
		"the account denied":          {rootOnly + "," + to(`{"AWS":"`+account+`root"}`, "Deny", ""), trusted, localkms.ErrNotAuthorized},
		"condition met":               {rootOnly + "," + to(is(alice), "Allow", condition), alice, nil},
		"condition not met":           {rootOnly + "," + to(is(alice), "Allow", strings.Replace(condition, `"a"`, `"b"`, 1)), alice, localkms.ErrNotAuthorized},
		"nobody":                      {to(is(alice), "Allow", ""), admin, localkms.ErrNotAuthorized},
	} {
		key := createKey(t, s)
		blob := encrypt(t, s, key, pairs("tenant", "a"))
		_, err := s.PutKeyPolicy(ctx, admin, &localkms.PolicyInput{KeyID: key, Policy: `{"Version":"2012-10-17","Statement":[` + c.policy + `]}`, BypassPolicyLockoutSafetyCheck: true})
		must(t, err)
		want(t, name, decrypts(s, c.who, blob, pairs("tenant", "a")), c.want)
	}
	// A denial also ends what a grant permits.
	key := createKey(t, s)
	blob := encrypt(t, s, key, nil)
	_, err := s.CreateGrant(ctx, admin, &localkms.CreateGrantInput{KeyID: key, GranteePrincipal: alice.ARN, Operations: []string{"Decrypt"}})
	must(t, err)
	want(t, "by grant", decrypts(s, alice, blob, nil), nil)
	_, err = s.PutKeyPolicy(ctx, admin, &localkms.PolicyInput{KeyID: key, Policy: `{"Version":"2012-10-17","Statement":[` + rootOnly + "," + to(is(alice), "Deny", "") + `]}`})
	must(t, err)
	want(t, "by grant, denied", decrypts(s, alice, blob, nil), localkms.ErrNotAuthorized)
}

// A capability of the trusted face is no grant to any principal, and a grant to
// a principal is no capability.
func TestTwoFaces(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	k, s := open(t, dir), service(t, dir, nil)
	c := ec(t, "tenant", "a")
	capability := grant(t, k, "key", "g", "tenant", "a")
	plain, wrapped := generate(t, k, capability, c)
	want(t, "by a principal", decrypts(s, alice, wrapped, c.Pairs()), localkms.ErrNotAuthorized)
	_, err := s.RetireGrant(ctx, admin, &localkms.RetireGrantInput{KeyID: "key", GrantID: capability})
	want(t, "retired by the other face", err, localkms.ErrUnknown)
	if list, err := s.ListGrants(ctx, admin, &localkms.ListGrantsInput{KeyID: "key"}); err != nil || len(list.Grants) != 0 {
		t.Errorf("capabilities are listed: %v, %v", list, err)
	}
	g, err := s.CreateGrant(ctx, admin, &localkms.CreateGrantInput{KeyID: "key", GranteePrincipal: alice.ARN, Operations: []string{"Decrypt"}})
	must(t, err)
	refused(t, k, "a principal's grant", g.GrantID, c, wrapped, localkms.ErrNotAuthorized)
	opens(t, k, "its own", capability, c, wrapped, plain)
	out, err := s.Decrypt(ctx, alice, &localkms.DecryptInput{CiphertextBlob: wrapped, EncryptionContext: c.Pairs()})
	if err != nil || string(out.Plaintext) != string(plain) {
		t.Errorf("one store, one key: %v", err)
	}
	if !errors.Is(localkms.ErrKeyDisabled, kmsctx.ErrKeyDisabled) || errors.Is(localkms.ErrKeyDisabled, kmsctx.ErrNotAuthorized) {
		t.Error("the sentinels are not kmsctx's")
	}
}

func ExampleService() {
	dir, _ := os.MkdirTemp("", "localkms")
	defer os.RemoveAll(dir)
	kms, _ := localkms.Open(dir, root(1))
	s, _ := localkms.NewService(kms, quiet{}, nil)
	key, _ := s.CreateKey(ctx, admin, &localkms.CreateKeyInput{})
	id := key.KeyMetadata.KeyID
	indexer := localkms.Principal{ARN: "arn:aws:iam::000000000000:user/indexer"}
	_, _ = s.CreateGrant(ctx, admin, &localkms.CreateGrantInput{KeyID: id, GranteePrincipal: indexer.ARN, Operations: []string{"GenerateDataKey"},
		Constraints: &localkms.Constraints{EncryptionContextEquals: map[string]string{"tenant": "acme"}}})

	_, err := s.GenerateDataKey(ctx, indexer, &localkms.GenerateDataKeyInput{KeyID: id, KeySpec: "AES_256", EncryptionContext: map[string]string{"tenant": "other"}})
	fmt.Println(localkms.Code(err))
	_, err = s.GenerateDataKey(ctx, indexer, &localkms.GenerateDataKeyInput{KeyID: id, KeySpec: "AES_256", EncryptionContext: map[string]string{"tenant": "acme"}})
	fmt.Println(err)
	// Output:
	// AccessDeniedException
	// <nil>
}
