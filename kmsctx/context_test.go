package kmsctx_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/cloisterdev/cloister/kmsctx"
)

// A withheld key that the context lacks was meant for another pair, and nothing
// is sealed that would show that one.
func TestWithheldKeyIsThere(t *testing.T) {
	t.Parallel()
	e := envelope(t, 1, &kmsctx.Options{Withheld: []string{"tenant"}, AllowRewrap: true})
	good, typo := ec(t, "tenant", "a"), ec(t, "tenent", "a")
	ctx := t.Context()
	for name, c := range map[string]kmsctx.Context{"": good, "a slip": typo} {
		_, err1 := e.Seal(ctx, nil, text(5), c)
		_, err2 := e.NewWriter(ctx, io.Discard, c)
		_, err3 := e.EncryptReader(ctx, bytes.NewReader(text(5)), c)
		_, head, err4 := e.NewDetachedWriter(ctx, io.Discard, good)
		_, err5 := e.Rewrap(ctx, head, good, nil, c)
		if err4 != nil {
			t.Fatal(err4)
		}
		for i, err := range []error{err1, err2, err3, err5} {
			if (name == "") != (err == nil) || err != nil && !errors.Is(err, kmsctx.ErrContext) {
				t.Errorf("%q, way %d: %v", name, i, err)
			}
		}
	}
}

func TestWithheld(t *testing.T) {
	t.Parallel()
	c := ec(t, "tenant", "a", "customization", "b", "purpose", "test")
	for _, suite := range []kmsctx.Suite{kmsctx.Committing, kmsctx.CommittingSigned} {
		e := envelope(t, 1, &kmsctx.Options{Withheld: []string{"tenant", "customization"}, Suite: suite})
		m := seal(t, e, c)
		u, err := kmsctx.InspectUnverified(m)
		delete(u.Context, "aws-crypto-public-key")
		if err != nil || len(u.Context) != 1 || u.Context["purpose"] != "test" {
			t.Errorf("the header says %v, %v", u.Context, err)
		}
		open(t, e, m, c, nil)
		open(t, e, m, ec(t, "tenant", "a", "purpose", "test"), kmsctx.ErrNoMatchingKey)
		open(t, e, m, ec(t, "tenant", "a", "customization", "c", "purpose", "test"), kmsctx.ErrNoMatchingKey)
		open(t, e, m, ec(t, "tenant", "a", "customization", "b"), kmsctx.ErrContextMismatch)
		open(t, e, m, ec(t, "tenant", "a", "customization", "b", "purpose", "x"), kmsctx.ErrContextMismatch)
		open(t, e, m, ec(t, "tenant", "a", "customization", "b", "purpose", "test", "more", "x"), kmsctx.ErrContextMismatch)
		open(t, envelope(t, 1, nil), m, c, kmsctx.ErrContextMismatch) // no list, no withheld pairs
		// Stored pairs open with the list too.
		open(t, e, seal(t, envelope(t, 1, &kmsctx.Options{Suite: suite}), c), c, nil)
		// The header's tag alone refuses another value, where a keyring binds none.
		lie, err := kmsctx.New(unbound{ring(t, 1)}, &kmsctx.Options{Withheld: []string{"tenant", "customization"}, Suite: suite})
		if err != nil {
			t.Fatal(err)
		}
		m = seal(t, lie, c)
		open(t, lie, m, c, nil)
		open(t, lie, m, ec(t, "tenant", "a", "customization", "c", "purpose", "test"), kmsctx.ErrHeaderAuth)
	}
	all := envelope(t, 1, &kmsctx.Options{Withheld: []string{"tenant", "customization", "purpose"}})
	m := seal(t, all, c)
	if u, err := kmsctx.InspectUnverified(m); err != nil || len(u.Context) != 0 {
		t.Errorf("everything withheld: %v, %v", u.Context, err)
	}
	open(t, all, m, c, nil)
	open(t, all, m, ec(t, "tenant", "a"), kmsctx.ErrNoMatchingKey)
}

// unbound is a keyring that forgets the context, as one over RSA must.
type unbound struct{ kmsctx.Keyring }

func (u unbound) GenerateDataKey(ctx context.Context, _ kmsctx.Context) (*kmsctx.DataKey, error) {
	c, _ := kmsctx.ForeignContext(nil)
	return u.Keyring.GenerateDataKey(ctx, c)
}

func (u unbound) DecryptDataKey(ctx context.Context, _ kmsctx.Context, keys []kmsctx.EncryptedDataKey) (*kmsctx.DataKey, error) {
	c, _ := kmsctx.ForeignContext(nil)
	return u.Keyring.DecryptDataKey(ctx, c, keys)
}

func TestSubsetAndRequired(t *testing.T) {
	t.Parallel()
	c := ec(t, "tenant", "a", "purpose", "test")
	m := seal(t, envelope(t, 1, nil), c)
	signed := seal(t, envelope(t, 1, &kmsctx.Options{Suite: kmsctx.CommittingSigned}), c)
	sub := envelope(t, 1, &kmsctx.Options{Subset: true})
	for _, m := range [][]byte{m, signed} {
		open(t, sub, m, ec(t, "tenant", "a"), nil)
		open(t, sub, m, c, nil)
		open(t, sub, m, ec(t, "tenant", "b"), kmsctx.ErrContextMismatch)
		open(t, sub, m, ec(t, "tenant", "a", "more", "x"), kmsctx.ErrContextMismatch)
		open(t, envelope(t, 1, nil), m, ec(t, "tenant", "a"), kmsctx.ErrContextMismatch)
	}
	open(t, envelope(t, 1, &kmsctx.Options{RefuseSigned: true}), signed, c, kmsctx.ErrUnsupported)
	open(t, envelope(t, 1, &kmsctx.Options{RefuseSigned: true}), m, c, nil)

	need := envelope(t, 1, &kmsctx.Options{RequiredKeys: []string{"tenant", "customization"}})
	for name, seal := range sealWays {
		if _, err := seal(t, need, nil, c); !errors.Is(err, kmsctx.ErrContext) {
			t.Errorf("%s without a required key: %v", name, err)
		}
		if _, err := seal(t, need, nil, kmsctx.Context{}); !errors.Is(err, kmsctx.ErrContext) {
			t.Errorf("%s without a context: %v", name, err)
		}
	}
	for name, open := range openWays {
		if _, err := open(need, m, c); !errors.Is(err, kmsctx.ErrContext) {
			t.Errorf("%s without a required key: %v", name, err)
		}
		if _, err := open(need, m, kmsctx.Context{}); !errors.Is(err, kmsctx.ErrContext) {
			t.Errorf("%s without a context: %v", name, err)
		}
	}
	full := ec(t, "tenant", "a", "customization", "b")
	open(t, need, seal(t, need, full), full, nil)
}

func TestRewrap(t *testing.T) {
	t.Parallel()
	from, to := ec(t, "tenant", "a"), ec(t, "tenant", "b")
	o := &kmsctx.Options{FrameLength: 16, AllowRewrap: true}
	mine := envelope(t, 1, o)
	theirs, err := kmsctx.New(ring(t, 2), o)
	if err != nil {
		t.Fatal(err)
	}
	plain := text(50)
	m, err := mine.Seal(t.Context(), nil, plain, from)
	if err != nil {
		t.Fatal(err)
	}
	u, err := kmsctx.InspectUnverified(m)
	if err != nil {
		t.Fatal(err)
	}
	head, body := m[:u.HeaderLength], m[u.HeaderLength:]
	moved, err := mine.Rewrap(t.Context(), head, from, ring(t, 2).(kmsctx.Wrapper), to)
	if err != nil {
		t.Fatal(err)
	}
	for name, open := range openWays {
		if got, err := open(theirs, append(bytes.Clone(moved), body...), to); err != nil || !bytes.Equal(got, plain) {
			t.Errorf("%s of what moved: %v", name, err)
		}
	}
	if got, err := theirs.OpenDetached(t.Context(), nil, moved, body, to); err != nil || !bytes.Equal(got, plain) {
		t.Errorf("OpenDetached: %v", err)
	}
	for name, tc := range map[string]struct {
		e    *kmsctx.Envelope
		head []byte
		c    kmsctx.Context
		want error
	}{
		"the old context":    {theirs, moved, from, kmsctx.ErrContextMismatch},
		"the old key":        {mine, moved, to, kmsctx.ErrNoMatchingKey},
		"the old header":     {theirs, head, from, kmsctx.ErrNoMatchingKey},
		"more than a header": {theirs, append(bytes.Clone(moved), 0), to, kmsctx.ErrTrailing},
		"less than a header": {theirs, moved[:len(moved)-1], to, kmsctx.ErrTruncated},
	} {
		if got, err := tc.e.OpenDetached(t.Context(), nil, tc.head, body, tc.c); !errors.Is(err, tc.want) || got != nil {
			t.Errorf("%s: %v", name, err)
		}
		if got, err := tc.e.Rewrap(t.Context(), tc.head, tc.c, nil, to); !errors.Is(err, tc.want) || got != nil {
			t.Errorf("rewrap with %s: %v", name, err)
		}
	}
	strict := envelope(t, 1, nil)
	noWrap, err := kmsctx.New(unbound{ring(t, 1)}, o)
	if err != nil {
		t.Fatal(err)
	}
	signed, err := envelope(t, 1, &kmsctx.Options{Suite: kmsctx.CommittingSigned}).Seal(t.Context(), nil, nil, from)
	if err != nil {
		t.Fatal(err)
	}
	us, err := kmsctx.InspectUnverified(signed)
	if err != nil {
		t.Fatal(err)
	}
	over, cancel := context.WithCancel(t.Context())
	cancel()
	for name, f := range map[string]func() ([]byte, error){
		"not allowed":   func() ([]byte, error) { return strict.Rewrap(t.Context(), head, from, nil, to) },
		"no wrapper":    func() ([]byte, error) { return noWrap.Rewrap(t.Context(), head, from, nil, to) },
		"signed":        func() ([]byte, error) { return mine.Rewrap(t.Context(), signed[:us.HeaderLength], from, nil, to) },
		"wrong context": func() ([]byte, error) { return mine.Rewrap(t.Context(), head, to, nil, to) },
		"no context":    func() ([]byte, error) { return mine.Rewrap(t.Context(), head, from, nil, kmsctx.Context{}) },
		"cancelled":     func() ([]byte, error) { return mine.Rewrap(over, head, from, nil, to) },
	} {
		got, err := f()
		want := map[string]error{"wrong context": kmsctx.ErrContextMismatch, "no context": kmsctx.ErrContext, "cancelled": context.Canceled}[name]
		if want == nil {
			want = kmsctx.ErrUnsupported
		}
		if !errors.Is(err, want) || got != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestForeignContext(t *testing.T) {
	t.Parallel()
	for name, m := range map[string]map[string]string{
		"reserved": {"aws-crypto-x": "a"}, "empty key": {"": "a"}, "bad key": {"\xff": "a"}, "bad value": {"a": "\xff"},
		"too long": {"a": strings.Repeat("x", 1<<16-7)},
	} {
		if c, err := kmsctx.ForeignContext(m); !errors.Is(err, kmsctx.ErrContext) || !c.IsZero() {
			t.Errorf("%s: %v", name, err)
		}
	}
	e := envelope(t, 1, &kmsctx.Options{MaxHeader: 1 << 17})
	for name, m := range map[string]map[string]string{
		"none": nil, "mixed case": {"Tenant": "A", "tenantId": "b"}, "beyond the BMP": {"𐐷": "😀", "ﬀ": "x"}, "empty value": {"a": ""},
		"long": {"a": strings.Repeat("x", 1<<16-8)},
	} {
		c := foreign(t, m)
		sealed := seal(t, e, c)
		open(t, e, sealed, c, nil)
		more := c.Pairs()
		more["b"] = "c"
		if c2, err := kmsctx.ForeignContext(more); err == nil {
			open(t, e, sealed, c2, kmsctx.ErrContextMismatch)
		}
		open(t, e, sealed, kmsctx.Context{}, kmsctx.ErrContext)
		u, err := kmsctx.InspectUnverified(sealed)
		if err != nil || len(u.Context) != len(m) {
			t.Errorf("%s: %v, %v", name, u.Context, err)
		}
	}
}

func TestConditions(t *testing.T) {
	t.Parallel()
	c := foreign(t, map[string]string{"tenant": "tn-1", "purpose": "a${b}"})
	g, err := c.GrantConstraint()
	b, _ := json.Marshal(g)
	if err != nil || string(b) != `{"EncryptionContextEquals":{"purpose":"a${b}","tenant":"tn-1"}}` {
		t.Errorf("%s, %v", b, err)
	}
	p, err := c.PolicyCondition()
	b, _ = json.Marshal(p)
	want := `{"ForAllValues:StringEquals":{"kms:EncryptionContextKeys":["purpose","tenant"]},` +
		`"StringEquals":{"kms:EncryptionContext:purpose":["a${$}{b}"],"kms:EncryptionContext:tenant":["tn-1"]}}`
	if err != nil || string(b) != want {
		t.Errorf("%s, %v", b, err)
	}
	s, err := base64.StdEncoding.DecodeString(c.S3Header())
	if err != nil || string(s) != `{"purpose":"a${b}","tenant":"tn-1"}` {
		t.Errorf("%s, %v", s, err)
	}
	nine := map[string]string{}
	for _, k := range strings.Split("abcdefghi", "") {
		nine[k] = "x"
	}
	for name, c := range map[string]kmsctx.Context{
		"zero": {}, "none": foreign(t, nil), "nine pairs": foreign(t, nine), "case": foreign(t, map[string]string{"A": "x", "a": "y"}),
		"long": foreign(t, map[string]string{"a": strings.Repeat("x", 384)}),
	} {
		if g, err := c.GrantConstraint(); !errors.Is(err, kmsctx.ErrContext) || g.Equals != nil {
			t.Errorf("a grant for %s: %v", name, err)
		}
		p, err := c.PolicyCondition()
		if none := len(c.Pairs()) == 0; none != (c.S3Header() == "") || none != errors.Is(err, kmsctx.ErrContext) || none != (p == nil) {
			t.Errorf("a policy for %s: %v, %v", name, p, err)
		}
	}
}

func TestMultiOpensWithAnyOfItsKeys(t *testing.T) {
	t.Parallel()
	c := ec(t, "tenant", "a")
	m, err := kmsctx.Multi(ring(t, 1), ring(t, 2), ring(t, 3))
	if err != nil {
		t.Fatal(err)
	}
	e, err := kmsctx.New(m, nil)
	if err != nil {
		t.Fatal(err)
	}
	sealed := seal(t, e, c)
	if u, err := kmsctx.InspectUnverified(sealed); err != nil || len(u.Keys) != 3 {
		t.Errorf("%d keys, %v", len(u.Keys), err)
	}
	for _, fill := range []byte{1, 2, 3} {
		open(t, envelope(t, fill, nil), sealed, c, nil)
		open(t, e, seal(t, envelope(t, fill, nil), c), c, nil)
	}
	open(t, envelope(t, 4, nil), sealed, c, kmsctx.ErrNoMatchingKey)
	open(t, e, seal(t, envelope(t, 4, nil), c), c, kmsctx.ErrNoMatchingKey)
	// A child that cannot wrap makes no message with a key less.
	dead, err := kmsctx.Multi(ring(t, 1), refusing{ring(t, 2)})
	if err != nil {
		t.Fatal(err)
	}
	if e, err = kmsctx.New(dead, nil); err != nil {
		t.Fatal(err)
	}
	if got, err := e.Seal(t.Context(), nil, nil, c); !errors.Is(err, kmsctx.ErrNotAuthorized) || got != nil {
		t.Errorf("a child that refuses: %v", err)
	}
	if err := func() error { _, err := e.Open(t.Context(), nil, seal(t, envelope(t, 4, nil), c), c); return err }(); !errors.Is(err, kmsctx.ErrNoMatchingKey) || !errors.Is(err, kmsctx.ErrKeyDisabled) {
		t.Errorf("the error is not all of theirs: %v", err)
	}
}

type refusing struct{ kmsctx.Keyring }

func (refusing) WrapDataKey(context.Context, kmsctx.Context, []byte) ([]kmsctx.EncryptedDataKey, error) {
	return nil, kmsctx.ErrNotAuthorized
}

func (refusing) DecryptDataKey(context.Context, kmsctx.Context, []kmsctx.EncryptedDataKey) (*kmsctx.DataKey, error) {
	return nil, kmsctx.ErrKeyDisabled
}
