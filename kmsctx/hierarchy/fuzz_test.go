package hierarchy

import (
	"bytes"
	"reflect"
	"testing"
	"time"

	ddb "github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

func FuzzVersion(f *testing.F) {
	f.Add(newVersion().String())
	f.Add("83EEC007-5659-4554-bf11-699b90f41ac6")
	f.Add("83eec007-5659-4554-bf11-699b90f41ac6\n")
	f.Add("{83eec007-5659-4554-bf11-699b90f41ac6}")
	f.Add("83eec007-5659-1554-bf11-699b90f41ac6")
	f.Fuzz(func(t *testing.T, s string) {
		v, err := ParseVersion(s)
		if (err == nil) != (v.valid() && v.String() == s) {
			t.Errorf("%q: %v, %v", s, v, err)
		}
		if err != nil && v != (Version{}) {
			t.Errorf("%q: a version beside the error", s)
		}
	})
}

func FuzzRecord(f *testing.F) {
	good := record{version: newVersion()}
	f.Add(good.bytes())
	f.Add(good.bytes()[:recordLen-1])
	f.Add(append(good.bytes(), 0))
	f.Add(make([]byte, recordLen))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, ok := parseRecord(b)
		if ok != (len(b) == recordLen && r.version.valid()) {
			t.Errorf("%x: %v", b, ok)
		}
		if ok && !bytes.Equal(r.bytes(), b) {
			t.Errorf("%x is written back as %x", b, r.bytes())
		}
	})
}

// attributes makes an item of any form from bytes: a name's and a value's
// length, the value's type, and both.
func attributes(b []byte) map[string]ddb.AttributeValue {
	m := map[string]ddb.AttributeValue{}
	for len(b) >= 3 {
		n, v, kind := int(b[0]), int(b[1]), b[2]
		if b = b[3:]; n+v > len(b) {
			break
		}
		name, value := string(b[:n]), b[n:n+v]
		b = b[n+v:]
		switch kind % 4 {
		case 0:
			m[name] = &ddb.AttributeValueMemberS{Value: string(value)}
		case 1:
			m[name] = &ddb.AttributeValueMemberN{Value: string(value)}
		case 2:
			m[name] = &ddb.AttributeValueMemberB{Value: value}
		case 3:
			m[name] = &ddb.AttributeValueMemberNULL{Value: true}
		}
	}
	return m
}

func flat(m map[string]ddb.AttributeValue) (b []byte) {
	for name, a := range m {
		value, kind := []byte(nil), byte(0)
		switch a := a.(type) {
		case *ddb.AttributeValueMemberS:
			value = []byte(a.Value)
		case *ddb.AttributeValueMemberN:
			value, kind = []byte(a.Value), 1
		case *ddb.AttributeValueMemberB:
			value, kind = a.Value, 2
		}
		b = append(append(append(b, byte(len(name)), byte(len(value)), kind), name...), value...)
	}
	return b
}

func FuzzItem(f *testing.F) {
	i := item{id: "tn-1", version: newVersion(), key: "arn:aws:kms:us-east-1:000000000000:key/k", created: "2026-01-01T00:00:00.000000Z",
		bound: map[string]string{"tenant": "tn-1"}, enc: []byte{1}}
	for _, i := range []item{i.active(), i.kept(), i.beacon()} {
		f.Add(flat(i.attributes()))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		in := attributes(b)
		i, why := parseItem(in)
		if why != "" {
			if !reflect.DeepEqual(i, item{}) {
				t.Error("an item beside the refusal")
			}
			return
		}
		// What is read is all there was: nothing is left out of the context that
		// KMS authenticates, and nothing but the wrapped key and the format's
		// number is not in it as it stands.
		if !reflect.DeepEqual(i.attributes(), in) {
			t.Errorf("%v is written back as %v", in, i.attributes())
		}
		c := i.context("store")
		if len(c) != len(in) || c[attrStore] != "store" || c[attrFormat] != format {
			t.Errorf("context of %d pairs for %d attributes", len(c), len(in))
		}
		for name, a := range in {
			if s, ok := a.(*ddb.AttributeValueMemberS); ok && c[name] != s.Value {
				t.Errorf("attribute %q is not in the context", name)
			}
		}
		if (i.kind == typeBeacon) == i.version.valid() {
			t.Errorf("kind %q with version %v", i.kind, i.version)
		}
	})
}

func TestSeedsAreItems(t *testing.T) {
	t.Parallel()
	i := item{id: "tn-1", version: newVersion(), key: "k", created: "c", bound: map[string]string{}, enc: []byte{1}}
	for _, want := range []item{i.active(), i.kept(), i.beacon()} {
		if got, why := parseItem(attributes(flat(want.attributes()))); why != "" || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %s", want.kind, why)
		}
	}
}

// Either clock ends it: one stands still while the machine sleeps, the other
// can be set back.
func TestDeadline(t *testing.T) {
	t.Parallel()
	now := time.Now()
	both := deadlineAfter(now, time.Minute)
	for name, c := range map[string]struct {
		d    deadline
		at   time.Time
		over bool
	}{
		"before":      {both, now.Add(time.Minute - 1), false},
		"at":          {both, now.Add(time.Minute), true},
		"after":       {both, now.Add(time.Hour), true},
		"after sleep": {deadline{now.Add(time.Minute), now.Round(0)}, now.Add(time.Second), true},
		"set back":    {deadline{now, now.Round(0).Add(time.Hour)}, now.Add(time.Second), true},
	} {
		if c.d.over(c.at) != c.over {
			t.Errorf("%s: over is %v", name, !c.over)
		}
	}
}
