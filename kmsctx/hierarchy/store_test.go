package hierarchy_test

import (
	"context"
	"errors"
	"maps"
	"strings"
	"sync"
	"testing"

	ddb "github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/smithy-go"

	"github.com/cloisterdev/cloister/kmsctx"
	"github.com/cloisterdev/cloister/kmsctx/hierarchy"
)

func str(s string) ddb.AttributeValue { return &ddb.AttributeValueMemberS{Value: s} }

func TestPlaceRefuses(t *testing.T) {
	t.Parallel()
	w := testWorld(t)
	with := func(f func(*hierarchy.Place)) hierarchy.Place { p := w.place; f(&p); return p }
	for name, p := range map[string]hierarchy.Place{
		"nothing":      {},
		"no table":     with(func(p *hierarchy.Place) { p.Table = "" }),
		"table's ARN":  with(func(p *hierarchy.Place) { p.Table = "arn:aws:dynamodb:us-east-1:111122223333:table/x" }),
		"no name":      with(func(p *hierarchy.Place) { p.Name = "" }),
		"line":         with(func(p *hierarchy.Place) { p.Name += "\n" }),
		"no key":       with(func(p *hierarchy.Place) { p.Key = "" }),
		"alias":        with(func(p *hierarchy.Place) { p.Key = "arn:aws:kms:us-east-1:000000000000:alias/a" }),
		"key's ID":     with(func(p *hierarchy.Place) { p.Key = p.Key[strings.LastIndexByte(p.Key, '/')+1:] }),
		"another line": with(func(p *hierarchy.Place) { p.Key += "\n" }),
	} {
		if s, err := hierarchy.NewStore(w.table, w.keys, p); !errors.Is(err, kmsctx.ErrMalformed) || s != nil {
			t.Errorf("store, %s: %v", name, err)
		}
		if a, err := hierarchy.NewAdmin(w.table, w.keys, p); !errors.Is(err, kmsctx.ErrMalformed) || a != nil {
			t.Errorf("admin, %s: %v", name, err)
		}
	}
	for name, f := range map[string]func() error{
		"items":  func() error { _, err := hierarchy.NewStore(nil, w.keys, w.place); return err },
		"keys":   func() error { _, err := hierarchy.NewStore(w.table, nil, w.place); return err },
		"writer": func() error { _, err := hierarchy.NewAdmin(nil, w.keys, w.place); return err },
		"maker":  func() error { _, err := hierarchy.NewAdmin(w.table, nil, w.place); return err },
	} {
		if err := f(); !errors.Is(err, kmsctx.ErrMalformed) {
			t.Errorf("no %s: %v", name, err)
		}
	}
}

func TestCreateRefuses(t *testing.T) {
	t.Parallel()
	w := testWorld(t)
	foreign, err := kmsctx.ForeignContext(nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		id    string
		bound kmsctx.Context
		want  error
	}{
		"no ID":         {"", of(t, "tn-1"), kmsctx.ErrMalformed},
		"blank":         {"tn 1", of(t, "tn-1"), kmsctx.ErrMalformed},
		"long":          {strings.Repeat("x", 257), of(t, "tn-1"), kmsctx.ErrMalformed},
		"zero context":  {"tn-1", kmsctx.Context{}, kmsctx.ErrContext},
		"empty context": {"tn-1", foreign, kmsctx.ErrContext},
	} {
		if v, err := w.admin.Create(t.Context(), c.id, c.bound); !errors.Is(err, c.want) || v != (hierarchy.Version{}) {
			t.Errorf("%s: %v", name, err)
		}
	}
	create(t, w.admin, "tn-1")
	before := maps.Clone(w.table.items)
	if _, err := w.admin.Create(t.Context(), "tn-1", of(t, "tn-2")); !errors.Is(err, hierarchy.ErrExists) {
		t.Errorf("twice: %v", err)
	}
	if !maps.EqualFunc(before, w.table.items, func(a, b map[string]ddb.AttributeValue) bool { return maps.Equal(a, b) }) {
		t.Error("a refused creation wrote something")
	}
	over, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := w.admin.Create(over, "tn-3", of(t, "tn-3")); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	w.table.write = func() error {
		return &ddb.TransactionCanceledException{CancellationReasons: []ddb.CancellationReason{{Code: new("TransactionConflict")}}}
	}
	if _, err := w.admin.Create(t.Context(), "tn-3", of(t, "tn-3")); !errors.Is(err, kmsctx.ErrThrottled) {
		t.Errorf("conflict: %v", err)
	}
	w.table.write = func() error { return &smithy.GenericAPIError{Code: "AccessDeniedException"} }
	if _, err := w.admin.Create(t.Context(), "tn-3", of(t, "tn-3")); !errors.Is(err, kmsctx.ErrNotAuthorized) {
		t.Errorf("denied: %v", err)
	}
}

func TestReadRefuses(t *testing.T) {
	t.Parallel()
	w := testWorld(t)
	v := create(t, w.admin, "tn-1")
	active := func(id string) error { k, err := w.store.Active(t.Context(), id); return none(t, k, err) }
	version := func(id string, v hierarchy.Version) error {
		k, err := w.store.Version(t.Context(), id, v)
		return none(t, k, err)
	}
	for name, c := range map[string]struct{ err, want error }{
		"no ID":            {active(""), kmsctx.ErrMalformed},
		"unknown":          {active("tn-2"), kmsctx.ErrKeyNotFound},
		"case":             {active("TN-1"), kmsctx.ErrKeyNotFound},
		"zero version":     {version("tn-1", hierarchy.Version{}), kmsctx.ErrMalformed},
		"other version":    {version("tn-1", hierarchy.Version{6: 0x4f, 8: 0xbf}), kmsctx.ErrKeyNotFound},
		"version 7":        {version("tn-1", hierarchy.Version{6: 0x70, 8: 0x80}), kmsctx.ErrMalformed},
		"version, unknown": {version("tn-2", v), kmsctx.ErrKeyNotFound},
		"rotate unknown":   {func() error { _, err := w.admin.Rotate(t.Context(), "tn-2"); return err }(), kmsctx.ErrKeyNotFound},
	} {
		if !errors.Is(c.err, c.want) {
			t.Errorf("%s: %v", name, c.err)
		}
	}
	a, err := w.store.Active(t.Context(), "tn-1")
	if err != nil || a.Version != v || a.ID != "tn-1" || a.Bound["tenant"] != "tn-1" {
		t.Fatalf("control: %v", err)
	}
	k, err := w.store.Version(t.Context(), "tn-1", v)
	if err != nil {
		t.Fatal(err)
	}
	_ = k.Key.Use(func(b []byte) error {
		if len(b) != 32 || !a.Key.Equal(b) {
			t.Error("the active item holds another key than its version")
		}
		return nil
	})
}

func none(t *testing.T, k *hierarchy.BranchKey, err error) error {
	t.Helper()
	if k != nil {
		t.Error("a branch key came out")
	}
	return err
}

// Whoever can write the table changes one thing at a time; some of it the
// reader sees, the rest KMS does.
func TestItemTampered(t *testing.T) {
	t.Parallel()
	w := testWorld(t)
	v1 := create(t, w.admin, "tn-1")
	v2 := create(t, w.admin, "tn-2")
	get := func(id, kind string) map[string]ddb.AttributeValue {
		return maps.Clone(w.table.items[[2]string{id, kind}])
	}
	const active = "branch:ACTIVE"
	kept := "branch:version:" + v1.String()
	set := func(k string, a ddb.AttributeValue) func(m map[string]ddb.AttributeValue) {
		return func(m map[string]ddb.AttributeValue) { m[k] = a }
	}
	del := func(k string) func(m map[string]ddb.AttributeValue) {
		return func(m map[string]ddb.AttributeValue) { delete(m, k) }
	}
	enc := func(m map[string]ddb.AttributeValue) []byte { return m["enc"].(*ddb.AttributeValueMemberB).Value }
	flipped := append([]byte(nil), enc(get("tn-1", active))...)
	flipped[len(flipped)-1] ^= 1
	other := hierarchy.Version{6: 0x40, 8: 0x80}
	for name, c := range map[string]struct {
		kind   string
		change func(m map[string]ddb.AttributeValue)
		want   error
	}{
		"another branch key's row": {active, func(m map[string]ddb.AttributeValue) { maps.Copy(m, get("tn-2", active)) }, hierarchy.ErrItem},
		"another's wrapped key":    {active, func(m map[string]ddb.AttributeValue) { m["enc"] = get("tn-2", active)["enc"] }, kmsctx.ErrInvalidCiphertext},
		"another's, ID changed": {active, func(m map[string]ddb.AttributeValue) {
			maps.Copy(m, get("tn-2", active))
			m["branch-key-id"] = str("tn-1")
		}, kmsctx.ErrInvalidCiphertext},
		"the beacon key":             {active, func(m map[string]ddb.AttributeValue) { m["enc"] = get("tn-1", "beacon:ACTIVE")["enc"] }, kmsctx.ErrInvalidCiphertext},
		"the version's wrapped key":  {active, func(m map[string]ddb.AttributeValue) { m["enc"] = get("tn-1", kept)["enc"] }, kmsctx.ErrInvalidCiphertext},
		"the active's as version":    {kept, func(m map[string]ddb.AttributeValue) { m["enc"] = get("tn-1", active)["enc"] }, kmsctx.ErrInvalidCiphertext},
		"the active row as version":  {kept, func(m map[string]ddb.AttributeValue) { clear(m); maps.Copy(m, get("tn-1", active)) }, hierarchy.ErrItem},
		"a bit":                      {active, set("enc", &ddb.AttributeValueMemberB{Value: flipped}), kmsctx.ErrInvalidCiphertext},
		"no wrapped key":             {active, del("enc"), hierarchy.ErrItem},
		"empty wrapped key":          {active, set("enc", &ddb.AttributeValueMemberB{}), hierarchy.ErrItem},
		"wrapped key as text":        {active, set("enc", str("x")), hierarchy.ErrItem},
		"another tenant's pair":      {active, set("aws-crypto-ec:tenant", str("tn-2")), kmsctx.ErrInvalidCiphertext},
		"no pair":                    {active, del("aws-crypto-ec:tenant"), kmsctx.ErrInvalidCiphertext},
		"a pair more":                {active, set("aws-crypto-ec:more", str("x")), kmsctx.ErrInvalidCiphertext},
		"a reserved pair":            {active, set("aws-crypto-ec:aws-crypto-public-key", str("x")), kmsctx.ErrInvalidCiphertext},
		"a pair without name":        {active, set("aws-crypto-ec:", str("x")), hierarchy.ErrItem},
		"an attribute more":          {active, set("note", str("x")), hierarchy.ErrItem},
		"the key store's name":       {active, set("tablename", str("test-store")), hierarchy.ErrItem},
		"a time to live":             {active, set("expires", &ddb.AttributeValueMemberN{Value: "1"}), hierarchy.ErrItem},
		"another version":            {active, set("version", str("branch:version:"+v2.String())), kmsctx.ErrInvalidCiphertext},
		"no version":                 {active, del("version"), hierarchy.ErrItem},
		"version without its prefix": {active, set("version", str(v1.String())), hierarchy.ErrItem},
		"version in upper case":      {active, set("version", str("branch:version:"+strings.ToUpper(v1.String()))), hierarchy.ErrItem},
		"a version in a version":     {kept, set("version", str(kept)), hierarchy.ErrItem},
		"type":                       {kept, set("type", str("branch:version:"+other.String())), hierarchy.ErrItem},
		"no type":                    {kept, del("type"), hierarchy.ErrItem},
		"creation time":              {active, set("create-time", str("2000-01-01T00:00:00.000000Z")), kmsctx.ErrInvalidCiphertext},
		"no creation time":           {active, del("create-time"), hierarchy.ErrItem},
		"another KMS key":            {active, set("kms-arn", str(strings.Replace(w.place.Key, "us-east-1", "us-east-2", 1))), hierarchy.ErrItem},
		"no KMS key":                 {active, del("kms-arn"), hierarchy.ErrItem},
		"format 2":                   {active, set("hierarchy-version", &ddb.AttributeValueMemberN{Value: "2"}), hierarchy.ErrItem},
		"format 1.0":                 {active, set("hierarchy-version", &ddb.AttributeValueMemberN{Value: "1.0"}), hierarchy.ErrItem},
		"format as text":             {active, set("hierarchy-version", str("1")), hierarchy.ErrItem},
		"text as number":             {active, set("create-time", &ddb.AttributeValueMemberN{Value: "1"}), hierarchy.ErrItem},
	} {
		t.Run(name, func(t *testing.T) {
			where := [2]string{"tn-1", c.kind}
			good := w.table.items[where]
			defer func() { w.table.items[where] = good }()
			m := maps.Clone(good)
			c.change(m)
			w.table.items[where] = m
			var k *hierarchy.BranchKey
			var err error
			if c.kind == active {
				k, err = w.store.Active(t.Context(), "tn-1")
				if _, rerr := w.admin.Rotate(t.Context(), "tn-1"); !errors.Is(rerr, c.want) {
					t.Errorf("Rotate: %v is not %q", rerr, c.want)
				}
			} else {
				k, err = w.store.Version(t.Context(), "tn-1", v1)
			}
			if err = none(t, k, err); !errors.Is(err, c.want) {
				t.Errorf("%v is not %q", err, c.want)
			}
			if strings.Contains(err.Error(), "tn-2") {
				t.Errorf("the error repeats what the table says: %v", err)
			}
		})
	}
	if _, err := w.store.Active(t.Context(), "tn-1"); err != nil {
		t.Errorf("control: %v", err)
	}
	if _, err := w.store.Version(t.Context(), "tn-1", v1); err != nil {
		t.Errorf("control: %v", err)
	}
}

// Two key stores never open each other's rows, though they share the KMS key.
func TestOtherKeyStore(t *testing.T) {
	t.Parallel()
	w := testWorld(t)
	create(t, w.admin, "tn-1")
	p := w.place
	p.Name = "another-store"
	s, err := hierarchy.NewStore(w.table, w.keys, p)
	if err != nil {
		t.Fatal(err)
	}
	if k, err := s.Active(t.Context(), "tn-1"); !errors.Is(err, kmsctx.ErrInvalidCiphertext) || k != nil {
		t.Error(err)
	}
	p = w.place
	if p.Key, err = w.newKey(t.Context()); err != nil {
		t.Fatal(err)
	}
	if s, err = hierarchy.NewStore(w.table, w.keys, p); err != nil {
		t.Fatal(err)
	}
	if k, err := s.Active(t.Context(), "tn-1"); !errors.Is(err, hierarchy.ErrItem) || k != nil {
		t.Error(err)
	}
}

func TestAnswerForAnotherKey(t *testing.T) {
	t.Parallel()
	w := testWorld(t)
	create(t, w.admin, "tn-1")
	for name, f := range map[string]func(*kms.DecryptOutput) error{
		"another key": func(o *kms.DecryptOutput) error {
			o.KeyId = new("arn:aws:kms:us-east-1:000000000000:key/other")
			return nil
		},
		"no key ID": func(o *kms.DecryptOutput) error { o.KeyId = nil; return nil },
		"31 bytes":  func(o *kms.DecryptOutput) error { o.Plaintext = o.Plaintext[1:]; return nil },
		"nothing":   func(o *kms.DecryptOutput) error { o.Plaintext = nil; return nil },
	} {
		w.keys.after = f
		if k, err := w.store.Active(t.Context(), "tn-1"); !errors.Is(err, hierarchy.ErrAnswer) || k != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	w.keys.after = nil
	if _, err := w.store.Active(t.Context(), "tn-1"); err != nil {
		t.Errorf("control: %v", err)
	}
}

func TestServiceErrors(t *testing.T) {
	t.Parallel()
	w := testWorld(t)
	create(t, w.admin, "tn-1")
	for code, want := range map[string]error{
		"AccessDeniedException": kmsctx.ErrNotAuthorized, "DisabledException": kmsctx.ErrKeyDisabled,
		"NotFoundException": kmsctx.ErrKeyNotFound, "ThrottlingException": kmsctx.ErrThrottled,
		"ProvisionedThroughputExceededException": kmsctx.ErrThrottled, "ResourceNotFoundException": kmsctx.ErrUnavailable,
		"KMSInvalidStateException": kmsctx.ErrKeyPendingDeletion, "SomethingNew": kmsctx.ErrUnavailable,
	} {
		fails := &smithy.GenericAPIError{Code: code, Message: "the key is pending deletion"}
		w.table.read = func(map[string]ddb.AttributeValue) (map[string]ddb.AttributeValue, error) { return nil, fails }
		if k, err := w.store.Active(t.Context(), "tn-1"); !errors.Is(err, want) || !errors.Is(err, fails) || k != nil {
			t.Errorf("table, %s: %v", code, err)
		}
		w.table.read = nil
		w.keys.after = func(*kms.DecryptOutput) error { return fails }
		if k, err := w.store.Active(t.Context(), "tn-1"); !errors.Is(err, want) || k != nil {
			t.Errorf("KMS, %s: %v", code, err)
		}
		w.keys.after = nil
	}
}

// Of several that rotate at once one wins each time, and nothing is lost.
func TestRotateRace(t *testing.T) {
	t.Parallel()
	w := testWorld(t)
	create(t, w.admin, "tn-1")
	var mu sync.Mutex
	var won []hierarchy.Version
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			v, err := w.admin.Rotate(t.Context(), "tn-1")
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				won = append(won, v)
			} else if !errors.Is(err, hierarchy.ErrChanged) {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if len(won) == 0 {
		t.Fatal("nobody won")
	}
	a, err := w.store.Active(t.Context(), "tn-1")
	if err != nil {
		t.Fatal(err)
	}
	seen := false
	for _, v := range won {
		if _, err := w.store.Version(t.Context(), "tn-1", v); err != nil {
			t.Errorf("%s: %v", v, err)
		}
		seen = seen || v == a.Version
	}
	if !seen || len(w.table.items) != 3+len(won) || a.Bound["tenant"] != "tn-1" {
		t.Errorf("%d items after %d rotations; the active version is a winner's: %v", len(w.table.items), len(won), seen)
	}
	// Changed between reading and writing, for certain.
	w.table.write = func() error { return nil }
	w.table.read = func(m map[string]ddb.AttributeValue) (map[string]ddb.AttributeValue, error) {
		w.table.items[[2]string{"tn-1", "branch:ACTIVE"}] = map[string]ddb.AttributeValue{"enc": &ddb.AttributeValueMemberB{Value: []byte("newer")}}
		return m, nil
	}
	before := len(w.table.items)
	if _, err := w.admin.Rotate(t.Context(), "tn-1"); !errors.Is(err, hierarchy.ErrChanged) || len(w.table.items) != before {
		t.Errorf("overwritten: %v", err)
	}
}

// A caller that has gone hears so, whatever the service made of it.
func TestCancelledUnderWay(t *testing.T) {
	t.Parallel()
	w := testWorld(t)
	create(t, w.admin, "tn-1")
	ctx, cancel := context.WithCancel(t.Context())
	w.table.read = func(m map[string]ddb.AttributeValue) (map[string]ddb.AttributeValue, error) {
		cancel()
		return nil, &smithy.GenericAPIError{Code: "RequestCanceled"}
	}
	if _, err := w.store.Active(ctx, "tn-1"); !errors.Is(err, context.Canceled) || errors.Is(err, kmsctx.ErrUnavailable) {
		t.Error(err)
	}
	ctx, cancel = context.WithCancel(t.Context())
	w.table.read = nil
	w.table.write = func() error {
		cancel()
		return &ddb.TransactionCanceledException{CancellationReasons: []ddb.CancellationReason{{Code: new("ConditionalCheckFailed")}}}
	}
	if _, err := w.admin.Rotate(ctx, "tn-1"); !errors.Is(err, context.Canceled) || errors.Is(err, hierarchy.ErrChanged) {
		t.Error(err)
	}
	w.table.write = nil
	if _, err := w.admin.Rotate(t.Context(), "tn-1"); err != nil {
		t.Errorf("control: %v", err)
	}
}
