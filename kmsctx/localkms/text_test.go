package localkms_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/cloisterdev/cloister/kmsctx/localkms"
)

// Text that JSON would not keep byte for byte is refused wherever it may be
// sent, and a store that refused it still opens.
func TestTextThatIsNone(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := service(t, dir, nil)
	key := createKey(t, s)
	for _, bad := range []string{"\xff", "a\xc3", "\xed\xa0\x80", "\x00", "\x7f"} {
		_, err := s.CreateKey(ctx, admin, &localkms.CreateKeyInput{Description: bad})
		want(t, fmt.Sprintf("description %q", bad), err, localkms.ErrInvalid)
		for _, tag := range []localkms.Tag{{TagKey: bad, TagValue: "v"}, {TagKey: "k", TagValue: bad}} {
			_, err = s.CreateKey(ctx, admin, &localkms.CreateKeyInput{Tags: []localkms.Tag{tag}})
			want(t, fmt.Sprintf("a new key's tag %q", tag), err, localkms.ErrTag)
			if _, err = s.TagResource(ctx, admin, &localkms.TagInput{KeyID: key, Tags: []localkms.Tag{tag}}); err == nil {
				t.Errorf("tag %q", tag)
			}
		}
		_, err = s.CreateAlias(ctx, admin, &localkms.AliasInput{AliasName: "alias/" + bad, TargetKeyID: key})
		want(t, fmt.Sprintf("alias %q", bad), err, localkms.ErrAlias)
		_, err = s.CreateGrant(ctx, admin, &localkms.CreateGrantInput{KeyID: key, GranteePrincipal: alice.ARN, Operations: []string{"Decrypt"},
			Constraints: &localkms.Constraints{EncryptionContextSubset: pairs("k", bad+"\xff")}})
		want(t, fmt.Sprintf("constraint %q", bad), err, localkms.ErrInvalid)
		policy := `{"Version":"2012-10-17","Id":"` + bad + "\xff" + `","Statement":[{"Effect":"Allow","Principal":{"AWS":"` + admin.ARN + `"},"Action":"kms:*","Resource":"*"}]}`
		_, err = s.PutKeyPolicy(ctx, admin, &localkms.PolicyInput{KeyID: key, Policy: policy})
		want(t, fmt.Sprintf("policy %q", bad), err, localkms.ErrPolicy)
	}
	_, err := s.CreateKey(ctx, admin, &localkms.CreateKeyInput{Description: "für\nalle \ufffd \u2028 <&>", Tags: []localkms.Tag{{TagKey: "Größe", TagValue: "\U0001f511"}}})
	must(t, err)
	_, err = s.PutKeyPolicy(ctx, admin, &localkms.PolicyInput{KeyID: key, Policy: `{"Version":"2012-10-17","Id":"\ufffd","Statement":[{"Effect":"Allow","Principal":{"AWS":"` + admin.ARN + `"},"Action":"kms:*","Resource":"*"}]}`})
	must(t, err)
	again := service(t, dir, nil)
	if l, err := again.ListKeys(ctx, admin, &localkms.PageInput{}); err != nil || len(l.Keys) != 2 {
		t.Errorf("the store says %+v, %v", l, err)
	}
}

// A key with all the tags and aliases that it may have is used, and rid of them,
// like any other; and so is a context of the longest kind.
func TestMuchToDecideBy(t *testing.T) {
	t.Parallel()
	s := service(t, t.TempDir(), nil)
	key := createKey(t, s)
	var tags []localkms.Tag
	var names []string
	for i := range 50 {
		names = append(names, fmt.Sprintf("%03d%s", i, strings.Repeat("k", 125)))
		tags = append(tags, localkms.Tag{TagKey: names[i], TagValue: strings.Repeat("v", 256)})
		_, err := s.CreateAlias(ctx, admin, &localkms.AliasInput{AliasName: fmt.Sprintf("alias/%03d%s", i, strings.Repeat("a", 247)), TargetKeyID: key})
		must(t, err)
	}
	_, err := s.TagResource(ctx, admin, &localkms.TagInput{KeyID: key, Tags: tags})
	must(t, err)
	long := map[string]string{}
	for i := range 1000 {
		long[fmt.Sprintf("%04d", i)] = ""
	}
	want(t, "decrypt", decrypts(s, admin, encrypt(t, s, key, long), long), nil)
	// What a policy asks about is still decided by.
	_, err = s.PutKeyPolicy(ctx, admin, &localkms.PolicyInput{KeyID: key, Policy: `{"Version":"2012-10-17","Statement":[
		{"Effect":"Allow","Principal":{"AWS":"` + admin.ARN + `"},"Action":"kms:*","Resource":"*"},
		{"Effect":"Deny","Principal":"*","Action":"kms:Encrypt","Resource":"*","Condition":{"StringLike":{"aws:ResourceTag/` + names[49] + `":"v*"}}}]}`})
	must(t, err)
	_, err = s.Encrypt(ctx, admin, &localkms.EncryptInput{KeyID: key, Plaintext: []byte("x")})
	want(t, "a deny by the last of many tags", err, localkms.ErrNotAuthorized)
	_, err = s.UntagResource(ctx, admin, &localkms.UntagInput{KeyID: key, TagKeys: names})
	must(t, err)
	encrypt(t, s, key, nil)
}

func TestTagsThatAreNone(t *testing.T) {
	t.Parallel()
	s := service(t, t.TempDir(), nil)
	key := createKey(t, s)
	_, err := s.TagResource(ctx, admin, &localkms.TagInput{KeyID: key})
	want(t, "no tags", err, localkms.ErrInvalid)
	_, err = s.UntagResource(ctx, admin, &localkms.UntagInput{KeyID: key})
	want(t, "no keys of tags", err, localkms.ErrInvalid)
}

// Policies compare the keys of contexts and tags without case in all letters. A
// name is found in whatever case it is sent, and two that are one are refused.
func TestCaseOfOtherLetters(t *testing.T) {
	t.Parallel()
	s := service(t, t.TempDir(), nil)
	deny := func(condition string) string {
		return keyOf(t, s, `{"Effect":"Deny","Principal":"*","Action":"kms:Encrypt","Resource":"*","Condition":{"StringEquals":{`+condition+`}}}`)
	}
	key := deny(`"kms:EncryptionContext:Ö":"x"`)
	for _, c := range []struct {
		pairs map[string]string
		want  error
	}{
		{pairs("Ö", "x"), localkms.ErrNotAuthorized},
		{pairs("ö", "x"), localkms.ErrNotAuthorized},
		{pairs("Ö", "x", "ö", "y"), localkms.ErrInvalid},
		{pairs("Ö", "y", "ö", "x"), localkms.ErrInvalid},
		{pairs("\u212a", "x", "k", "x"), localkms.ErrInvalid},
		{pairs("Ö", "y"), nil},
		{pairs("Ägypten", "x"), nil},
		{pairs("\u212a", "x"), nil},
		{nil, nil},
	} {
		_, err := s.Encrypt(ctx, admin, &localkms.EncryptInput{KeyID: key, Plaintext: []byte("x"), EncryptionContext: c.pairs})
		want(t, fmt.Sprint(c.pairs), err, c.want)
	}
	tagged := deny(`"aws:ResourceTag/Ö":"x"`)
	_, err := s.TagResource(ctx, admin, &localkms.TagInput{KeyID: tagged, Tags: []localkms.Tag{{TagKey: "Ö", TagValue: "y"}, {TagKey: "ö", TagValue: "x"}}})
	want(t, "tags that differ in case", err, localkms.ErrTag)
	encrypt(t, s, tagged, nil)
	_, err = s.TagResource(ctx, admin, &localkms.TagInput{KeyID: tagged, Tags: []localkms.Tag{{TagKey: "Ö", TagValue: "x"}}})
	must(t, err)
	_, err = s.Encrypt(ctx, admin, &localkms.EncryptInput{KeyID: tagged, Plaintext: []byte("x")})
	want(t, "a deny by the tag", err, localkms.ErrNotAuthorized)
}
