package localkms_test

import (
	"testing"

	"github.com/cloisterdev/cloister/fas/policy"
	"github.com/cloisterdev/cloister/kmsctx/localkms"
)

// asking are calls about a key that may be there or not.
var asking = map[string]func(s *localkms.Service, who localkms.Principal, key string) error{
	"DescribeKey": func(s *localkms.Service, who localkms.Principal, key string) error {
		_, err := s.DescribeKey(ctx, who, &localkms.DescribeKeyInput{KeyID: key})
		return err
	},
	"Encrypt": func(s *localkms.Service, who localkms.Principal, key string) error {
		_, err := s.Encrypt(ctx, who, &localkms.EncryptInput{KeyID: key, Plaintext: []byte("x")})
		return err
	},
	"Decrypt": func(s *localkms.Service, who localkms.Principal, key string) error {
		_, err := s.Decrypt(ctx, who, &localkms.DecryptInput{KeyID: key, CiphertextBlob: keyless})
		return err
	},
	"ReEncrypt, to": func(s *localkms.Service, who localkms.Principal, key string) error {
		_, err := s.ReEncrypt(ctx, who, &localkms.ReEncryptInput{DestinationKeyID: key, CiphertextBlob: []byte("no ciphertext")})
		return err
	},
	"ReEncrypt, from": func(s *localkms.Service, who localkms.Principal, key string) error {
		_, err := s.ReEncrypt(ctx, who, &localkms.ReEncryptInput{SourceKeyID: key, DestinationKeyID: key, CiphertextBlob: keyless})
		return err
	},
	"GenerateDataKey": func(s *localkms.Service, who localkms.Principal, key string) error {
		_, err := s.GenerateDataKey(ctx, who, &localkms.GenerateDataKeyInput{KeyID: key, KeySpec: "AES_256"})
		return err
	},
	"CreateGrant": func(s *localkms.Service, who localkms.Principal, key string) error {
		_, err := s.CreateGrant(ctx, who, &localkms.CreateGrantInput{KeyID: key, GranteePrincipal: bob.ARN, Operations: []string{"Decrypt"}})
		return err
	},
	"ListGrants": func(s *localkms.Service, who localkms.Principal, key string) error {
		_, err := s.ListGrants(ctx, who, &localkms.ListGrantsInput{KeyID: key})
		return err
	},
	"RevokeGrant": func(s *localkms.Service, who localkms.Principal, key string) error {
		_, err := s.RevokeGrant(ctx, who, &localkms.RevokeGrantInput{KeyID: key, GrantID: "g"})
		return err
	},
	"RetireGrant": func(s *localkms.Service, who localkms.Principal, key string) error {
		_, err := s.RetireGrant(ctx, who, &localkms.RetireGrantInput{KeyID: key, GrantID: "g"})
		return err
	},
	"DisableKey": func(s *localkms.Service, who localkms.Principal, key string) error {
		_, err := s.DisableKey(ctx, who, &localkms.KeyInput{KeyID: key})
		return err
	},
	"ScheduleKeyDeletion": func(s *localkms.Service, who localkms.Principal, key string) error {
		_, err := s.ScheduleKeyDeletion(ctx, who, &localkms.ScheduleKeyDeletionInput{KeyID: key})
		return err
	},
	"PutKeyPolicy": func(s *localkms.Service, who localkms.Principal, key string) error {
		_, err := s.PutKeyPolicy(ctx, who, &localkms.PolicyInput{KeyID: key, Policy: "{}"})
		return err
	},
	"TagResource": func(s *localkms.Service, who localkms.Principal, key string) error {
		_, err := s.TagResource(ctx, who, &localkms.TagInput{KeyID: key, Tags: []localkms.Tag{{TagKey: "a"}}})
		return err
	},
	"RotateKeyOnDemand": func(s *localkms.Service, who localkms.Principal, key string) error {
		_, err := s.RotateKeyOnDemand(ctx, who, &localkms.KeyInput{KeyID: key})
		return err
	},
	"ListAliases": func(s *localkms.Service, who localkms.Principal, key string) error {
		_, err := s.ListAliases(ctx, who, &localkms.KeyPageInput{KeyID: key})
		return err
	},
}

// keyless is set to a ciphertext of a key that neither is there nor was.
var keyless []byte

// Who may not describe keys cannot tell one that is there from one that is not;
// who may, can.
func TestNoOracle(t *testing.T) {
	t.Parallel()
	elsewhere := service(t, t.TempDir(), nil)
	keyless = encrypt(t, elsewhere, createKey(t, elsewhere), nil)
	s := service(t, t.TempDir(), nil)
	key := createKey(t, s)
	_, err := s.CreateAlias(ctx, admin, &localkms.AliasInput{AliasName: "alias/there", TargetKeyID: key})
	must(t, err)
	doomed := createKey(t, s)
	_, err = s.ScheduleKeyDeletion(ctx, admin, &localkms.ScheduleKeyDeletionInput{KeyID: doomed})
	must(t, err)
	disabled := createKey(t, s)
	_, err = s.DisableKey(ctx, admin, &localkms.KeyInput{KeyID: disabled})
	must(t, err)
	const none, arn = "11111111-1111-1111-1111-111111111111", "arn:aws:kms:us-east-1:000000000000:"
	own := func(action string) *policy.Document {
		d, err := policy.Parse([]byte(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["` + action + `","kms:ListAliases"],"Resource":"*"}]}`))
		must(t, err)
		return d
	}
	lister := localkms.Principal{ARN: bob.ARN, Policy: own("kms:ListKeys")}
	describer := localkms.Principal{ARN: bob.ARN, Policy: own("kms:DescribeKey")}
	// This one may do with one key what it likes, and that key only.
	made, err := s.CreateKey(ctx, admin, &localkms.CreateKeyInput{Policy: `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":["` + alice.ARN + `","` + admin.ARN + `"]},"Action":"kms:*","Resource":"*"}]}`})
	must(t, err)
	ofAliases, err := policy.Parse([]byte(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["kms:UpdateAlias","kms:DeleteAlias"],"Resource":"arn:aws:kms:*:*:alias/*"}]}`))
	must(t, err)
	updater, theirs := localkms.Principal{ARN: alice.ARN, Policy: ofAliases}, made.KeyMetadata.KeyID
	stranger := localkms.Principal{ARN: "arn:aws:iam::111111111111:root", Policy: own("kms:DescribeKey")}
	for op, ask := range asking {
		text := func(who localkms.Principal, name string) string {
			if err := ask(s, who, name); err != nil {
				return err.Error()
			}
			return "served"
		}
		for name, who := range map[string]localkms.Principal{"no policy": bob, "another policy": lister, "another account's root": stranger} {
			want := text(who, none)
			for _, other := range []string{key, doomed, disabled, "alias/there", "alias/not", arn + "key/" + key, arn + "key/" + none, arn + "alias/there", arn + "alias/not", "arn:aws:kms:us-east-1:111111111111:key/" + none} {
				if got := text(who, other); got != want {
					t.Errorf("%s, %s: %q of %s, and %q of a key that is not there", op, name, got, other, want)
				}
			}
		}
		// The control: who may describe keys hears it.
		told := localkms.ErrUnknown
		if op == "ReEncrypt, to" {
			told = localkms.ErrInvalidCiphertext // which comes first
		}
		want(t, op+", root", ask(s, admin, none), told)
		want(t, op+", a policy", ask(s, describer, none), told)
	}
	for _, name := range []string{"alias/there", "alias/not"} {
		for _, who := range []localkms.Principal{bob, updater} {
			_, err := s.DeleteAlias(ctx, who, &localkms.AliasNameInput{AliasName: name})
			want(t, "DeleteAlias "+name, err, localkms.ErrNotAuthorized)
		}
		_, err = s.UpdateAlias(ctx, updater, &localkms.AliasInput{AliasName: name, TargetKeyID: theirs})
		want(t, "UpdateAlias "+name, err, localkms.ErrNotAuthorized)
	}
	describer.Policy = own(`kms:DescribeKey","kms:DeleteAlias`)
	_, err = s.DeleteAlias(ctx, describer, &localkms.AliasNameInput{AliasName: "alias/not"})
	want(t, "DeleteAlias, the control", err, localkms.ErrUnknown)
	for _, name := range []string{key, none} {
		_, err := s.CreateAlias(ctx, bob, &localkms.AliasInput{AliasName: "alias/new", TargetKeyID: name})
		want(t, "CreateAlias", err, localkms.ErrNotAuthorized)
	}
	// Nor does a ciphertext tell: the key that it names decides.
	blob := encrypt(t, s, key, nil)
	want(t, "a key's ciphertext", decrypts(s, bob, blob, nil), localkms.ErrNotAuthorized)
	want(t, "a ciphertext of no key", decrypts(s, bob, keyless, nil), localkms.ErrNotAuthorized)
	want(t, "the same, root", decrypts(s, admin, keyless, nil), localkms.ErrInvalidCiphertext)
}
