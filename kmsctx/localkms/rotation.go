package localkms

import (
	"context"
	"slices"
	"strconv"
	"time"
)

const day = 24 * time.Hour

func newKey(now time.Time) *key {
	return &key{Created: now.UnixMilli(), Versions: []version{{Material: newMaterial(), Created: now.UnixMilli()}}}
}

func (k *key) rotate(now time.Time, onDemand bool) {
	k.Versions = append(k.Versions, version{newMaterial(), now.UnixMilli(), onDemand})
	if !onDemand {
		// A store that slept through several periods makes one version.
		for k.due(now) {
			k.Next += (time.Duration(k.Period) * day).Milliseconds()
		}
	}
}

// due reports whether automatic rotation is late. A key that is disabled or to
// be deleted waits.
func (k *key) due(now time.Time) bool {
	return k.Period > 0 && k.ready() == nil && now.UnixMilli() >= k.Next
}

// firstDue is when the next key is to be rotated; 0 when none is.
func (s *state) firstDue() int64 {
	var first int64
	for _, k := range s.Keys {
		if k.Period > 0 && k.ready() == nil && (first == 0 || k.Next < first) {
			first = k.Next
		}
	}
	return first
}

func (k *key) onDemand() (n int) {
	for _, v := range k.Versions {
		if v.OnDemand {
			n++
		}
	}
	return n
}

// EnableKeyRotationInput is AWS's.
type EnableKeyRotationInput struct {
	KeyID                string `json:"KeyId"`
	RotationPeriodInDays *int
}

// EnableKeyRotation gives a key new material every period: 90 to 2560 days, 365
// when none is named. What the old material encrypted still opens.
func (s *Service) EnableKeyRotation(ctx context.Context, who Principal, in *EnableKeyRotationInput) (*Empty, error) {
	c := s.begin("EnableKeyRotation", who, nil)
	return write(ctx, c, func() (*Empty, error) {
		days := 365
		if in.RotationPeriodInDays != nil {
			days = *in.RotationPeriodInDays
		}
		if days < 90 || days > 2560 {
			return nil, invalid("RotationPeriodInDays is 90 to 2560")
		}
		_, k, err := c.permitted(in.KeyID, nil, access{op: "EnableKeyRotation", more: map[string]string{"kms:rotationperiodindays": strconv.Itoa(days)}})
		if err != nil {
			return nil, err
		}
		if err := k.ready(); err != nil {
			return nil, err
		}
		if k.Period != days {
			k.Period, k.Next = days, c.now.Add(time.Duration(days)*day).UnixMilli()
		}
		return &Empty{}, nil
	})
}

// DisableKeyRotation ends automatic rotation.
func (s *Service) DisableKeyRotation(ctx context.Context, who Principal, in *KeyInput) (*Empty, error) {
	c := s.begin("DisableKeyRotation", who, nil)
	return write(ctx, c, func() (*Empty, error) {
		_, k, err := c.permitted(in.KeyID, nil, access{op: "DisableKeyRotation"})
		if err != nil {
			return nil, err
		}
		if err := k.ready(); err != nil {
			return nil, err
		}
		k.Period, k.Next = 0, 0
		return &Empty{}, nil
	})
}

// RotationStatus is GetKeyRotationStatus's output.
type RotationStatus struct {
	KeyID                string `json:"KeyId"`
	KeyRotationEnabled   bool
	RotationPeriodInDays int   `json:",omitempty"`
	NextRotationDate     Epoch `json:",omitzero"`
}

// GetKeyRotationStatus says whether and when a key gets new material.
func (s *Service) GetKeyRotationStatus(ctx context.Context, who Principal, in *KeyInput) (*RotationStatus, error) {
	c := s.begin("GetKeyRotationStatus", who, nil)
	return read(ctx, c, false, func() (*RotationStatus, error) {
		id, k, err := c.permitted(in.KeyID, nil, access{op: "GetKeyRotationStatus"})
		if err != nil {
			return nil, err
		}
		if k.Delete > 0 {
			return nil, ErrPendingDeletion
		}
		return &RotationStatus{s.arn("key/" + id), k.Period > 0, k.Period, Epoch(k.Next)}, nil
	})
}

// RotateKeyOnDemand gives a key new material now. Automatic rotation goes on as
// planned.
func (s *Service) RotateKeyOnDemand(ctx context.Context, who Principal, in *KeyInput) (*KeyOutput, error) {
	c := s.begin("RotateKeyOnDemand", who, nil)
	return write(ctx, c, func() (*KeyOutput, error) {
		id, k, err := c.permitted(in.KeyID, nil, access{op: "RotateKeyOnDemand"})
		if err != nil {
			return nil, err
		}
		if err := k.ready(); err != nil {
			return nil, err
		}
		if k.onDemand() >= s.o.Limits.Rotations {
			return nil, fmtErr(ErrLimit, "%d rotations on demand", s.o.Limits.Rotations)
		}
		k.rotate(c.now, true)
		return &KeyOutput{s.arn("key/" + id)}, nil
	})
}

// Rotation is one entry of ListKeyRotations.
type Rotation struct {
	KeyID         string `json:"KeyId"`
	KeyMaterialID string `json:"KeyMaterialId"`
	RotationDate  Epoch
	RotationType  string
}

// Rotations is ListKeyRotations's output.
type Rotations struct {
	Rotations []Rotation
	Page
}

// ListKeyRotationsInput is AWS's. IncludeKeyMaterial may be absent or
// ROTATIONS_ONLY.
type ListKeyRotationsInput struct {
	KeyID              string `json:"KeyId"`
	IncludeKeyMaterial string
	PageInput
}

// ListKeyRotations lists the rotations that were done.
func (s *Service) ListKeyRotations(ctx context.Context, who Principal, in *ListKeyRotationsInput) (*Rotations, error) {
	c := s.begin("ListKeyRotations", who, nil)
	return read(ctx, c, false, func() (*Rotations, error) {
		if in.IncludeKeyMaterial != "" && in.IncludeKeyMaterial != "ROTATIONS_ONLY" {
			return nil, fmtErr(ErrUnsupported, "IncludeKeyMaterial")
		}
		id, k, err := c.permitted(in.KeyID, nil, access{op: "ListKeyRotations"})
		if err != nil {
			return nil, err
		}
		var all []Rotation
		for i, v := range k.Versions[1:] {
			kind := "AUTOMATIC"
			if v.OnDemand {
				kind = "ON_DEMAND"
			}
			all = append(all, Rotation{s.arn("key/" + id), k.Versions[i+1].id(), Epoch(v.Created), kind})
		}
		slices.SortFunc(all, func(a, b Rotation) int { return int(a.RotationDate - b.RotationDate) })
		out := &Rotations{}
		out.Rotations, out.Page, err = page(all, in.PageInput, 100, 1000, func(r Rotation) string { return strconv.FormatInt(int64(r.RotationDate), 10) + r.KeyMaterialID })
		return out, err
	})
}
