package localkms_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/cloisterdev/cloister/kmsctx/localkms"
)

func TestLimits(t *testing.T) {
	t.Parallel()
	s := service(t, t.TempDir(), &localkms.Options{Limits: localkms.Limits{Keys: 2, Aliases: 1, Tags: 2, Rotations: 2}})
	key := createKey(t, s)
	other := createKey(t, s)
	_, err := s.CreateKey(ctx, admin, &localkms.CreateKeyInput{})
	want(t, "a third key", err, localkms.ErrLimit)
	for i, w := range []error{nil, localkms.ErrLimit} {
		_, err = s.CreateAlias(ctx, admin, &localkms.AliasInput{AliasName: fmt.Sprint("alias/", i), TargetKeyID: key})
		want(t, "alias", err, w)
	}
	_, err = s.CreateAlias(ctx, admin, &localkms.AliasInput{AliasName: "alias/other", TargetKeyID: other})
	must(t, err)
	for target, w := range map[string]error{other: nil, key: localkms.ErrLimit} {
		_, err = s.UpdateAlias(ctx, admin, &localkms.AliasInput{AliasName: "alias/other", TargetKeyID: target})
		want(t, "an alias that moves", err, w)
	}
	_, err = s.TagResource(ctx, admin, &localkms.TagInput{KeyID: key, Tags: []localkms.Tag{{"a", "1"}, {"b", "2"}, {"c", "3"}}})
	want(t, "three tags", err, localkms.ErrLimit)
	_, err = s.TagResource(ctx, admin, &localkms.TagInput{KeyID: key, Tags: []localkms.Tag{{"a", "1"}, {"A", "2"}}})
	want(t, "tags that differ in case", err, localkms.ErrTag)
	_, err = s.TagResource(ctx, admin, &localkms.TagInput{KeyID: key, Tags: []localkms.Tag{{"a", "1"}, {"b", "2"}}})
	want(t, "two tags", err, nil)
	for i, w := range []error{nil, nil, localkms.ErrLimit} {
		_, err = s.RotateKeyOnDemand(ctx, admin, &localkms.KeyInput{KeyID: key})
		want(t, fmt.Sprint("rotation ", i), err, w)
	}
}

// Pages of any size are the whole list, each entry once.
func TestPages(t *testing.T) {
	t.Parallel()
	s := service(t, t.TempDir(), nil)
	key := createKey(t, s)
	all := []string{}
	for range 5 {
		g, err := s.CreateGrant(ctx, admin, &localkms.CreateGrantInput{KeyID: key, GranteePrincipal: alice.ARN, Operations: []string{"Decrypt"}})
		must(t, err)
		all = append(all, g.GrantID)
	}
	slices.Sort(all)
	for size := 1; size <= 6; size++ {
		var got []string
		in := localkms.ListGrantsInput{KeyID: key, PageInput: localkms.PageInput{Limit: ptr(size)}}
		for {
			out, err := s.ListGrants(ctx, admin, &in)
			must(t, err)
			for _, g := range out.Grants {
				got = append(got, g.GrantID)
			}
			if out.Truncated != (out.NextMarker != "") {
				t.Fatal("a page that goes on without a marker")
			}
			if in.Marker = out.NextMarker; in.Marker == "" {
				break
			}
		}
		if !slices.Equal(got, all) {
			t.Errorf("pages of %d: %v, not %v", size, got, all)
		}
	}
	for _, n := range []int{0, -1, 101} {
		_, err := s.ListGrants(ctx, admin, &localkms.ListGrantsInput{KeyID: key, PageInput: localkms.PageInput{Limit: &n}})
		want(t, fmt.Sprint("a page of ", n), err, localkms.ErrInvalid)
	}
	for marker, w := range map[string]error{"a\x00": localkms.ErrMarker, strings.Repeat("a", 1025): localkms.ErrMarker, strings.Repeat("a", 1024): nil} {
		_, err := s.ListGrants(ctx, admin, &localkms.ListGrantsInput{KeyID: key, PageInput: localkms.PageInput{Marker: marker}})
		want(t, "a marker of "+fmt.Sprint(len(marker)), err, w)
	}
	out, err := s.ListGrants(ctx, admin, &localkms.ListGrantsInput{KeyID: key, PageInput: localkms.PageInput{Marker: "~"}})
	if err != nil || len(out.Grants) != 0 {
		t.Errorf("behind the last: %v, %v", out, err)
	}
}

func BenchmarkDecrypt(b *testing.B) {
	s := service(b, b.TempDir(), nil)
	key := createKey(b, s)
	_, err := s.CreateGrant(ctx, admin, &localkms.CreateGrantInput{KeyID: key, GranteePrincipal: alice.ARN, Operations: []string{"Decrypt"},
		Constraints: &localkms.Constraints{EncryptionContextEquals: pairs("tenant", "a")}})
	must(b, err)
	blob := encrypt(b, s, key, pairs("tenant", "a"))
	for b.Loop() {
		must(b, decrypts(s, alice, blob, pairs("tenant", "a")))
	}
}

func BenchmarkCreateGrant(b *testing.B) {
	for _, n := range []int{10, 1000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			dir := b.TempDir()
			k := open(b, dir)
			must(b, k.EnsureKey(ctx, "key"))
			s := service(b, dir, nil)
			for i := range n {
				_, err := k.CreateGrant(ctx, "key", fmt.Sprint(i), pairs("tenant", fmt.Sprint(i)))
				must(b, err)
			}
			for b.Loop() {
				_, err := s.CreateGrant(ctx, admin, &localkms.CreateGrantInput{KeyID: "key", GranteePrincipal: alice.ARN, Operations: []string{"Decrypt"}})
				must(b, err)
			}
		})
	}
}
