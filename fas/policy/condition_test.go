package policy

import (
	"fmt"
	"strings"
	"testing"
)

// Each row is a condition, the key's values in the request, and what an allow
// and a deny under that condition decide. The values "-" are an absent key,
// values with "|" between them a key with several.
func TestConditions(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		operator, values, got string
		allow, deny           bool
	}{
		{"StringEquals", `"a"`, "-", false, false},
		{"StringEquals", `"a"`, "b", false, false},
		{"StringEquals", `"a"`, "A", false, false},
		{"StringEquals", `"a*"`, "ab", false, false},
		{"StringEquals", `"a"`, "a|b", false, true},
		{"StringEquals", `["x","a"]`, "a", true, true},
		{"StringEquals", `""`, "", true, true},
		{"StringNotEquals", `["x","a"]`, "a", false, false},
		{"StringNotEquals", `"a"`, "b", true, true},
		{"StringNotEquals", `"a"`, "-", true, true},
		{"StringEqualsIfExists", `"a"`, "b", false, false},
		{"StringEqualsIfExists", `"a"`, "-", true, true},
		{"StringNotEqualsIfExists", `"a"`, "a", false, false},
		{"StringNotEqualsIfExists", `"a"`, "-", true, true},
		{"StringEqualsIgnoreCase", `"ab"`, "AC", false, false},
		{"StringEqualsIgnoreCase", `"aB"`, "Ab", true, true},
		{"StringNotEqualsIgnoreCase", `"aB"`, "Ab", false, false},
		{"StringNotEqualsIgnoreCase", `"aB"`, "x", true, true},
		{"StringLike", `"a?c*"`, "ac", false, false},
		{"StringLike", `"a${*}"`, "ab", false, false},
		{"StringLike", `"a?c*"`, "abcd", true, true},
		{"StringNotLike", `["x*","a*"]`, "ab", false, false},
		{"StringNotLike", `"a*"`, "b", true, true},

		{"NumericEquals", `"5"`, "five", false, true},
		{"NumericEquals", `"5"`, "5e0", false, true},
		{"NumericEquals", `"5"`, "", false, true},
		{"NumericEquals", `"9007199254740993"`, "9007199254740992", false, false},
		{"NumericEquals", `5`, "+05.00", true, true},
		{"NumericEquals", `"0"`, "-0.0", true, true},
		{"NumericNotEquals", `5`, "5.0", false, false},
		{"NumericNotEquals", `5`, "five", false, true},
		{"NumericNotEquals", `5`, "5.01", true, true},
		{"NumericLessThan", `10`, "10", false, false},
		{"NumericLessThan", `-10`, "-9", false, false},
		{"NumericLessThan", `10`, "9.99", true, true},
		{"NumericLessThan", `-10`, "-11", true, true},
		{"NumericLessThanEquals", `10`, "10.1", false, false},
		{"NumericLessThanEquals", `10`, "10", true, true},
		{"NumericGreaterThan", `1.5`, "1.5", false, false},
		{"NumericGreaterThan", `1.5`, "1.51", true, true},
		{"NumericGreaterThanEquals", `2`, "1.9", false, false},
		{"NumericGreaterThanEquals", `2`, "10", true, true},

		{"DateLessThan", `"2026-01-01T00:00:00Z"`, "2026-01-01T00:00:00Z", false, false},
		{"DateLessThan", `"2026-01-01T00:00:00Z"`, "tomorrow", false, true},
		{"DateLessThan", `"2026-01-01T00:00:00Z"`, "-", false, false},
		{"DateLessThan", `"2026-01-01T00:00:00Z"`, "2025-12-31T23:59:59.9Z", true, true},
		{"DateLessThan", `"2026-01-01"`, "2026-01-01T00:30:00+01:00", true, true},
		{"DateLessThanEquals", `"1767225600"`, "2026-01-01T00:00:01Z", false, false},
		{"DateLessThanEquals", `1767225600`, "2026-01-01T00:00Z", true, true},
		{"DateGreaterThan", `"2026-01-01T00:00:00Z"`, "2026-01-01T00:00:00Z", false, false},
		{"DateGreaterThan", `"2026-01-01T00:00:00Z"`, "1767225601", true, true},
		{"DateGreaterThanEquals", `"2026-01-01T00:00:00Z"`, "2025-12-31", false, false},
		{"DateGreaterThanEquals", `"2026-01-01T00:00:00Z"`, "2026-01-01", true, true},
		{"DateEquals", `"2026-01-01"`, "2026-01-02", false, false},
		{"DateEquals", `"2026-01-01"`, "2026-01-01T01:00:00+01:00", true, true},
		{"DateNotEquals", `"2026-01-01"`, "2026-01-01", false, false},
		{"DateNotEquals", `"2026-01-01"`, "2026-01-02", true, true},

		{"Bool", `"true"`, "false", false, false},
		{"Bool", `"true"`, "yes", false, true},
		{"Bool", `"true"`, "-", false, false},
		{"Bool", `false`, "FALSE", true, true},
		{"BoolIfExists", `"true"`, "-", true, true},
		{"BoolIfExists", `"true"`, "false", false, false},

		{"BinaryEquals", `"QUJD"`, "QUJE", false, false},
		{"BinaryEquals", `"QQ=="`, "QR==", false, true},
		{"BinaryEquals", `"QQ=="`, "QQ", false, true},
		{"BinaryEquals", `"QUI="`, "QUI=", true, true},

		{"IpAddress", `"10.0.0.0/8"`, "11.0.0.1", false, false},
		{"IpAddress", `"10.0.0.0/8"`, "10.0.0", false, true},
		{"IpAddress", `"10.0.0.1"`, "10.0.0.2", false, false},
		{"IpAddress", `"0.0.0.0/0"`, "::1", false, false},
		{"IpAddress", `"fe80::/10"`, "fe80::1%eth0", false, true},
		{"IpAddress", `"10.1.2.3/8"`, "10.0.0.1", true, true},
		{"IpAddress", `"10.0.0.0/8"`, "::ffff:10.0.0.1", true, true},
		{"IpAddress", `"2001:db8::/32"`, "2001:DB8::1", true, true},
		{"NotIpAddress", `["11.0.0.0/8","10.0.0.0/8"]`, "10.0.0.1", false, false},
		{"NotIpAddress", `"10.0.0.0/8"`, "elsewhere", false, true},
		{"NotIpAddress", `"10.0.0.0/8"`, "::1", true, true},

		{"ArnEquals", `"arn:aws:s3:::b"`, "arn:aws:s3:::c", false, false},
		{"ArnEquals", `"arn:aws:s3:::b"`, "b", false, true},
		{"ArnLike", `"arn:aws:*:*:1:b"`, "skip", false, true},
		{"ArnLike", `"arn:aws:s3*:::b"`, "arn:aws:s3:x::b", false, false},
		{"ArnLike", `"arn:aws:*:*:*:b"`, "arn:aws:sns:eu:1:a:b", false, false},
		{"ArnLike", `"arn:aws:sns:*:1:t*"`, "arn:aws:sns:eu:1:topic:sub", true, true},
		{"ArnEquals", `"arn:aws:sns:*:1:t"`, "arn:aws:sns:eu:1:t", true, true},
		{"ArnNotLike", `"arn:aws:sns:*:*:*"`, "arn:aws:sns:eu:1:t", false, false},
		{"ArnNotLike", `"arn:aws:sns:*:*:*"`, "sns", false, true},
		{"ArnNotEquals", `"arn:aws:sns:*:*:*"`, "arn:aws:sqs:eu:1:t", true, true},
		{"ArnNotEquals", `"arn:aws:sns:*:*:*"`, "-", true, true},

		{"Null", `"true"`, "x", false, false},
		{"Null", `"false"`, "-", false, false},
		{"Null", `"true"`, "-", true, true},
		{"Null", `false`, "x", true, true},
		{"Null", `false`, "x|y", true, true},
		{"Null", `["true","false"]`, "-", true, true},

		{"ForAllValues:StringEquals", `["a","b"]`, "a|c", false, false},
		{"ForAllValues:StringEquals", `["a","b"]`, "c", false, false},
		{"ForAllValues:StringEquals", `["a","b"]`, "a|b|a", true, true},
		{"ForAllValues:StringEquals", `["a","b"]`, "a", true, true},
		{"ForAllValues:StringEquals", `["a","b"]`, "-", true, true},
		{"ForAllValues:StringNotEquals", `["a","b"]`, "c|a", false, false},
		{"ForAllValues:StringNotEquals", `["a","b"]`, "c|d", true, true},
		{"ForAllValues:NumericLessThan", `5`, "4|5", false, false},
		{"ForAllValues:NumericLessThan", `5`, "4|x", false, true},
		{"ForAllValues:NumericLessThan", `5`, "x|5", false, false},
		{"ForAllValues:StringEqualsIfExists", `"a"`, "-", true, true},
		{"ForAnyValue:StringEquals", `["a","b"]`, "c|d", false, false},
		{"ForAnyValue:StringEquals", `["a","b"]`, "-", false, false},
		{"ForAnyValue:StringEquals", `["a","b"]`, "c|b", true, true},
		{"ForAnyValue:StringLike", `"a*"`, "ab", true, true},
		{"ForAnyValue:StringNotEquals", `"a"`, "a", false, false},
		{"ForAnyValue:StringNotEquals", `"a"`, "-", false, false},
		{"ForAnyValue:StringNotEquals", `"a"`, "a|b", true, true},
		{"ForAnyValue:StringEqualsIfExists", `"a"`, "-", false, true},
		{"ForAnyValue:NumericLessThan", `5`, "9|x", false, true},
		{"ForAnyValue:NumericLessThan", `5`, "x|4", true, true},
	} {
		r := Request{Action: "s:a", Resource: "r"}
		switch list := strings.Split(c.got, "|"); {
		case c.got == "-":
		case len(list) > 1:
			r.Multi = map[string][]string{"k": list}
		default:
			r.Context = map[string]string{"k": c.got}
		}
		for effect, want := range map[string]bool{"Allow": c.allow, "Deny": c.deny} {
			d := doc(t, fmt.Sprintf(`{"Effect":%q,"Action":"s:a","Resource":"r","Condition":{%q:{"K":%s}}}`, effect, c.operator, c.values))
			if got := d.Evaluate(r) != NoMatch; got != want {
				t.Errorf("%s with %s %s of %q: %v, want %v", effect, c.operator, c.values, c.got, got, want)
			}
		}
	}
	if len(operators) != 27 {
		t.Errorf("%d operators, and a table for 27", len(operators))
	}
}

func TestMultiOfOneAndOfNone(t *testing.T) {
	t.Parallel()
	d := doc(t, `{"Effect":"Allow","Action":"s:a","Resource":"r","Condition":{"StringEquals":{"k":"a"}}}`)
	for _, c := range []struct {
		list []string
		want Decision
	}{{nil, NoMatch}, {[]string{}, NoMatch}, {[]string{"b"}, NoMatch}, {[]string{"a", "a"}, NoMatch}, {[]string{"a"}, Allow}} {
		if got := d.Evaluate(Request{Action: "s:a", Resource: "r", Multi: map[string][]string{"k": c.list}}); got != c.want {
			t.Errorf("%q: %v", c.list, got)
		}
	}
	// A key with several values is no variable.
	d = doc(t, `{"Effect":"Allow","Action":"s:a","Resource":"${k}"}`)
	if d.Evaluate(Request{Action: "s:a", Resource: "r", Multi: map[string][]string{"k": {"r"}}}) != NoMatch {
		t.Error("a list became a variable")
	}
	if d.Evaluate(Request{Action: "s:a", Resource: "r", Context: map[string]string{"k": "r"}}) != Allow {
		t.Error("the control is refused")
	}
}
