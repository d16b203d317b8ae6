package localkms

import (
	"context"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Epoch is a time in milliseconds since 1970, written as AWS's JSON protocol
// writes times: seconds, with a fraction.
type Epoch int64

// MarshalJSON writes seconds.
func (e Epoch) MarshalJSON() ([]byte, error) {
	return fmt.Appendf(nil, "%d.%03d", int64(e)/1000, int64(e)%1000), nil
}

// Empty is the output of calls that have none.
type Empty struct{}

// KeyInput names a key: by ID, ARN, alias or alias's ARN.
type KeyInput struct {
	KeyID string `json:"KeyId"`
}

// KeyOutput names a key by its ARN.
type KeyOutput struct {
	KeyID string `json:"KeyId"`
}

// id names a version's material without telling anything about it.
func (v version) id() string {
	b, err := hkdf.Key(sha256.New, v.Material, nil, "cloister/localkms/material-id", 32)
	if err != nil {
		return ""
	}
	return hex.EncodeToString(b)
}

// KeyMetadata is what DescribeKey says of a key.
type KeyMetadata struct {
	AWSAccountID          string `json:"AWSAccountId"`
	KeyID                 string `json:"KeyId"`
	Arn                   string
	CreationDate          Epoch
	Enabled               bool
	Description           string
	KeyUsage              string
	KeyState              string
	DeletionDate          Epoch `json:",omitzero"`
	Origin                string
	KeyManager            string
	CustomerMasterKeySpec string
	KeySpec               string
	EncryptionAlgorithms  []string
	MultiRegion           bool
	CurrentKeyMaterialID  string `json:"CurrentKeyMaterialId"`
}

// KeyDescription is the output of CreateKey and DescribeKey.
type KeyDescription struct{ KeyMetadata KeyMetadata }

func (k *key) stateName() string {
	switch {
	case k.Delete > 0:
		return "PendingDeletion"
	case k.Disabled:
		return "Disabled"
	}
	return "Enabled"
}

func (s *Service) describe(id string, k *key) *KeyDescription {
	return &KeyDescription{KeyMetadata{AWSAccountID: s.o.Account, KeyID: id, Arn: s.arn("key/" + id), CreationDate: Epoch(k.Created),
		Enabled: k.ready() == nil, Description: k.Description, KeyUsage: "ENCRYPT_DECRYPT", KeyState: k.stateName(), DeletionDate: Epoch(k.Delete),
		Origin: "AWS_KMS", KeyManager: "CUSTOMER", CustomerMasterKeySpec: "SYMMETRIC_DEFAULT", KeySpec: "SYMMETRIC_DEFAULT",
		EncryptionAlgorithms: []string{"SYMMETRIC_DEFAULT"}, CurrentKeyMaterialID: k.Versions[len(k.Versions)-1].id()}}
}

// CreateKeyInput is AWS's. Only symmetric keys whose material is made here are
// supported.
type CreateKeyInput struct {
	Policy, Description, KeyUsage, KeySpec, CustomerMasterKeySpec, Origin string

	BypassPolicyLockoutSafetyCheck, MultiRegion bool

	Tags []Tag
}

// CreateKey makes a key.
func (s *Service) CreateKey(ctx context.Context, who Principal, in *CreateKeyInput) (*KeyDescription, error) {
	c := s.begin("CreateKey", who, nil)
	return write(ctx, c, func() (*KeyDescription, error) {
		for got, want := range map[string]string{in.KeyUsage: "ENCRYPT_DECRYPT", in.KeySpec: "SYMMETRIC_DEFAULT", in.CustomerMasterKeySpec: "SYMMETRIC_DEFAULT", in.Origin: "AWS_KMS"} {
			if got != "" && got != want {
				return nil, fmtErr(ErrUnsupported, "keys are of usage ENCRYPT_DECRYPT, spec SYMMETRIC_DEFAULT and origin AWS_KMS")
			}
		}
		if in.MultiRegion {
			return nil, fmtErr(ErrUnsupported, "multi-Region keys")
		}
		k := newKey(c.now)
		tags, err := s.tagged(nil, in.Tags)
		if err != nil {
			return nil, err
		}
		k.Tags = tags
		more, names := map[string]string{"kms:bypasspolicylockoutsafetycheck": strconv.FormatBool(in.BypassPolicyLockoutSafetyCheck),
			"kms:keyspec": "SYMMETRIC_DEFAULT", "kms:keyusage": "ENCRYPT_DECRYPT", "kms:keyorigin": "AWS_KMS", "kms:multiregion": "false"}, map[string][]string{}
		for n, v := range tags {
			more["aws:requesttag/"+strings.ToLower(n)] = v
			names["aws:tagkeys"] = append(names["aws:tagkeys"], n)
		}
		if err := c.allowAccount("CreateKey", more, names); err != nil {
			return nil, err
		}
		if len(c.st.Keys) >= s.o.Limits.Keys {
			return nil, fmtErr(ErrLimit, "%d keys", s.o.Limits.Keys)
		}
		if len(in.Description) > 8192 || !validText(strings.ReplaceAll(in.Description, "\n", "")) {
			return nil, invalid("Description")
		}
		k.Description = in.Description
		id := newKeyID()
		if in.Policy != "" {
			if err := c.setPolicy(id, k, in.Policy, in.BypassPolicyLockoutSafetyCheck); err != nil {
				return nil, err
			}
		}
		c.st.Keys[id], c.event.KeyID = k, id
		return s.describe(id, k), nil
	})
}

// newKeyID makes an ID in the form that AWS's have.
func newKeyID() string {
	s := newID()
	return strings.Join([]string{s[:8], s[8:12], s[12:16], s[16:20], s[20:]}, "-")
}

// DescribeKeyInput is AWS's.
type DescribeKeyInput struct {
	KeyID       string `json:"KeyId"`
	GrantTokens []string
}

// DescribeKey says what a key is, in whatever state.
func (s *Service) DescribeKey(ctx context.Context, who Principal, in *DescribeKeyInput) (*KeyDescription, error) {
	c := s.begin("DescribeKey", who, nil)
	return read(ctx, c, false, func() (*KeyDescription, error) {
		id, k, err := c.permitted(in.KeyID, in.GrantTokens, access{op: "DescribeKey", grantOp: "DescribeKey"})
		if err != nil {
			return nil, err
		}
		return s.describe(id, k), nil
	})
}

// KeyEntry is one entry of ListKeys.
type KeyEntry struct {
	KeyID  string `json:"KeyId"`
	KeyArn string
}

// Keys is ListKeys's output.
type Keys struct {
	Keys []KeyEntry
	Page
}

// ListKeys lists the keys of the account.
func (s *Service) ListKeys(ctx context.Context, who Principal, in *PageInput) (*Keys, error) {
	c := s.begin("ListKeys", who, nil)
	return read(ctx, c, false, func() (*Keys, error) {
		if err := c.allowAccount("ListKeys", nil, nil); err != nil {
			return nil, err
		}
		ids := slices.Sorted(maps.Keys(c.st.Keys))
		var all []KeyEntry
		for _, id := range ids {
			if c.st.live(id, c.now) != nil {
				all = append(all, KeyEntry{id, s.arn("key/" + id)})
			}
		}
		out := &Keys{}
		var err error
		out.Keys, out.Page, err = page(all, *in, 100, 1000, func(k KeyEntry) string { return k.KeyID })
		return out, err
	})
}

// EnableKey lets a key be used again.
func (s *Service) EnableKey(ctx context.Context, who Principal, in *KeyInput) (*Empty, error) {
	return s.setDisabled(ctx, "EnableKey", who, in, false)
}

// DisableKey refuses every use of a key from the next call on.
func (s *Service) DisableKey(ctx context.Context, who Principal, in *KeyInput) (*Empty, error) {
	return s.setDisabled(ctx, "DisableKey", who, in, true)
}

func (s *Service) setDisabled(ctx context.Context, op string, who Principal, in *KeyInput, disabled bool) (*Empty, error) {
	c := s.begin(op, who, nil)
	return write(ctx, c, func() (*Empty, error) {
		_, k, err := c.permitted(in.KeyID, nil, access{op: op})
		if err != nil {
			return nil, err
		}
		if k.Delete > 0 {
			return nil, ErrPendingDeletion
		}
		k.Disabled = disabled
		return &Empty{}, nil
	})
}

// ScheduleKeyDeletionInput is AWS's.
type ScheduleKeyDeletionInput struct {
	KeyID               string `json:"KeyId"`
	PendingWindowInDays *int
}

// Deletion is ScheduleKeyDeletion's output.
type Deletion struct {
	KeyID               string `json:"KeyId"`
	DeletionDate        Epoch
	KeyState            string
	PendingWindowInDays int
}

// ScheduleKeyDeletion ends every use of a key at once, and the key after 7 to
// 30 days, 30 when none are named. What it encrypted is lost then.
func (s *Service) ScheduleKeyDeletion(ctx context.Context, who Principal, in *ScheduleKeyDeletionInput) (*Deletion, error) {
	c := s.begin("ScheduleKeyDeletion", who, nil)
	return write(ctx, c, func() (*Deletion, error) {
		days := 30
		if in.PendingWindowInDays != nil {
			days = *in.PendingWindowInDays
		}
		if days < 7 || days > 30 {
			return nil, invalid("PendingWindowInDays is 7 to 30")
		}
		id, k, err := c.permitted(in.KeyID, nil, access{op: "ScheduleKeyDeletion",
			more: map[string]string{"kms:scheduledeletionpendingwindowindays": strconv.Itoa(days), "kms:schedulekeydeletionpendingwindowindays": strconv.Itoa(days)}})
		if err != nil {
			return nil, err
		}
		if k.Delete > 0 {
			return nil, ErrPendingDeletion
		}
		k.Window, k.Delete = days, c.now.Add(time.Duration(days)*day).UnixMilli()
		return &Deletion{s.arn("key/" + id), Epoch(k.Delete), k.stateName(), days}, nil
	})
}

// CancelKeyDeletion keeps a key, disabled.
func (s *Service) CancelKeyDeletion(ctx context.Context, who Principal, in *KeyInput) (*KeyOutput, error) {
	c := s.begin("CancelKeyDeletion", who, nil)
	return write(ctx, c, func() (*KeyOutput, error) {
		id, k, err := c.permitted(in.KeyID, nil, access{op: "CancelKeyDeletion"})
		if err != nil {
			return nil, err
		}
		if k.Delete == 0 {
			return nil, fmtErr(ErrState, "the key is not pending deletion")
		}
		k.Delete, k.Window, k.Disabled = 0, 0, true
		return &KeyOutput{s.arn("key/" + id)}, nil
	})
}
