package policy

import (
	"slices"
	"testing"
)

func TestLint(t *testing.T) {
	t.Parallel()
	allow := func(condition string) string {
		return `{"Effect":"Allow","Action":"s3:GetObject","Resource":"arn:aws:s3:::b/*","Condition":{` + condition + `}}`
	}
	for _, c := range []struct {
		name, statement string
		want            []string
	}{
		{"plain", `{"Effect":"Allow","Action":"s3:GetObject","Resource":"arn:aws:s3:::b/*"}`, nil},
		{"condition", allow(`"StringEquals":{"k":"v"}`), nil},
		{"denials may reach far", `{"Effect":"Deny","Action":"*","Resource":"*","Condition":{"StringNotEquals":{"k":"v"}}}`, nil},
		{"ForAllValues", allow(`"ForAllValues:StringEquals":{"k":"v"}`), []string{CodeForAllValues}},
		{"ForAllValues, guarded", allow(`"ForAllValues:StringEquals":{"k":"v"},"Null":{"K":"false"}`), nil},
		{"ForAllValues, guarded the wrong way", allow(`"ForAllValues:StringEquals":{"k":"v"},"Null":{"k":["false","true"]}`), []string{CodeForAllValues}},
		{"ForAllValues in a deny", `{"Effect":"Deny","Action":"s3:*","Resource":"*","Condition":{"ForAllValues:StringEquals":{"k":"v"}}}`, nil},
		{"ForAnyValue", allow(`"ForAnyValue:StringEquals":{"k":"v"}`), nil},
		{"IfExists on a set", allow(`"ForAnyValue:StringEqualsIfExists":{"k":"v"}`), []string{CodeSetOperator, CodeAbsentKey}},
		{"several values, one operator", allow(`"StringEquals":{"aws:TagKeys":"v"}`), []string{CodeSetOperator}},
		{"negated", allow(`"StringNotEquals":{"k":"v"}`), []string{CodeAbsentKey}},
		{"IfExists", allow(`"BoolIfExists":{"k":"true"}`), []string{CodeAbsentKey}},
		{"absent and present", allow(`"Null":{"k":"true"},"StringEquals":{"k":"v"}`), []string{CodeNever}},
		{"NotAction", `{"Effect":"Allow","NotAction":"iam:*","Resource":"arn:aws:s3:::b"}`, []string{CodeNegation, CodeMints}},
		{"NotResource", `{"Effect":"Allow","Action":"s3:*","NotResource":"arn:aws:s3:::b"}`, []string{CodeNegation}},
		{"everything", `{"Effect":"Allow","Action":"*","Resource":"*"}`, []string{CodeEverything, CodeEverything, CodeMints}},
		{"mints", `{"Effect":"Allow","Action":"STS:assume*","Resource":"arn:aws:iam::1:role/x"}`, []string{CodeMints}},
		{"an ARN of any service", `{"Effect":"Deny","Action":"s3:*","Resource":["arn:aws:s3*","arn:aws:s3:::*"]}`, []string{CodeNotARN}},
		{"not an ARN", `{"Effect":"Deny","Action":"s3:*","Resource":"b/*"}`, []string{CodeNotARN}},
	} {
		var got []string
		for _, f := range Lint(doc(t, okDeny, c.statement)) {
			if got = append(got, f.Code); f.Statement != 1 || f.Message == "" {
				t.Errorf("%s: %+v", c.name, f)
			}
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
	if Lint(nil) != nil {
		t.Error("a nil document has findings")
	}
}

const okDeny = `{"Effect":"Deny","Action":"s3:PutObject","Resource":"*"}`
