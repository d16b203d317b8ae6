package policy

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestSubset(t *testing.T) {
	t.Parallel()
	allow := func(action, resource, condition string) string {
		s := fmt.Sprintf(`{"Effect":"Allow","Action":%q,"Resource":%q`, action, resource)
		if condition != "" {
			s += `,"Condition":{` + condition + `}`
		}
		return s + "}"
	}
	deny := func(action, resource, condition string) string {
		return strings.Replace(allow(action, resource, condition), "Allow", "Deny", 1)
	}
	const get, b = "s3:GetObject", "arn:aws:s3:::b/"
	profile := allow(get, b+"*", "") + "," + allow("s3:ListBucket", "arn:aws:s3:::b", "")
	for _, c := range []struct {
		name, profile, scope string
		want                 Answer
		reason               string
	}{
		{"other action", profile, allow("s3:PutObject", b+"*", ""), No, "would allow s3:PutObject on arn:aws:s3:::b/, which the profile does not (statement 0: s3:PutObject on arn:aws:s3:::b/*)"},
		{"wider action", profile, allow("s3:Get*", b+"*", ""), No, "would allow s3:Get on arn:aws:s3:::b/"},
		{"wider resource", profile, allow(get, "arn:aws:s3:::*", ""), No, "would allow s3:GetObject on arn:aws:s3:::, which"},
		{"every resource", profile, allow(get, "*", ""), No, "would allow s3:GetObject on x, which"},
		{"everything", profile, allow("*", "*", ""), No, "would allow x:x on x, which"},
		{"an action of one, a resource of the other", profile, allow("s3:ListBucket", b+"*", ""), No, "s3:ListBucket on arn:aws:s3:::b/"},
		{"NotAction", profile, `{"Effect":"Allow","NotAction":"s3:PutObject","Resource":"` + b + `*"}`, No, "statement 0: all but s3:PutObject"},
		{"NotResource", profile, `{"Effect":"Allow","Action":"s3:GetObject","NotResource":"` + b + `*"}`, No, "all but arn:aws:s3:::b/*"},
		{"shortest of several", profile, allow("s3:PutObject", b+"long*", "") + "," + allow("s3:PutObject", b+"*", ""), No, "on arn:aws:s3:::b/, which"},
		{"profile has a condition", allow(get, b+"*", `"StringEquals":{"k":"x"}`), allow(get, b+"*", ""), No, "on arn:aws:s3:::b/, which the profile does not (statement"},
		{"profile has another condition", allow(get, b+"*", `"StringEquals":{"k":"x"}`), allow(get, b+"*", `"StringEquals":{"k":"y"}`), No, `when k is "y"`},
		{"condition with more values", allow(get, b+"*", `"StringEquals":{"k":"x"}`), allow(get, b+"*", `"StringEquals":{"k":["x","y"]}`), No, `when k is "y"`},
		{"condition of an absent key", allow(get, b+"*", `"StringEquals":{"k":"x"}`), allow(get, b+"*", `"StringEqualsIfExists":{"k":"x"}`), No, "on arn:aws:s3:::b/, which"},
		{"all values are no value", allow(get, b+"*", `"ForAnyValue:StringEquals":{"k":"x"}`), allow(get, b+"*", `"ForAllValues:StringEquals":{"k":"x"}`), No, "on arn:aws:s3:::b/, which"},
		{"a denial of all but a default", allow(get, b+"*", "") + "," + deny("*", "*", `"StringNotEquals":{"k":"${v, 'x'}"}`), allow(get, b+"*", `"StringEquals":{"k":"x"}`), No, `when k is "x" and v is "v"`},
		{"later date", allow(get, b+"*", `"DateLessThan":{"k":"2026-01-01"}`), allow(get, b+"*", `"DateLessThan":{"k":"2026-01-02"}`), No, `when k is "2026-01-01`},
		{"profile denies", profile + "," + deny("*", b+"secret/*", ""), allow(get, b+"*", ""), No, "which the profile's statement 2 denies"},
		{"profile denies on a condition", profile + "," + deny("*", "*", `"Bool":{"k":"false"}`), allow(get, b+"*", ""), No, `when k is "false"`},
		{"denial of the scope-down on a condition", profile, allow(get, "arn:aws:s3:::*", "") + "," + deny(get, "arn:aws:s3:::?*", `"Bool":{"k":"true"}`), No, "on arn:aws:s3:::"},
		{"variable is missing in a denial of the profile", profile + "," + deny("*", b+"${k}/*", ""), allow(get, b+"*", ""), No, "which the profile's statement 2 denies"},
		{"variable against a literal", allow(get, b+"x/*", ""), allow(get, b+"${k}/*", ""), No, `on arn:aws:s3:::b/v/, which the profile does not when k is "v"`},
		{"literal against a variable", allow(get, b+"${k}/*", ""), allow(get, b+"x/*", ""), No, ""},
		{"variable against its default", allow(get, b+"${k, 'x'}", ""), allow(get, b+"${k}", "") + "," + allow(get, b+"x", ""), No, ""},
		{"without the guard for ForAllValues", allow(get, b+"*", `"ForAllValues:StringEquals":{"k":["x","y"]},"Null":{"k":"false"}`), allow(get, b+"*", `"ForAllValues:StringEquals":{"k":"x"}`), No, ""},
		{"a union of conditions", allow(get, b+"*", `"Null":{"k":"true"}`) + "," + allow(get, b+"*", `"Null":{"k":"false"}`), allow(get, b+"*", ""), Unknown, "whether the conditions of the profile's statement 0 hold"},

		{"the same", profile, profile, Yes, ""},
		{"narrower resource", profile, allow(get, b+"src/*", ""), Yes, ""},
		{"narrower action", allow("s3:Get*", b+"*", ""), allow("S3:GETOBJECT", b+"?", ""), Yes, ""},
		{"union of resources", allow(get, b+"a*", "") + "," + allow(get, b, "") + `,{"Effect":"Allow","Action":"s3:*","NotResource":"` + b + `a*"}`, allow(get, b+"*", ""), Yes, ""},
		{"union of actions", allow("s3:G*", "*", "") + `,{"Effect":"Allow","NotAction":"s3:G*","Resource":"*"}`, allow("s3:*", "*", ""), Yes, ""},
		{"union of what an action and a resource can be", allow("s3:*", b+"a*", "") + `,{"Effect":"Allow","Action":"s3:*","NotResource":"` + b + `a*"}`, allow("s3:*", b+"*", ""), Yes, ""},
		{"what is denied again", profile, allow(get, "*", "") + `,{"Effect":"Deny","Action":"*","NotResource":"` + b + `*"}`, Yes, ""},
		{"denied altogether", profile, allow("*", "*", "") + "," + deny("*", "*", ""), Yes, ""},
		{"only denials", profile, deny("*", "*", ""), Yes, ""},
		{"more conditions", allow(get, b+"*", `"StringEquals":{"K":"x"}`), allow(get, b+"*", `"StringEquals":{"k":"x"},"Bool":{"s":"true"}`), Yes, ""},
		{"fewer values", allow(get, b+"*", `"StringEqualsIfExists":{"k":["x","y"]}`), allow(get, b+"*", `"StringEquals":{"k":"y"}`), Yes, ""},
		{"more values of a negation", allow(get, b+"*", `"StringNotEquals":{"k":"x"}`), allow(get, b+"*", `"StringNotEquals":{"k":["y","x"]}`), Yes, ""},
		{"equal within a pattern", allow(get, b+"*", `"StringLike":{"k":"x*"}`), allow(get, b+"*", `"StringEquals":{"k":"xy"}`), Yes, ""},
		{"pattern within a pattern", allow(get, b+"*", `"StringLike":{"k":"x*"}`), allow(get, b+"*", `"StringLike":{"k":"xy?"}`), Yes, ""},
		{"earlier date", allow(get, b+"*", `"DateLessThan":{"k":"2026-01-02"}`), allow(get, b+"*", `"DateLessThan":{"k":"2026-01-01T00:00:00Z"}`), Yes, ""},
		{"smaller number", allow(get, b+"*", `"NumericLessThanEquals":{"k":"5"}`), allow(get, b+"*", `"NumericEquals":{"k":4}`), Yes, ""},
		{"network within a network", allow(get, b+"*", `"IpAddress":{"k":"10.0.0.0/8"}`), allow(get, b+"*", `"IpAddress":{"k":"10.1.0.0/16"}`), Yes, ""},
		{"denial elsewhere", profile + "," + deny("*", "arn:aws:s3:::b/secret/*", ""), allow(get, b+"src/*", ""), Yes, ""},
		{"denial of another action", profile + "," + deny("s3:Put*", "*", ""), allow(get, b+"*", ""), Yes, ""},
		{"the same denial", profile + "," + deny("s3:*", b+"*/secret", ""), allow(get, b+"*", "") + "," + deny("s3:*", b+"*/secret", ""), Yes, ""},
		{"a wider denial", profile + "," + deny("s3:*", b+"*/secret", `"Bool":{"k":"false"}`), allow(get, b+"*", "") + "," + deny("*", b+"*secret", ""), Yes, ""},
		{"the same denial with a variable", profile + "," + deny("s3:*", b+"${k}/secret", ""), allow(get, b+"*", "") + "," + deny("s3:*", b+"${k}/secret", ""), Yes, ""},
		{"a denial that the condition excludes", profile + "," + deny("*", "*", `"Bool":{"k":"false"}`), allow(get, b+"*", `"Bool":{"k":"true"}`), Yes, ""},
		{"a denial of all but, which the condition excludes", profile + "," + deny("*", "*", `"StringNotEquals":{"k":["x","y"]}`), allow(get, b+"*", `"StringEquals":{"k":"x"}`), Yes, ""},
		{"the same variable", allow(get, b+"${k}/*", ""), allow(get, b+"${K}/src/?", ""), Yes, ""},
		{"the same variable and default", allow(get, b+"${k, 'x'}/*", ""), allow(get, b+"${k,'x'}/src", ""), Yes, ""},
		{"a variable within a run", profile, allow(get, b+"${k}", ""), Yes, ""},
	} {
		in := Subset(doc(t, c.profile), doc(t, c.scope))
		if in.Answer != c.want || !strings.Contains(in.Reason, c.reason) || (in.Reason == "") != (c.want == Yes) {
			t.Errorf("%s: %v, %q", c.name, in.Answer, in.Reason)
		}
		if c.want == No && (doc(t, c.scope).Evaluate(in.Witness) != Allow || doc(t, c.profile).Evaluate(in.Witness) == Allow) {
			t.Errorf("%s: the witness is none: %+v", c.name, in.Witness)
		}
	}
	for _, in := range []Inclusion{Subset(nil, doc(t, okStatement)), Subset(doc(t, okStatement), nil), Subset(nil, nil)} {
		if in.Answer != No || in.Reason != "a policy is absent" {
			t.Errorf("absent: %+v", in)
		}
	}
	if Answer(0) != Unknown {
		t.Error("the zero answer says something")
	}
}

// Documents that somebody wrote to keep the comparison busy.
func TestSubsetIsBounded(t *testing.T) {
	t.Parallel()
	allow := func(action, resource string) string {
		return `{"Effect":"Allow","Action":` + action + `,"Resource":` + resource + `}`
	}
	quote := func(s string) string { return `"` + s + `"` }
	var globs, names, many []string
	for i := range 120 {
		globs = append(globs, quote(fmt.Sprintf("*%c?%c*", 'a'+i%26, 'a'+i/6)))
		names = append(names, quote(fmt.Sprintf("s:*%c?%c*", 'a'+i%26, 'a'+i/6)))
	}
	for i := range 22 {
		many = append(many, allow(quote(fmt.Sprintf("s:*%c*", 'a'+i)), quote(fmt.Sprintf("*%c*", 'a'+i))))
	}
	list := func(l []string) string { return "[" + strings.Join(l, ",") + "]" }
	var conditions []string
	for i := range 8 {
		conditions = append(conditions, fmt.Sprintf(`{"Effect":"Allow","Action":"*","Resource":"*","Condition":{"StringLike":{"k%d":["%s","x*"]},"StringNotLike":{"k%d":"a*"}}}`, i, strings.Repeat("*a?", 20), i))
	}
	var likes []string
	for i := range 100 {
		likes = append(likes, quote(fmt.Sprintf("*%c?%c*%c?%c*", 'a'+i%26, 'a'+i/6, 'b'+i%20, 'a'+i%7)))
	}
	like := func(values []string) string {
		return `{"Effect":"Allow","Action":"*","Resource":"*","Condition":{"StringLike":{"k":` + list(values) + `}}}`
	}
	questions := strings.Repeat("?", 40)
	for _, c := range []struct {
		name           string
		profile, scope []string
		gaveUp         bool
	}{
		{"nth letter from the end", []string{allow(`"s:a"`, quote("*a"+questions))}, []string{allow(`"s:a"`, quote("*a?"+questions))}, true},
		{"long", []string{allow(`"s:a"`, quote("*a"+strings.Repeat("?", 1800)))}, []string{allow(`"s:a"`, quote("*b"+strings.Repeat("?", 1800)))}, true},
		{"many actions", []string{allow(list(names), `"*"`)}, []string{allow(`"*"`, `"*"`)}, true},
		{"many classes of actions", many, many, true},
		{"many resources", []string{allow(`"*"`, list(globs))}, []string{allow(`"*"`, strings.ReplaceAll(list(globs[:100]), `*"`, `*z"`))}, false},
		{"many values", []string{like(likes[:60])}, []string{like(likes[40:])}, true},
		{"many contexts", conditions, []string{allow(`"*"`, `"*"`), strings.Replace(conditions[0], "Allow", "Deny", 1)}, false},
	} {
		in := newComparison(doc(t, c.profile...), doc(t, c.scope...))
		start := time.Now()
		in.run()
		t.Logf("%s: %v", c.name, time.Since(start))
		if in.budget.left < -subsetBudget/10 {
			t.Errorf("%s: %d of %d spent", c.name, subsetBudget-in.budget.left, subsetBudget)
		}
		if c.gaveUp != (in.open == tooMuch) {
			t.Errorf("%s: %q", c.name, in.open)
		}
	}
}
