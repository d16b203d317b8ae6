package localkms

import (
	"context"
	"maps"
	"sort"
	"strings"
)

// Tag is a key's tag.
type Tag struct{ TagKey, TagValue string }

// TagInput is the input of TagResource.
type TagInput struct {
	KeyID string `json:"KeyId"`
	Tags  []Tag
}

// UntagInput is the input of UntagResource.
type UntagInput struct {
	KeyID   string `json:"KeyId"`
	TagKeys []string
}

// TagResource sets tags of a key.
func (s *Service) TagResource(ctx context.Context, who Principal, in *TagInput) (*Empty, error) {
	more, names := map[string]string{}, []string{}
	for _, t := range in.Tags {
		more["aws:requesttag/"+strings.ToLower(t.TagKey)] = t.TagValue
		names = append(names, t.TagKey)
	}
	return s.retag(ctx, "TagResource", who, in.KeyID, more, names, func(k *key) (err error) {
		if len(in.Tags) == 0 {
			return invalid("Tags")
		}
		tags, err := s.tagged(k.Tags, in.Tags)
		if err == nil {
			k.Tags = tags
		}
		return err
	})
}

// UntagResource removes tags of a key.
func (s *Service) UntagResource(ctx context.Context, who Principal, in *UntagInput) (*Empty, error) {
	return s.retag(ctx, "UntagResource", who, in.KeyID, nil, in.TagKeys, func(k *key) error {
		if len(in.TagKeys) == 0 {
			return invalid("TagKeys")
		}
		for _, n := range in.TagKeys {
			delete(k.Tags, n)
		}
		if len(k.Tags) == 0 {
			k.Tags = nil
		}
		return nil
	})
}

func (s *Service) retag(ctx context.Context, op string, who Principal, name string, more map[string]string, names []string, change func(*key) error) (*Empty, error) {
	c := s.begin(op, who, nil)
	return write(ctx, c, func() (*Empty, error) {
		_, k, err := c.permitted(name, nil, access{op: op, more: more, multi: map[string][]string{"aws:tagkeys": names}})
		if err != nil {
			return nil, err
		}
		if k.Delete > 0 {
			return nil, ErrPendingDeletion
		}
		return &Empty{}, change(k)
	})
}

// TagList is ListResourceTags's output.
type TagList struct {
	Tags []Tag
	Page
}

// ListResourceTags lists the tags of a key.
func (s *Service) ListResourceTags(ctx context.Context, who Principal, in *KeyPageInput) (*TagList, error) {
	c := s.begin("ListResourceTags", who, nil)
	return read(ctx, c, false, func() (*TagList, error) {
		_, k, err := c.permitted(in.KeyID, nil, access{op: "ListResourceTags"})
		if err != nil {
			return nil, err
		}
		out := &TagList{}
		out.Tags, out.Page, err = page(sortedTags(k.Tags), in.PageInput, 50, 50, func(t Tag) string { return t.TagKey })
		return out, err
	})
}

func (s *Service) tagged(have map[string]string, tags []Tag) (map[string]string, error) {
	out := maps.Clone(have)
	seen := map[string]bool{}
	for _, t := range tags {
		if t.TagKey == "" || len(t.TagKey) > 128 || len(t.TagValue) > 256 || strings.HasPrefix(lowered(t.TagKey), "aws:") ||
			!validText(t.TagKey) || !validText(t.TagValue) || seen[t.TagKey] {
			return nil, ErrTag
		}
		seen[t.TagKey] = true
		if out == nil {
			out = map[string]string{}
		}
		out[t.TagKey] = t.TagValue
	}
	// Policies compare the names of tags without case.
	if !distinct(out) {
		return nil, fmtErr(ErrTag, "two keys that differ in case only")
	}
	if len(out) > s.o.Limits.Tags {
		return nil, fmtErr(ErrLimit, "%d tags", s.o.Limits.Tags)
	}
	return out, nil
}

func sortedTags(m map[string]string) []Tag {
	out := []Tag{}
	for k, v := range m {
		out = append(out, Tag{k, v})
	}
	sort.Slice(out, func(i, j int) bool { return out[i].TagKey < out[j].TagKey })
	return out
}
