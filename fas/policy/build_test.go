package policy

import (
	"errors"
	"strings"
	"testing"
	"time"
)

func marshalled(t *testing.T, statements ...Statement) *Document {
	t.Helper()
	raw, err := Marshal(statements...)
	if err != nil {
		t.Fatal(err)
	}
	d, err := Parse(raw)
	if err != nil {
		t.Fatalf("%v: %s", err, raw)
	}
	return d
}

// What a tenant calls a thing must not become a pattern, a variable or JSON.
func TestNamesCannotWiden(t *testing.T) {
	t.Parallel()
	names := []string{"*", "?", "**", "${aws:x}", "${*}", "a*b", `"`, `\`, "$", "${", "}", "$$", `","Resource":"*`, "<&>", "é", "a b", "${x, 'y'}", "'"}
	context := map[string]string{"aws:x": "other", "x": "other"}
	for _, name := range names {
		s, err := S3Object("bkt", name, "s3:GetObject")
		if err != nil {
			t.Fatalf("%q: %v", name, err)
		}
		d := marshalled(t, s, Statement{Effect: "Allow", Actions: []string{"s:a"}, Resources: []string{"*"}}.When("StringLike", "k", Literal(name)).When("StringEquals", "l", Literal(name)))
		get := func(key string) Decision {
			return d.Evaluate(Request{Action: "s3:GetObject", Resource: "arn:aws:s3:::bkt/" + key, Context: context})
		}
		under := func(value string) Decision {
			return d.Evaluate(Request{Action: "s:a", Resource: "r", Context: map[string]string{"k": value, "l": value, "aws:x": "other", "x": "other"}})
		}
		for _, other := range append(names, "other", "", "x", name+"x", "x"+name) {
			if want := other == name; (get(other) == Allow) != want || (under(other) == Allow) != want {
				t.Errorf("%q matches %q: %v, %v", name, other, get(other), under(other))
			}
		}
	}
}

func TestBuildersRefuse(t *testing.T) {
	t.Parallel()
	for _, bucket := range []string{"", "ab", "Bkt", "b_kt", "-bkt", "bkt-", ".bkt", "b..kt", "10.0.0.1", "xn--bkt", "sthree-bkt", "bkt-s3alias", "bkt--x-s3", "bkt/x", "bkt*", "${x}", "é-bucket", strings.Repeat("b", 64), "bkt\n"} {
		if _, err := S3Prefix(bucket, "src/", "s3:GetObject"); !errors.Is(err, ErrName) {
			t.Errorf("bucket %q: %v", bucket, err)
		}
	}
	for _, prefix := range []string{"", "/", "src", "src/*", "src\x00/", "→/", "\xff/", "\u0085/", strings.Repeat("a", 1024) + "/"} {
		if _, err := S3Prefix("bkt", prefix, "s3:GetObject"); !errors.Is(err, ErrName) {
			t.Errorf("prefix %q: %v", prefix, err)
		}
		if _, err := S3List("bkt", prefix); !errors.Is(err, ErrName) {
			t.Errorf("list of prefix %q: %v", prefix, err)
		}
	}
	for _, actions := range [][]string{nil, {}, {""}, {"GetObject"}, {"s3:*"}, {"*"}, {"iam:PassRole"}, {"s3:GetObject", "s3:Get?"}} {
		if _, err := S3Prefix("bkt", "src/", actions...); !errors.Is(err, ErrName) {
			t.Errorf("actions %q: %v", actions, err)
		}
	}
	if _, err := S3Object("bkt", "", "s3:GetObject"); !errors.Is(err, ErrName) {
		t.Errorf("no key: %v", err)
	}
	allow := func(s Statement) Statement { s.Effect = "Allow"; return s }
	long := []string{strings.Repeat("x", MaxSize)}
	for name, c := range map[string]struct {
		statements []Statement
		want       error
	}{
		"no statements":        {nil, ErrMalformed},
		"zero statement":       {[]Statement{{}}, ErrMalformed},
		"no actions":           {[]Statement{allow(Statement{Resources: []string{"*"}})}, ErrMalformed},
		"no resources":         {[]Statement{allow(Statement{Actions: []string{"s3:GetObject"}})}, ErrMalformed},
		"effect":               {[]Statement{{Effect: "Permit", Actions: []string{"s3:GetObject"}, Resources: []string{"*"}}}, ErrMalformed},
		"too long":             {[]Statement{allow(Statement{Actions: []string{"s3:GetObject"}, Resources: long})}, ErrTooLarge},
		"characters":           {[]Statement{allow(Statement{Actions: []string{"s3:GetObject"}, Resources: []string{"→"}})}, ErrMalformed},
		"broken UTF-8":         {[]Statement{allow(Statement{Actions: []string{"s3:GetObject"}, Resources: []string{"\xff"}})}, ErrMalformed},
		"operator":             {[]Statement{allow(Statement{Actions: []string{"s3:GetObject"}, Resources: []string{"*"}}).When("Equals", "k", "v")}, ErrMalformed},
		"condition of nothing": {[]Statement{allow(Statement{Actions: []string{"s3:GetObject"}, Resources: []string{"*"}}).When("StringEquals", "k")}, ErrMalformed},
		// Two conditions that must both hold are not one with two values.
		"condition twice":                 {[]Statement{allow(Statement{Actions: []string{"s3:GetObject"}, Resources: []string{"*"}}).When("StringEquals", "k", "v").When("StringEquals", "k", "w")}, ErrMalformed},
		"condition twice in another case": {[]Statement{allow(Statement{Actions: []string{"s3:GetObject"}, Resources: []string{"*"}}).When("StringEquals", "k", "v").When("StringEquals", "K", "w")}, ErrMalformed},
	} {
		if raw, err := Marshal(c.statements...); raw != nil || !errors.Is(err, c.want) {
			t.Errorf("%s: %s, %v", name, raw, err)
		}
	}
	if b, err := new(Document).MarshalJSON(); b != nil || !errors.Is(err, ErrEmpty) {
		t.Errorf("the zero document: %s, %v", b, err)
	}
}

func TestBuilders(t *testing.T) {
	t.Parallel()
	prefix, err := S3Prefix("bkt", "src/", "s3:GetObject")
	if err != nil {
		t.Fatal(err)
	}
	list, err := S3List("bkt", "src/")
	if err != nil {
		t.Fatal(err)
	}
	end := time.Date(2026, 11, 24, 12, 0, 0, 999, time.FixedZone("", 3600))
	base := prefix.When("Bool", "aws:SecureTransport", "true")
	d := marshalled(t, base.Until(end), list.Until(end))
	// A statement that others were made from stays as it was.
	if other := base.When("Bool", "b", "true"); len(base.Conditions) != 1 || len(prefix.Conditions) != 0 || len(other.Conditions) != 2 {
		t.Error("When changed its statement")
	}
	for _, c := range []struct {
		action, resource, at, listed string
		want                         Decision
	}{
		{"s3:GetObject", "arn:aws:s3:::bkt/src/x", "2026-11-24T11:00:00Z", "", NoMatch},
		{"s3:GetObject", "arn:aws:s3:::bkt/other", "2026-11-24T10:59:59Z", "", NoMatch},
		{"s3:GetObject", "arn:aws:s3:::bkt2/src/x", "2026-11-24T10:59:59Z", "", NoMatch},
		{"s3:PutObject", "arn:aws:s3:::bkt/src/x", "2026-11-24T10:59:59Z", "", NoMatch},
		{"s3:ListBucket", "arn:aws:s3:::bkt", "2026-11-24T10:59:59Z", "", NoMatch},
		{"s3:ListBucket", "arn:aws:s3:::bkt", "2026-11-24T10:59:59Z", "sr", NoMatch},
		{"s3:ListBucket", "arn:aws:s3:::bkt", "2026-11-24T11:00:00Z", "src/", NoMatch},
		{"s3:ListBucket", "arn:aws:s3:::bkt", "2026-11-24T10:59:59Z", "src/a", Allow},
		{"s3:GetObject", "arn:aws:s3:::bkt/src/x", "2026-11-24T10:59:59Z", "", Allow},
	} {
		r := Request{Action: c.action, Resource: c.resource, Context: map[string]string{"aws:currenttime": c.at, "aws:securetransport": "true"}}
		if c.listed != "" {
			r.Context["s3:prefix"] = c.listed
		}
		if got := d.Evaluate(r); got != c.want {
			t.Errorf("%+v: %v", c, got)
		}
	}
}
