package policy

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
)

// doc parses a policy of the statements.
func doc(t testing.TB, statements ...string) *Document {
	t.Helper()
	d, err := Parse([]byte(whole(statements...)))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func whole(statements ...string) string {
	return `{"Version":"2012-10-17","Statement":[` + strings.Join(statements, ",") + `]}`
}

const okStatement = `{"Effect":"Allow","Action":"s3:GetObject","Resource":"*"}`

func TestParseRefuses(t *testing.T) {
	t.Parallel()
	with := func(condition string) string {
		return whole(okStatement, `{"Effect":"Allow","Action":"s3:GetObject","Resource":"*","Condition":`+condition+`}`)
	}
	for _, c := range []struct {
		name, in  string
		statement int
		key, want string
	}{
		{"not JSON", "{", -1, "", "ends too early"},
		{"array", "[]", -1, "", "an object is wanted"},
		{"null", "null", -1, "", "an object is wanted"},
		{"comma", `{"Version":"2012-10-17",}`, -1, "", "not JSON at byte"},
		{"no version", `{"Statement":[` + okStatement + `]}`, -1, "", "Version is missing"},
		{"old version", `{"Version":"2008-10-17","Statement":[` + okStatement + `]}`, -1, "Version", "only 2012-10-17"},
		{"version as a number", `{"Version":2012,"Statement":[` + okStatement + `]}`, -1, "Version", "a string is wanted"},
		{"no statement", `{"Version":"2012-10-17"}`, -1, "", "Statement is missing"},
		{"empty statements", whole(), -1, "Statement", "an empty array"},
		{"one statement without an array", `{"Version":"2012-10-17","Statement":` + okStatement + `}`, -1, "Statement", "an array is wanted"},
		{"empty statement", whole(okStatement, `{}`), 1, "", "an empty object"},
		{"statement is a string", whole(`"*"`), 0, "", "an object is wanted"},
		{"unknown key", `{"Version":"2012-10-17","Statement":[` + okStatement + `],"X":1}`, -1, "", `unknown key "X"`},
		{"case-variant key", `{"version":"2012-10-17","Statement":[` + okStatement + `]}`, -1, "", `unknown key "version"; it is written Version`},
		{"duplicate key", `{"Version":"2012-10-17","Version":"2012-10-17"}`, -1, "", `key "Version" is there twice`},
		{"data after it", whole(okStatement) + `{}`, -1, "", "data after the document"},
		{"control character", whole(okStatement, "{\"Sid\":\"\x01\"}"), -1, "", "a control character"},
		{"delete", `{"Id":"` + "\x7f" + `"}`, -1, "", "a control character"},
		{"C1 control", "{\"Id\":\"\u0085\"}", -1, "", "a control character"},
		{"broken UTF-8", "{\"Id\":\"\xff\"}", -1, "", "outside U+0020 to U+00FF"},
		{"not Latin-1", whole(`{"Sid":"→"}`), -1, "", "outside U+0020 to U+00FF"},
		{"escaped, not Latin-1", whole(`{"Sid":"\u2192"}`), 0, "Sid", "an escaped character"},
		{"escaped control", whole(`{"Sid":"\u0000"}`), 0, "Sid", "an escaped character"},
		{"escaped key", whole(`{"Effect":"Allow","\u0041ction":"s3:*","Action":"*","Resource":"*"}`), 0, "", `key "Action" is there twice`},
		{"Resources", whole(`{"Effect":"Allow","Action":"s3:GetObject","Resources":"*"}`), 0, "", `unknown key "Resources"`},
		{"duplicate Resource", whole(okStatement, `{"Effect":"Allow","Action":"s3:GetObject","Resource":"arn:a","Resource":"*"}`), 1, "", `key "Resource" is there twice`},
		{"folded Resource", whole(`{"Effect":"Allow","Action":"s3:GetObject","Resource":"arn:a","resource":"*"}`), 0, "", `key "resource" is there twice`},
		{"Principal", whole(`{"Effect":"Allow","Principal":"*","Action":"s3:GetObject","Resource":"*"}`), 0, "Principal", "names no principal"},
		{"NotPrincipal", whole(`{"Effect":"Allow","NotPrincipal":"*","Action":"s3:GetObject","Resource":"*"}`), 0, "NotPrincipal", "names no principal"},
		{"effect", whole(`{"Effect":"allow","Action":"s3:GetObject","Resource":"*"}`), 0, "Effect", "neither Allow nor Deny"},
		{"Sid with a dash", whole(okStatement, `{"Sid":"a-b"}`), 1, "Sid", "letters and digits"},
		{"Sid beyond ASCII", whole(okStatement, `{"Sid":"é"}`), 1, "Sid", "letters and digits"},
		{"empty Sid", whole(`{"Sid":""}`), 0, "Sid", "an empty string"},
		{"Sid twice", whole(`{"Sid":"a","Effect":"Allow","Action":"*","Resource":"*"}`, `{"Sid":"a","Effect":"Deny","Action":"*","Resource":"*"}`), 1, "Sid", "two statements have this Sid"},
		{"no effect", whole(`{"Action":"s3:GetObject","Resource":"*"}`), 0, "", "Effect is missing"},
		{"no action", whole(`{"Effect":"Allow","Resource":"*"}`), 0, "", "Action is missing"},
		{"no resource", whole(`{"Effect":"Allow","Action":"s3:GetObject"}`), 0, "", "Resource is missing"},
		{"action without a service", whole(`{"Effect":"Allow","Action":"GetObject","Resource":"*"}`), 0, "Action", "service:Name"},
		{"action with a glob in the service", whole(`{"Effect":"Allow","Action":"s*:GetObject","Resource":"*"}`), 0, "Action", "service:Name"},
		{"action with a variable", whole(`{"Effect":"Allow","Action":"s3:${x}","Resource":"*"}`), 0, "Action", "service:Name"},
		{"action without a name", whole(`{"Effect":"Allow","Action":"s3:","Resource":"*"}`), 0, "Action", "service:Name"},
		{"Action and NotAction", whole(`{"Effect":"Allow","Action":"s3:*","NotAction":"s3:PutObject","Resource":"*"}`), 0, "NotAction", "Action and its negation"},
		{"Resource and NotResource", whole(`{"Effect":"Allow","Action":"s3:*","NotResource":"arn:a","Resource":"*"}`), 0, "Resource", "Resource and its negation"},
		{"empty resources", whole(`{"Effect":"Allow","Action":"s3:GetObject","Resource":[]}`), 0, "Resource", "an empty array"},
		{"empty resource", whole(`{"Effect":"Allow","Action":"s3:GetObject","Resource":[""]}`), 0, "Resource", "an empty string"},
		{"resource is a number", whole(`{"Effect":"Allow","Action":"s3:GetObject","Resource":1}`), 0, "Resource", "a string or an array"},
		{"resource is null", whole(`{"Effect":"Allow","Action":"s3:GetObject","Resource":[null]}`), 0, "Resource", "a string or an array"},
		{"glob inside a part of an ARN", whole(`{"Effect":"Allow","Action":"s3:*","Resource":"arn:aws:s*3:::b"}`), 0, "Resource", "must end its part"},
		{"open variable", whole(`{"Effect":"Allow","Action":"s3:*","Resource":"${a"}`), 0, "Resource", "closing brace"},
		{"empty variable", whole(`{"Effect":"Allow","Action":"s3:*","Resource":"${}"}`), 0, "Resource", "name is empty"},
		{"variable in a variable", whole(`{"Effect":"Allow","Action":"s3:*","Resource":"${a${b}}"}`), 0, "Resource", "a variable's name"},
		{"space in a variable", whole(`{"Effect":"Allow","Action":"s3:*","Resource":"${ a }"}`), 0, "Resource", "a variable's name"},
		{"default without quotes", whole(`{"Effect":"Allow","Action":"s3:*","Resource":"${a, b}"}`), 0, "Resource", "single quotes"},
		{"default with an open quote", whole(`{"Effect":"Allow","Action":"s3:*","Resource":"${a, 'b}"}`), 0, "Resource", "single quotes"},
		{"default of a character", whole(`{"Effect":"Allow","Action":"s3:*","Resource":"${*, 'b'}"}`), 0, "Resource", "a variable's name"},
		{"unknown operator", with(`{"StringEqual":{"a":"b"}}`), 1, "Condition.StringEqual", "unknown condition operator"},
		{"operator in another case", with(`{"stringEquals":{"a":"b"}}`), 1, "Condition.stringEquals", "unknown condition operator"},
		{"unknown set", with(`{"ForSomeValues:StringEquals":{"a":"b"}}`), 1, "Condition.ForSomeValues:StringEquals", "unknown condition operator"},
		{"NullIfExists", with(`{"NullIfExists":{"a":"true"}}`), 1, "Condition.NullIfExists", "unknown condition operator"},
		{"ForAllValues:Null", with(`{"ForAllValues:Null":{"a":"true"}}`), 1, "Condition.ForAllValues:Null", "unknown condition operator"},
		{"empty condition", with(`{}`), 1, "Condition", "an empty object"},
		{"empty operator", with(`{"Bool":{}}`), 1, "Condition.Bool", "an empty object"},
		{"empty condition key", with(`{"Bool":{"":"true"}}`), 1, "Condition.Bool.", "an empty condition key"},
		{"condition key twice", with(`{"Bool":{"a":"true","A":"false"}}`), 1, "Condition.Bool", `key "A" is there twice`},
		{"condition without values", with(`{"StringEquals":{"a":[]}}`), 1, "Condition.StringEquals.a", "an empty array"},
		{"bool", with(`{"Bool":{"a":"yes"}}`), 1, "Condition.Bool.a", "neither true nor false"},
		{"bool as a variable", with(`{"Bool":{"a":"${b}"}}`), 1, "Condition.Bool.a", "neither true nor false"},
		{"bool as a number", with(`{"Bool":{"a":1}}`), 1, "Condition.Bool.a", "a string or an array"},
		{"number", with(`{"NumericEquals":{"a":"1e3"}}`), 1, "Condition.NumericEquals.a", "not a decimal number"},
		{"bare number", with(`{"NumericEquals":{"a":1e3}}`), 1, "Condition.NumericEquals.a", "not a decimal number"},
		{"date", with(`{"DateLessThan":{"a":"2026"}}`), 1, "Condition.DateLessThan.a", "not a date"},
		{"date with a comma", with(`{"DateLessThan":{"a":"2026-01-01T00:00:00,5Z"}}`), 1, "Condition.DateLessThan.a", "not a date"},
		{"month 13", with(`{"DateLessThan":{"a":"2026-13-01"}}`), 1, "Condition.DateLessThan.a", "not a date"},
		{"address", with(`{"IpAddress":{"a":"10.0.0.0/33"}}`), 1, "Condition.IpAddress.a", "neither an address"},
		{"address with a zone", with(`{"IpAddress":{"a":"fe80::1%eth0"}}`), 1, "Condition.IpAddress.a", "neither an address"},
		{"mapped network", with(`{"IpAddress":{"a":"::ffff:10.0.0.0/104"}}`), 1, "Condition.IpAddress.a", "neither an address"},
		{"ARN", with(`{"ArnLike":{"a":"*"}}`), 1, "Condition.ArnLike.a", "six parts"},
		{"base64", with(`{"BinaryEquals":{"a":"QQ"}}`), 1, "Condition.BinaryEquals.a", "not canonical base64"},
		{"loose base64", with(`{"BinaryEquals":{"a":"QR=="}}`), 1, "Condition.BinaryEquals.a", "not canonical base64"},
		{"fold beyond ASCII", with(`{"StringEqualsIgnoreCase":{"a":"é"}}`), 1, "Condition.StringEqualsIgnoreCase.a", "ASCII only"},
		{"long key", whole(`{"` + strings.Repeat("K", 99) + `":1}`), 0, "", strings.Repeat("K", 40) + "…"},
	} {
		d, err := Parse([]byte(c.in))
		var at *ParseError
		if d != nil || !errors.Is(err, ErrMalformed) || !errors.As(err, &at) {
			t.Errorf("%s: %v, %v", c.name, d, err)
			continue
		}
		if at.Statement != c.statement || at.Key != c.key || !strings.Contains(at.Reason, c.want) {
			t.Errorf("%s: %d %q %q", c.name, at.Statement, at.Key, at.Reason)
		}
	}
	if doc(t, okStatement, okStatement) == nil {
		t.Error("the control is refused")
	}
}

func TestParseBounds(t *testing.T) {
	t.Parallel()
	for _, in := range []string{"", " ", "\n\t "} {
		if d, err := Parse([]byte(in)); d != nil || !errors.Is(err, ErrEmpty) {
			t.Errorf("%q: %v", in, err)
		}
	}
	// Characters count, not bytes: é has two.
	fill := func(n int) string {
		s := `{"Id":"",` + whole(okStatement)[1:]
		return strings.Replace(s, `"Id":""`, `"Id":"`+strings.Repeat("é", n-len(s))+`"`, 1)
	}
	for _, in := range []string{fill(MaxSize + 1), whole(okStatement) + strings.Repeat(" ", MaxSize), strings.Repeat("x", 1<<20)} {
		if d, err := Parse([]byte(in)); d != nil || !errors.Is(err, ErrTooLarge) {
			t.Errorf("%d bytes: %v", len(in), err)
		}
	}
	if _, err := Parse([]byte(fill(MaxSize))); err != nil {
		t.Errorf("the largest: %v", err)
	}
}

func TestParseAccepts(t *testing.T) {
	t.Parallel()
	for name, in := range map[string]string{
		"white space":            " {\n\t\"Version\" : \"2012-10-17\",\r\n\"Statement\":[" + okStatement + "]} ",
		"Id and Sid":             `{"Version":"2012-10-17","Id":"a","Statement":[{"Sid":"b","Effect":"Deny","NotAction":["s3:*"],"NotResource":["arn:aws:s3:::a","${b}"]}]}`,
		"globs in ARNs":          whole(`{"Effect":"Allow","Action":"*","Resource":["arn:aws:s3*","arn:aws:ec2:eu-*:*:instance/*x*","arn:aws:iam::${aws:PrincipalAccount}:role/*x"]}`),
		"bare values":            whole(`{"Effect":"Allow","Action":"*","Resource":"*","Condition":{"Bool":{"a":true},"Null":{"b":[false,"true"]},"NumericEquals":{"c":[1,-2.5,"3"]},"DateEquals":{"d":1700000000}}}`),
		"one key, two operators": whole(`{"Effect":"Allow","Action":"*","Resource":"*","Condition":{"DateLessThan":{"a":"2026-01-01"},"DateGreaterThan":{"a":"2025-01-01T00:00Z"}}}`),
		"a dollar":               whole(`{"Effect":"Allow","Action":"*","Resource":"arn:aws:s3:::b/$a"}`),
		"Latin-1":                whole(`{"Effect":"Allow","Action":"*","Resource":"arn:aws:s3:::b/\u00e9é"}`),
	} {
		d, err := Parse([]byte(in))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		again, err := d.MarshalJSON()
		if err != nil || len(again) > len(in) || !json.Valid(again) {
			t.Errorf("%s: %s, %v", name, again, err)
		}
		if _, err := Parse(again); err != nil {
			t.Errorf("%s: written as %s: %v", name, again, err)
		}
	}
}
