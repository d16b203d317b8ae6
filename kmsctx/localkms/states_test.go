package localkms_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cloisterdev/cloister/kmsctx/localkms"
)

// operation is one call about a key and a grant of it.
type operation struct {
	name      string
	call      func(s *localkms.Service, who localkms.Principal, key, grant string) error
	whilePend error // what a key pending deletion answers
	disabled  error
}

var pending, off = localkms.ErrPendingDeletion, localkms.ErrKeyDisabled

var operations = []operation{
	{"TagResource", func(s *localkms.Service, who localkms.Principal, key, _ string) error {
		_, err := s.TagResource(ctx, who, &localkms.TagInput{KeyID: key, Tags: []localkms.Tag{{TagKey: "a", TagValue: "b"}}})
		return err
	}, pending, nil},
	{"UntagResource", func(s *localkms.Service, who localkms.Principal, key, _ string) error {
		_, err := s.UntagResource(ctx, who, &localkms.UntagInput{KeyID: key, TagKeys: []string{"a"}})
		return err
	}, pending, nil},
	{"ListResourceTags", func(s *localkms.Service, who localkms.Principal, key, _ string) error {
		_, err := s.ListResourceTags(ctx, who, &localkms.KeyPageInput{KeyID: key})
		return err
	}, nil, nil},
	{"GetKeyPolicy", func(s *localkms.Service, who localkms.Principal, key, _ string) error {
		_, err := s.GetKeyPolicy(ctx, who, &localkms.PolicyInput{KeyID: key})
		return err
	}, pending, nil},
	{"PutKeyPolicy", func(s *localkms.Service, who localkms.Principal, key, _ string) error {
		_, err := s.PutKeyPolicy(ctx, who, &localkms.PolicyInput{KeyID: key, Policy: `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"` + admin.ARN + `"},"Action":"kms:*","Resource":"*"}]}`})
		return err
	}, pending, nil},
	{"CreateAlias", func(s *localkms.Service, who localkms.Principal, key, _ string) error {
		_, err := s.CreateAlias(ctx, who, &localkms.AliasInput{AliasName: "alias/" + key, TargetKeyID: key})
		return err
	}, pending, nil},
	{"ListAliases", func(s *localkms.Service, who localkms.Principal, key, _ string) error {
		_, err := s.ListAliases(ctx, who, &localkms.KeyPageInput{KeyID: key})
		return err
	}, nil, nil},
	{"CreateGrant", func(s *localkms.Service, who localkms.Principal, key, _ string) error {
		_, err := s.CreateGrant(ctx, who, &localkms.CreateGrantInput{KeyID: key, GranteePrincipal: alice.ARN, Operations: []string{"Decrypt"}})
		return err
	}, pending, off},
	{"ListGrants", func(s *localkms.Service, who localkms.Principal, key, _ string) error {
		_, err := s.ListGrants(ctx, who, &localkms.ListGrantsInput{KeyID: key})
		return err
	}, pending, nil},
	{"ListRetirableGrants", func(s *localkms.Service, who localkms.Principal, _, _ string) error {
		_, err := s.ListRetirableGrants(ctx, who, &localkms.ListRetirableGrantsInput{RetiringPrincipal: alice.ARN})
		return err
	}, nil, nil},
	{"RetireGrant", func(s *localkms.Service, who localkms.Principal, key, grant string) error {
		_, err := s.RetireGrant(ctx, who, &localkms.RetireGrantInput{KeyID: key, GrantID: grant})
		return err
	}, pending, nil},
	{"RevokeGrant", func(s *localkms.Service, who localkms.Principal, key, grant string) error {
		_, err := s.RevokeGrant(ctx, who, &localkms.RevokeGrantInput{KeyID: key, GrantID: grant})
		return err
	}, pending, nil},
	{"EnableKeyRotation", func(s *localkms.Service, who localkms.Principal, key, _ string) error {
		_, err := s.EnableKeyRotation(ctx, who, &localkms.EnableKeyRotationInput{KeyID: key})
		return err
	}, pending, off},
	{"DisableKeyRotation", func(s *localkms.Service, who localkms.Principal, key, _ string) error {
		_, err := s.DisableKeyRotation(ctx, who, &localkms.KeyInput{KeyID: key})
		return err
	}, pending, off},
	{"GetKeyRotationStatus", func(s *localkms.Service, who localkms.Principal, key, _ string) error {
		_, err := s.GetKeyRotationStatus(ctx, who, &localkms.KeyInput{KeyID: key})
		return err
	}, pending, nil},
	{"RotateKeyOnDemand", func(s *localkms.Service, who localkms.Principal, key, _ string) error {
		_, err := s.RotateKeyOnDemand(ctx, who, &localkms.KeyInput{KeyID: key})
		return err
	}, pending, off},
	{"ListKeyRotations", func(s *localkms.Service, who localkms.Principal, key, _ string) error {
		_, err := s.ListKeyRotations(ctx, who, &localkms.ListKeyRotationsInput{KeyID: key})
		return err
	}, nil, nil},
	{"EnableKey", func(s *localkms.Service, who localkms.Principal, key, _ string) error {
		_, err := s.EnableKey(ctx, who, &localkms.KeyInput{KeyID: key})
		return err
	}, pending, nil},
	{"DisableKey", func(s *localkms.Service, who localkms.Principal, key, _ string) error {
		_, err := s.DisableKey(ctx, who, &localkms.KeyInput{KeyID: key})
		return err
	}, pending, nil},
	{"ScheduleKeyDeletion", func(s *localkms.Service, who localkms.Principal, key, _ string) error {
		_, err := s.ScheduleKeyDeletion(ctx, who, &localkms.ScheduleKeyDeletionInput{KeyID: key, PendingWindowInDays: ptr(7)})
		return err
	}, pending, nil},
	{"CancelKeyDeletion", func(s *localkms.Service, who localkms.Principal, key, _ string) error {
		_, err := s.CancelKeyDeletion(ctx, who, &localkms.KeyInput{KeyID: key})
		return err
	}, nil, localkms.ErrState},
}

// What may be done about a key depends on who asks and on the key's state.
func TestWhoAndWhen(t *testing.T) {
	t.Parallel()
	s := service(t, t.TempDir(), nil)
	for _, op := range operations {
		for _, c := range []struct {
			name  string
			who   localkms.Principal
			state func(key string) error
			want  error
		}{
			{"nobody's", bob, nil, localkms.ErrNotAuthorized},
			{"of a disabled key", admin, func(key string) error {
				_, err := s.DisableKey(ctx, admin, &localkms.KeyInput{KeyID: key})
				return err
			}, op.disabled},
			{"of a key pending deletion", admin, func(key string) error {
				_, err := s.ScheduleKeyDeletion(ctx, admin, &localkms.ScheduleKeyDeletionInput{KeyID: key})
				return err
			}, op.whilePend},
		} {
			key := createKey(t, s)
			g, err := s.CreateGrant(ctx, admin, &localkms.CreateGrantInput{KeyID: key, GranteePrincipal: alice.ARN, Operations: []string{"Decrypt"}})
			must(t, err)
			if c.state != nil {
				must(t, c.state(key))
			}
			want(t, op.name+" "+c.name, op.call(s, c.who, key, g.GrantID), c.want)
		}
	}
}

func TestCreateKeyIsStrict(t *testing.T) {
	t.Parallel()
	s := service(t, t.TempDir(), nil)
	for name, c := range map[string]struct {
		in   localkms.CreateKeyInput
		want error
	}{
		"to sign":              {localkms.CreateKeyInput{KeyUsage: "SIGN_VERIFY"}, localkms.ErrUnsupported},
		"of another spec":      {localkms.CreateKeyInput{KeySpec: "RSA_2048"}, localkms.ErrUnsupported},
		"by the old name":      {localkms.CreateKeyInput{CustomerMasterKeySpec: "RSA_2048"}, localkms.ErrUnsupported},
		"made elsewhere":       {localkms.CreateKeyInput{Origin: "EXTERNAL"}, localkms.ErrUnsupported},
		"in many Regions":      {localkms.CreateKeyInput{MultiRegion: true}, localkms.ErrUnsupported},
		"long description":     {localkms.CreateKeyInput{Description: strings.Repeat("d", 8193)}, localkms.ErrInvalid},
		"control characters":   {localkms.CreateKeyInput{Description: "\x1b[31m"}, localkms.ErrInvalid},
		"all that may be":      {localkms.CreateKeyInput{KeyUsage: "ENCRYPT_DECRYPT", KeySpec: "SYMMETRIC_DEFAULT", Origin: "AWS_KMS", Description: strings.Repeat("d", 8192)}, nil},
		"lines of description": {localkms.CreateKeyInput{Description: "a\nb"}, nil},
	} {
		_, err := s.CreateKey(ctx, admin, &c.in)
		want(t, name, err, c.want)
	}
}

// A key goes 7 to 30 days after it was given up, no sooner: until then what it
// encrypted can be had back.
func TestDeletionWindow(t *testing.T) {
	t.Parallel()
	s := service(t, t.TempDir(), nil)
	for _, c := range []struct {
		days *int
		want error
	}{
		{ptr(-1), localkms.ErrInvalid}, {ptr(0), localkms.ErrInvalid}, {ptr(6), localkms.ErrInvalid}, {ptr(31), localkms.ErrInvalid},
		{ptr(7), nil}, {ptr(30), nil}, {nil, nil},
	} {
		key := createKey(t, s)
		_, err := s.ScheduleKeyDeletion(ctx, admin, &localkms.ScheduleKeyDeletionInput{KeyID: key, PendingWindowInDays: c.days})
		name := "no days"
		if c.days != nil {
			name = fmt.Sprint(*c.days, " days")
		}
		want(t, name, err, c.want)
		_, err = s.Encrypt(ctx, admin, &localkms.EncryptInput{KeyID: key, Plaintext: []byte("x")})
		if c.want == nil {
			want(t, name+", used", err, localkms.ErrPendingDeletion)
		} else {
			want(t, name+", used", err, nil)
		}
	}
}

// A period is 90 to 2560 days, and what is late is made up for once. A rotation
// on demand changes nothing of it.
func TestRotationPeriod(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		s := service(t, dir, nil)
		key := createKey(t, s)
		status := func() *localkms.RotationStatus {
			out, err := s.GetKeyRotationStatus(ctx, admin, &localkms.KeyInput{KeyID: key})
			must(t, err)
			return out
		}
		for _, c := range []struct {
			days *int
			is   int
			want error
		}{
			{nil, 365, nil}, {ptr(0), 365, localkms.ErrInvalid}, {ptr(89), 365, localkms.ErrInvalid}, {ptr(2561), 365, localkms.ErrInvalid},
			{ptr(2560), 2560, nil}, {ptr(90), 90, nil},
		} {
			_, err := s.EnableKeyRotation(ctx, admin, &localkms.EnableKeyRotationInput{KeyID: key, RotationPeriodInDays: c.days})
			want(t, fmt.Sprint("a period, then of ", c.is), err, c.want)
			if got := status().RotationPeriodInDays; got != c.is {
				t.Errorf("the period is %d, not %d", got, c.is)
			}
		}
		planned := status().NextRotationDate
		_, err := s.RotateKeyOnDemand(ctx, admin, &localkms.KeyInput{KeyID: key})
		must(t, err)
		if got := status().NextRotationDate; got != planned {
			t.Errorf("planned for %d, then for %d", planned, got)
		}
		time.Sleep(200 * 24 * time.Hour)
		for range 3 {
			encrypt(t, s, key, nil)
		}
		for _, include := range []string{"", "ROTATIONS_ONLY", "ALL_KEY_MATERIAL"} {
			out, err := s.ListKeyRotations(ctx, admin, &localkms.ListKeyRotationsInput{KeyID: key, IncludeKeyMaterial: include})
			if include == "ALL_KEY_MATERIAL" {
				want(t, include, err, localkms.ErrUnsupported)
				continue
			}
			must(t, err)
			var kinds []string
			for _, r := range out.Rotations {
				kinds = append(kinds, r.RotationType)
			}
			if !slices.Equal(kinds, []string{"ON_DEMAND", "AUTOMATIC"}) {
				t.Errorf("rotations: %v", kinds)
			}
		}
	})
}

// When the window has passed, nothing lists what belonged to the key, also
// before a change takes it out of the store.
func TestNothingIsLeftOfAKey(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		s := service(t, dir, nil)
		key := createKey(t, s)
		_, err := s.CreateAlias(ctx, admin, &localkms.AliasInput{AliasName: "alias/a", TargetKeyID: key})
		must(t, err)
		_, err = s.CreateGrant(ctx, admin, &localkms.CreateGrantInput{KeyID: key, GranteePrincipal: bob.ARN, RetiringPrincipal: alice.ARN, Operations: []string{"Decrypt"}})
		must(t, err)
		_, err = s.ScheduleKeyDeletion(ctx, admin, &localkms.ScheduleKeyDeletionInput{KeyID: key, PendingWindowInDays: ptr(7)})
		must(t, err)
		for _, left := range []int{1, 0} {
			aliases, err := s.ListAliases(ctx, admin, &localkms.KeyPageInput{})
			must(t, err)
			grants, err := s.ListRetirableGrants(ctx, admin, &localkms.ListRetirableGrantsInput{RetiringPrincipal: alice.ARN})
			must(t, err)
			keys, err := s.ListKeys(ctx, admin, &localkms.PageInput{})
			must(t, err)
			if len(aliases.Aliases) != left || len(grants.Grants) != left || len(keys.Keys) != left {
				t.Errorf("%v, %v, %v; of each %d", aliases, grants, keys, left)
			}
			time.Sleep(7 * 24 * time.Hour)
		}
	})
}
