package main

import (
	"bytes"
	"context"
	"errors"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
	"github.com/aws/smithy-go"

	"github.com/cloisterdev/cloister/audit"
)

const kmsAccount = "arn:aws:iam::000000000000:"

// kmsClient is aws-sdk-go-v2 as it comes, with the keys of kmsPrincipals.
func kmsClient(url, who string) *kms.Client {
	return kms.New(kms.Options{Region: "us-east-1", BaseEndpoint: aws.String(url), RetryMaxAttempts: 1,
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "AKID" + strings.ToUpper(who), SecretAccessKey: who + "-secret-0123456789"}, nil
		})})
}

// aws-sdk-go-v2 calls every operation of the command, and is refused in every
// way.
func TestKMSGoSDK(t *testing.T) {
	t.Parallel()
	url, dir, stop := serveKMS(t, "--propagation", "1h")
	ctx, root, user := t.Context(), kmsClient(url, "root"), kmsClient(url, "user")
	refused := func(name, want string, err error) {
		t.Helper()
		if e := smithy.APIError(nil); !errors.As(err, &e) || e.ErrorCode() != want {
			t.Errorf("%s: %v, not %s", name, err, want)
		}
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	ok := func(_ any, err error) { t.Helper(); must(err) }
	made, err := root.CreateKey(ctx, &kms.CreateKeyInput{Description: aws.String("d"), Tags: []types.Tag{{TagKey: aws.String("a"), TagValue: aws.String("b")}}})
	must(err)
	other, err := root.CreateKey(ctx, &kms.CreateKeyInput{})
	must(err)
	key, second := made.KeyMetadata.KeyId, other.KeyMetadata.KeyId
	ec := map[string]string{"tenant": "a"}
	wrong := map[string]string{"tenant": "b"}
	d, err := root.DescribeKey(ctx, &kms.DescribeKeyInput{KeyId: made.KeyMetadata.Arn})
	must(err)
	if m := d.KeyMetadata; m.KeyState != types.KeyStateEnabled || time.Since(*m.CreationDate).Abs() > time.Minute || m.DeletionDate != nil {
		t.Errorf("DescribeKey: %+v", m)
	}
	n := 0
	for p := kms.NewListKeysPaginator(root, &kms.ListKeysInput{Limit: aws.Int32(1)}); p.HasMorePages(); n++ {
		_, err := p.NextPage(ctx)
		must(err)
	}
	if n != 2 {
		t.Errorf("%d pages of one key", n)
	}

	// Contexts.
	enc, err := root.Encrypt(ctx, &kms.EncryptInput{KeyId: key, Plaintext: []byte("x"), EncryptionContext: ec})
	must(err)
	_, err = root.Decrypt(ctx, &kms.DecryptInput{CiphertextBlob: enc.CiphertextBlob, EncryptionContext: wrong})
	if !errors.As(err, new(*types.InvalidCiphertextException)) {
		t.Errorf("a wrong context: %v", err)
	}
	_, err = root.Decrypt(ctx, &kms.DecryptInput{CiphertextBlob: enc.CiphertextBlob, EncryptionContext: ec, KeyId: second})
	if !errors.As(err, new(*types.IncorrectKeyException)) {
		t.Errorf("another key: %v", err)
	}
	dec, err := root.Decrypt(ctx, &kms.DecryptInput{CiphertextBlob: enc.CiphertextBlob, EncryptionContext: ec, KeyId: key})
	if err != nil || string(dec.Plaintext) != "x" {
		t.Fatalf("the control: %v", err)
	}
	re, err := root.ReEncrypt(ctx, &kms.ReEncryptInput{CiphertextBlob: enc.CiphertextBlob, SourceEncryptionContext: ec, DestinationKeyId: second, DestinationEncryptionContext: wrong})
	must(err)
	if *re.KeyId == *re.SourceKeyId || bytes.Equal(re.CiphertextBlob, enc.CiphertextBlob) {
		t.Error("ReEncrypt moved nothing")
	}
	ok(root.GenerateDataKeyWithoutPlaintext(ctx, &kms.GenerateDataKeyWithoutPlaintextInput{KeyId: key, KeySpec: types.DataKeySpecAes128}))
	ok(root.GenerateRandom(ctx, &kms.GenerateRandomInput{NumberOfBytes: aws.Int32(9)}))

	// Grants.
	g, err := root.CreateGrant(ctx, &kms.CreateGrantInput{KeyId: key, GranteePrincipal: aws.String(kmsAccount + "user/user"), RetiringPrincipal: aws.String(kmsAccount + "user/user"), Name: aws.String("g"),
		Operations: []types.GrantOperation{types.GrantOperationGenerateDataKey, types.GrantOperationDecrypt}, Constraints: &types.GrantConstraints{EncryptionContextEquals: ec}})
	must(err)
	data := func(c map[string]string, tokens ...string) error {
		_, err := user.GenerateDataKey(ctx, &kms.GenerateDataKeyInput{KeyId: key, NumberOfBytes: aws.Int32(32), EncryptionContext: c, GrantTokens: tokens})
		return err
	}
	refused("before it has spread", "AccessDeniedException", data(ec))
	must(data(ec, *g.GrantToken))
	refused("a constraint", "AccessDeniedException", data(wrong, *g.GrantToken))
	refused("a false token", "InvalidGrantTokenException", data(ec, "x"))
	_, err = user.GenerateDataKey(ctx, &kms.GenerateDataKeyInput{KeyId: key, NumberOfBytes: aws.Int32(32), EncryptionContext: ec, GrantTokens: []string{*g.GrantToken}, DryRun: aws.Bool(true)})
	if !errors.As(err, new(*types.DryRunOperationException)) {
		t.Errorf("a dry run: %v", err)
	}
	list, err := root.ListGrants(ctx, &kms.ListGrantsInput{KeyId: key})
	if err != nil || len(list.Grants) != 1 || list.Grants[0].Constraints.EncryptionContextEquals["tenant"] != "a" {
		t.Errorf("ListGrants: %+v, %v", list, err)
	}
	retirable, err := root.ListRetirableGrants(ctx, &kms.ListRetirableGrantsInput{RetiringPrincipal: aws.String(kmsAccount + "user/user")})
	if err != nil || len(retirable.Grants) != 1 {
		t.Errorf("ListRetirableGrants: %+v, %v", retirable, err)
	}
	ok(root.DisableKey(ctx, &kms.DisableKeyInput{KeyId: key}))
	refused("a disabled key", "DisabledException", data(ec, *g.GrantToken))
	ok(root.EnableKey(ctx, &kms.EnableKeyInput{KeyId: key}))
	must(data(ec, *g.GrantToken))
	ok(user.RetireGrant(ctx, &kms.RetireGrantInput{GrantToken: g.GrantToken}))
	refused("a retired grant", "AccessDeniedException", data(ec, *g.GrantToken))
	g, err = root.CreateGrant(ctx, &kms.CreateGrantInput{KeyId: key, GranteePrincipal: aws.String(kmsAccount + "user/user"), Operations: []types.GrantOperation{types.GrantOperationGenerateDataKey}})
	must(err)
	must(data(wrong, *g.GrantToken))
	ok(root.RevokeGrant(ctx, &kms.RevokeGrantInput{KeyId: key, GrantId: g.GrantId}))
	refused("a revoked grant", "AccessDeniedException", data(wrong, *g.GrantToken))

	// States, rotation, names, policies.
	del, err := root.ScheduleKeyDeletion(ctx, &kms.ScheduleKeyDeletionInput{KeyId: second, PendingWindowInDays: aws.Int32(7)})
	if err != nil || time.Until(*del.DeletionDate) < 6*24*time.Hour {
		t.Errorf("ScheduleKeyDeletion: %+v, %v", del, err)
	}
	_, err = root.Decrypt(ctx, &kms.DecryptInput{CiphertextBlob: re.CiphertextBlob, EncryptionContext: wrong})
	if !errors.As(err, new(*types.KMSInvalidStateException)) {
		t.Errorf("pending deletion: %v", err)
	}
	ok(root.CancelKeyDeletion(ctx, &kms.CancelKeyDeletionInput{KeyId: second}))
	ok(root.EnableKeyRotation(ctx, &kms.EnableKeyRotationInput{KeyId: key}))
	st, err := root.GetKeyRotationStatus(ctx, &kms.GetKeyRotationStatusInput{KeyId: key})
	if err != nil || !st.KeyRotationEnabled || *st.RotationPeriodInDays != 365 || st.NextRotationDate == nil {
		t.Errorf("GetKeyRotationStatus: %+v, %v", st, err)
	}
	ok(root.DisableKeyRotation(ctx, &kms.DisableKeyRotationInput{KeyId: key}))
	ok(root.RotateKeyOnDemand(ctx, &kms.RotateKeyOnDemandInput{KeyId: key}))
	rot, err := root.ListKeyRotations(ctx, &kms.ListKeyRotationsInput{KeyId: key})
	if err != nil || len(rot.Rotations) != 1 || rot.Rotations[0].RotationType != types.RotationTypeOnDemand {
		t.Errorf("ListKeyRotations: %+v, %v", rot, err)
	}
	dec, err = root.Decrypt(ctx, &kms.DecryptInput{CiphertextBlob: enc.CiphertextBlob, EncryptionContext: ec})
	if err != nil || string(dec.Plaintext) != "x" {
		t.Errorf("what the old material encrypted: %v", err)
	}
	alias := aws.String("alias/main")
	ok(root.CreateAlias(ctx, &kms.CreateAliasInput{AliasName: alias, TargetKeyId: key}))
	ok(root.UpdateAlias(ctx, &kms.UpdateAliasInput{AliasName: alias, TargetKeyId: second}))
	al, err := root.ListAliases(ctx, &kms.ListAliasesInput{KeyId: second})
	if err != nil || len(al.Aliases) != 1 {
		t.Errorf("ListAliases: %+v, %v", al, err)
	}
	ok(root.DeleteAlias(ctx, &kms.DeleteAliasInput{AliasName: alias}))
	ok(root.TagResource(ctx, &kms.TagResourceInput{KeyId: key, Tags: []types.Tag{{TagKey: aws.String("c"), TagValue: aws.String("d")}}}))
	ok(root.UntagResource(ctx, &kms.UntagResourceInput{KeyId: key, TagKeys: []string{"a"}}))
	tags, err := root.ListResourceTags(ctx, &kms.ListResourceTagsInput{KeyId: key})
	if err != nil || len(tags.Tags) != 1 || *tags.Tags[0].TagKey != "c" {
		t.Errorf("ListResourceTags: %+v, %v", tags, err)
	}
	pol, err := root.GetKeyPolicy(ctx, &kms.GetKeyPolicyInput{KeyId: key})
	must(err)
	ok(root.PutKeyPolicy(ctx, &kms.PutKeyPolicyInput{KeyId: key, Policy: pol.Policy}))

	stop()
	called := map[string]bool{}
	for e, err := range audit.Read(filepath.Join(dir, "store", "audit")) {
		must(err)
		if e.Kind == "kms.request" {
			continue
		}
		called[e.Kind] = true
		d := e.Detail
		if e.Kind == "kms.generatedatakey" && e.Decision == audit.Allow && d["dry_run"] == "" && (d["grant"] == "" || d["principal"] != strconv.Quote(kmsAccount+"user/user") || d["context"] == "") {
			t.Errorf("an event without its grant, caller or context: %+v", e)
		}
	}
	if len(called) != 32 {
		t.Errorf("%d of 32 operations were recorded: %v", len(called), called)
	}
}
