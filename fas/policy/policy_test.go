package policy

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

func doc(t testing.TB, statement string) *Document {
	t.Helper()
	d, err := Parse([]byte(`{"Version":"2012-10-17","Statement":[` + statement + `]}`))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestParseRefuses(t *testing.T) {
	const ok = `{"Effect":"Allow","Action":"s3:GetObject","Resource":"*"}`
	for name, in := range map[string]string{
		"empty":              "",
		"spaces":             "  ",
		"not JSON":           "{",
		"array":              "[]",
		"no version":         `{"Statement":[` + ok + `]}`,
		"old version":        `{"Version":"2008-10-17","Statement":[` + ok + `]}`,
		"no statement":       `{"Version":"2012-10-17"}`,
		"empty statement":    `{"Version":"2012-10-17","Statement":[]}`,
		"single statement":   `{"Version":"2012-10-17","Statement":` + ok + `}`,
		"unknown key":        `{"Version":"2012-10-17","Statement":[` + ok + `],"X":1}`,
		"case-variant key":   `{"version":"2012-10-17","Statement":[` + ok + `]}`,
		"duplicate key":      `{"Version":"2012-10-17","Version":"2012-10-17","Statement":[` + ok + `]}`,
		"trailing data":      `{"Version":"2012-10-17","Statement":[` + ok + `]}{}`,
		"too long":           `{"Version":"2012-10-17","Statement":[` + ok + `]}` + strings.Repeat(" ", 2048),
		"control character":  "{\"Version\":\"2012-10-17\",\x01\"Statement\":[" + ok + "]}",
		"non-Latin":          `{"Version":"2012-10-17","Id":"→","Statement":[` + ok + `]}`,
		"Resources":          `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:GetObject","Resources":"*"}]}`,
		"duplicate Resource": `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:GetObject","Resource":"a","Resource":"*"}]}`,
		"folded Resource":    `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:GetObject","Resource":"a","resource":"*"}]}`,
		"Principal":          `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"s3:GetObject","Resource":"*"}]}`,
		"effect":             `{"Version":"2012-10-17","Statement":[{"Effect":"allow","Action":"s3:GetObject","Resource":"*"}]}`,
		"action":             `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"GetObject","Resource":"*"}]}`,
		"no resource":        `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:GetObject"}]}`,
		"empty resources":    `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:GetObject","Resource":[]}]}`,
		"operator":           `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:GetObject","Resource":"*","Condition":{"StringEqual":{"a":"b"}}}]}`,
		"open variable":      `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:GetObject","Resource":"${a"}]}`,
	} {
		if d, err := Parse([]byte(in)); err == nil || d != nil {
			t.Errorf("%s: accepted", name)
		} else if !errors.Is(err, ErrMalformed) && !errors.Is(err, ErrTooLarge) && !errors.Is(err, ErrEmpty) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestEvaluate(t *testing.T) {
	get := Request{Action: "s3:GetObject", Resource: "arn:aws:s3:::b/src/x", Context: map[string]string{"t": "acme", "aws:currenttime": "2026-01-01T00:00:00Z"}}
	for _, c := range []struct {
		name, statement string
		want            Decision
	}{
		{"allows", `{"Effect":"Allow","Action":"s3:GetObject","Resource":"arn:aws:s3:::b/src/*"}`, Allow},
		{"action in another case", `{"Effect":"Allow","Action":"S3:get*","Resource":"*"}`, Allow},
		{"resource in another case", `{"Effect":"Allow","Action":"s3:*","Resource":"arn:aws:s3:::B/*"}`, NoMatch},
		{"other action", `{"Effect":"Allow","Action":"s3:PutObject","Resource":"*"}`, NoMatch},
		{"other prefix", `{"Effect":"Allow","Action":"s3:*","Resource":"arn:aws:s3:::b/other/*"}`, NoMatch},
		{"deny wins", `{"Effect":"Allow","Action":"s3:*","Resource":"*"},{"Effect":"Deny","Action":"s3:*","Resource":"*"}`, Deny},
		{"variable", `{"Effect":"Allow","Action":"s3:*","Resource":"*","Condition":{"StringEquals":{"t":"acme"}}}`, Allow},
		{"variable is missing in an allow", `{"Effect":"Allow","Action":"s3:*","Resource":"${nothing}*"}`, NoMatch},
		{"variable is missing in a deny", `{"Effect":"Deny","Action":"s3:*","Resource":"${nothing}*"}`, Deny},
		{"condition key is missing", `{"Effect":"Allow","Action":"s3:*","Resource":"*","Condition":{"StringEquals":{"u":"x"}}}`, NoMatch},
		{"date passed", `{"Effect":"Allow","Action":"s3:*","Resource":"*","Condition":{"DateLessThan":{"aws:CurrentTime":"2025-01-01T00:00:00Z"}}}`, NoMatch},
		{"date to come", `{"Effect":"Allow","Action":"s3:*","Resource":"*","Condition":{"DateLessThan":{"aws:CurrentTime":"2027-01-01T00:00:00Z"}}}`, Allow},
		{"literal star", `{"Effect":"Allow","Action":"s3:*","Resource":"arn:aws:s3:::b/src/${*}"}`, NoMatch},
		{"NotAction", `{"Effect":"Allow","NotAction":"s3:GetObject","Resource":"*"}`, NoMatch},
		{"NotResource", `{"Effect":"Allow","Action":"s3:*","NotResource":"arn:aws:s3:::b/*"}`, NoMatch},
	} {
		if got := doc(t, c.statement).Evaluate(get); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
	open := doc(t, `{"Effect":"Allow","Action":"s3:*","Resource":"*"}`)
	for name, layers := range map[string][]*Document{"none": nil, "a nil layer": {open, nil}, "a layer without a match": {open, doc(t, `{"Effect":"Allow","Action":"s3:PutObject","Resource":"*"}`)}} {
		if Allowed(get, layers...) {
			t.Errorf("%s: allowed", name)
		}
	}
	if !Allowed(get, open, open) {
		t.Error("the control is refused")
	}
}

func TestLiteralCannotWiden(t *testing.T) {
	for _, name := range []string{"*", "?", "${aws:x}", "a*b", `"`, "$"} {
		raw, err := Marshal(Statement{Effect: "Allow", Actions: []string{"s3:GetObject"}, Resources: []string{"arn:aws:s3:::b/" + Literal(name)}})
		if err != nil {
			t.Fatalf("%q: %v", name, err)
		}
		d, err := Parse(raw)
		if err != nil {
			t.Fatal(err)
		}
		if d.Evaluate(Request{Action: "s3:GetObject", Resource: "arn:aws:s3:::b/" + name}) != Allow {
			t.Errorf("%q does not match itself", name)
		}
		if d.Evaluate(Request{Action: "s3:GetObject", Resource: "arn:aws:s3:::b/other"}) == Allow {
			t.Errorf("%q matches something else", name)
		}
	}
}

func TestSubset(t *testing.T) {
	profile := doc(t, `{"Effect":"Allow","Action":["s3:GetObject","s3:ListBucket"],"Resource":"arn:aws:s3:::*"}`)
	for name, c := range map[string]struct {
		scope string
		ok    bool
	}{
		"narrower":           {`{"Effect":"Allow","Action":"s3:GetObject","Resource":"arn:aws:s3:::b/src/*"}`, true},
		"with a denial":      {`{"Effect":"Allow","Action":"s3:GetObject","Resource":"arn:aws:s3:::b/*"},{"Effect":"Deny","Action":"s3:*","Resource":"arn:aws:s3:::b/x"}`, true},
		"other action":       {`{"Effect":"Allow","Action":"s3:PutObject","Resource":"arn:aws:s3:::b/*"}`, false},
		"wider action":       {`{"Effect":"Allow","Action":"s3:Get*","Resource":"arn:aws:s3:::b/*"}`, false},
		"wider resource":     {`{"Effect":"Allow","Action":"s3:GetObject","Resource":"*"}`, false},
		"variable":           {`{"Effect":"Allow","Action":"s3:GetObject","Resource":"arn:aws:s3:::${x}/*"}`, true},
		"NotAction":          {`{"Effect":"Allow","NotAction":"s3:PutObject","Resource":"arn:aws:s3:::b/*"}`, false},
		"NotResource":        {`{"Effect":"Allow","Action":"s3:GetObject","NotResource":"arn:aws:s3:::b/*"}`, false},
		"one wide statement": {`{"Effect":"Allow","Action":"s3:GetObject","Resource":"arn:aws:s3:::b/*"},{"Effect":"Allow","Action":"iam:*","Resource":"*"}`, false},
	} {
		in := Subset(profile, doc(t, c.scope))
		if (in.Answer == Yes) != c.ok || !c.ok && in.Reason == "" {
			t.Errorf("%s: %v %q", name, in.Answer, in.Reason)
		}
		t.Log(in.Answer, in.Reason)
	}
	if Subset(profile, nil).Answer == Yes {
		t.Error("a nil scope is a subset")
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:GetObject","Resource":["a","${x}*"],"Condition":{"StringLikeIfExists":{"a":"b"}}}]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		d, err := Parse(b)
		if err != nil {
			return
		}
		d.Evaluate(Request{Action: "s3:GetObject", Resource: "arn:aws:s3:::b/x"})
		Subset(d, d)
	})
}

func BenchmarkAllowed(b *testing.B) {
	d := doc(b, `{"Effect":"Allow","Action":["s3:GetObject","s3:ListBucket"],"Resource":"arn:aws:s3:::b/src/*"}`)
	r := Request{Action: "s3:GetObject", Resource: "arn:aws:s3:::b/src/x.go"}
	b.ReportAllocs()
	for b.Loop() {
		if !Allowed(r, d, d) {
			b.Fatal("denied")
		}
	}
}

func ExampleAllowed() {
	p, _ := Parse([]byte(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:GetObject","Resource":"arn:aws:s3:::b/*"}]}`))
	r := Request{Action: "s3:GetObject", Resource: "arn:aws:s3:::b/x"}
	fmt.Println(Allowed(r), Allowed(r, p, nil), Allowed(r, p))
	// Output: false false true
}
