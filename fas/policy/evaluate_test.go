package policy

import (
	"errors"
	"strings"
	"testing"
)

func TestEvaluate(t *testing.T) {
	t.Parallel()
	get := Request{Action: "s3:GetObject", Resource: "arn:aws:s3:::b/src/x", Context: map[string]string{"t": "acme", "star": "*", "part": "src"}}
	for _, c := range []struct {
		name, statement string
		want            Decision
	}{
		{"other action", `{"Effect":"Allow","Action":"s3:PutObject","Resource":"*"}`, NoMatch},
		{"other prefix", `{"Effect":"Allow","Action":"s3:*","Resource":"arn:aws:s3:::b/other/*"}`, NoMatch},
		{"resource in another case", `{"Effect":"Allow","Action":"s3:*","Resource":"arn:aws:s3:::B/*"}`, NoMatch},
		{"one character too many", `{"Effect":"Allow","Action":"s3:*","Resource":"arn:aws:s3:::b/src/x?"}`, NoMatch},
		{"a prefix is not the whole", `{"Effect":"Allow","Action":"s3:Get","Resource":"*"}`, NoMatch},
		{"deny wins", `{"Effect":"Allow","Action":"s3:*","Resource":"*"},{"Effect":"Deny","Action":"s3:*","Resource":"*"}`, Deny},
		{"deny wins before", `{"Effect":"Deny","Action":"s3:*","Resource":"*"},{"Effect":"Allow","Action":"s3:*","Resource":"*"}`, Deny},
		{"NotAction", `{"Effect":"Allow","NotAction":"s3:GetObject","Resource":"*"}`, NoMatch},
		{"NotResource", `{"Effect":"Allow","Action":"s3:*","NotResource":["arn:a","arn:aws:s3:::b/*"]}`, NoMatch},
		{"literal star", `{"Effect":"Allow","Action":"s3:*","Resource":"arn:aws:s3:::b/src/${*}"}`, NoMatch},
		{"literal question mark", `{"Effect":"Allow","Action":"s3:*","Resource":"arn:aws:s3:::b/src/${?}"}`, NoMatch},
		{"value is no pattern", `{"Effect":"Allow","Action":"s3:*","Resource":"arn:aws:s3:::b/${star}"}`, NoMatch},
		{"default is no pattern", `{"Effect":"Allow","Action":"s3:*","Resource":"arn:aws:s3:::b/${nothing, '*'}"}`, NoMatch},
		{"default is for missing values only", `{"Effect":"Allow","Action":"s3:*","Resource":"arn:aws:s3:::b/${t, 'src'}/x"}`, NoMatch},
		{"missing variable in an allow", `{"Effect":"Allow","Action":"s3:*","Resource":"${nothing}*"}`, NoMatch},
		{"missing variable in an allow of all but", `{"Effect":"Allow","Action":"s3:*","NotResource":"${nothing}"}`, NoMatch},
		{"missing variable in an allow of all but, far away", `{"Effect":"Allow","Action":"s3:*","NotResource":"arn:aws:sqs:::${nothing}"}`, NoMatch},
		{"missing variable in a deny", `{"Effect":"Deny","Action":"s3:*","Resource":"arn:aws:s3:::b/${nothing}/x"}`, Deny},
		{"missing variable in a deny of all but", `{"Effect":"Deny","Action":"s3:*","NotResource":"arn:aws:s3:::b/${nothing}"}`, Deny},
		{"missing variable in a deny of another action", `{"Effect":"Deny","Action":"s3:Put*","Resource":"${nothing}*"}`, NoMatch},
		{"missing variable in a deny that no value makes match", `{"Effect":"Deny","Action":"s3:*","Resource":"arn:aws:s3:::c/${nothing}"}`, NoMatch},
		{"missing variable in a condition of an allow", `{"Effect":"Allow","Action":"s3:*","Resource":"*","Condition":{"StringEquals":{"t":"${nothing}"}}}`, NoMatch},
		{"missing variable in a negated condition of an allow", `{"Effect":"Allow","Action":"s3:*","Resource":"*","Condition":{"StringNotEquals":{"t":"${nothing}"}}}`, NoMatch},
		{"missing variable in a condition of a deny", `{"Effect":"Deny","Action":"s3:*","Resource":"*","Condition":{"StringEquals":{"t":"${nothing}"}}}`, Deny},
		{"missing variable in a negated condition of a deny", `{"Effect":"Deny","Action":"s3:*","Resource":"*","Condition":{"StringNotEquals":{"t":"${nothing}"}}}`, Deny},
		{"all conditions must hold", `{"Effect":"Allow","Action":"s3:*","Resource":"*","Condition":{"StringEquals":{"t":"acme","star":"x"}}}`, NoMatch},
		{"allows", `{"Effect":"Allow","Action":"s3:GetObject","Resource":"arn:aws:s3:::b/src/*"}`, Allow},
		{"action in another case", `{"Effect":"Allow","Action":"S3:get*","Resource":"*"}`, Allow},
		{"star crosses slashes", `{"Effect":"Allow","Action":"s3:*","Resource":"arn:aws:s3:::b*x"}`, Allow},
		{"star takes nothing", `{"Effect":"Allow","Action":"s3:GetObject*","Resource":"arn:aws:s3:::b/src/*x"}`, Allow},
		{"one of several", `{"Effect":"Allow","Action":["s3:PutObject","s3:GetObject"],"Resource":["arn:a","${nothing}","*/x"]}`, Allow},
		{"variable", `{"Effect":"Allow","Action":"s3:*","Resource":"arn:aws:s3:::b/${part}/?"}`, Allow},
		{"variable in another case", `{"Effect":"Allow","Action":"s3:*","Resource":"arn:aws:s3:::b/${PART}/?"}`, Allow},
		{"default", `{"Effect":"Allow","Action":"s3:*","Resource":"arn:aws:s3:::b/${nothing, 'src'}/x"}`, Allow},
		{"default right after the comma", `{"Effect":"Allow","Action":"s3:*","Resource":"arn:aws:s3:::b/${nothing,'src'}/x"}`, Allow},
		{"condition", `{"Effect":"Allow","Action":"s3:*","Resource":"*","Condition":{"StringEquals":{"T":"acme"}}}`, Allow},
	} {
		if got := doc(t, c.statement).Evaluate(get); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

func TestQuestionMarkIsOneCharacter(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		pattern, resource string
		want              Decision
	}{
		{"a??", "aé", NoMatch}, {"*??", "→", NoMatch}, {"a?", "aé", Allow}, {"*?", "→", Allow}, {"a?b", "a\xffb", Deny}, {"*?b", "éb", Allow}, {"?", "é", Allow},
	} {
		d := doc(t, `{"Effect":"Allow","Action":"s:a","Resource":"`+c.pattern+`"}`)
		if got := d.Evaluate(Request{Action: "s:a", Resource: c.resource}); got != c.want {
			t.Errorf("%q against %q: %v", c.pattern, c.resource, got)
		}
	}
}

func TestAllowedNeedsEveryLayer(t *testing.T) {
	t.Parallel()
	get := Request{Action: "s3:GetObject", Resource: "arn:aws:s3:::b/x", Context: map[string]string{"v": "x"}}
	open := doc(t, okStatement)
	for name, layers := range map[string][]*Document{
		"no layer":              nil,
		"a nil layer":           {open, nil},
		"the zero document":     {open, new(Document)},
		"a layer without match": {open, doc(t, `{"Effect":"Allow","Action":"s3:PutObject","Resource":"*"}`)},
		"a layer that denies":   {doc(t, okStatement, `{"Effect":"Deny","Action":"s3:*","Resource":"*/x"}`), open},
		// One document of both would allow it.
		"two halves": {doc(t, `{"Effect":"Allow","Action":"s3:GetObject","Resource":"arn:aws:s3:::a/*"}`), doc(t, `{"Effect":"Allow","Action":"s3:GetObject","Resource":"arn:aws:s3:::b/*"}`)},
	} {
		if Allowed(get, layers...) {
			t.Errorf("%s: allowed", name)
		}
	}
	if !Allowed(get, open, open, open) {
		t.Error("the control is refused")
	}
	var none *Document
	if d, by := none.Explain(get); d != NoMatch || by != -1 {
		t.Error("a nil document decides")
	}
	if d, by := doc(t, okStatement, `{"Effect":"Deny","Action":"*","Resource":"*"}`).Explain(get); d != Deny || by != 1 {
		t.Errorf("%v by %d", d, by)
	}
	if d, by := doc(t, `{"Effect":"Allow","Action":"s3:Put*","Resource":"*"}`, okStatement, okStatement).Explain(get); d != Allow || by != 1 {
		t.Errorf("%v by %d", d, by)
	}
}

func TestRequestsThatAreNone(t *testing.T) {
	t.Parallel()
	open := doc(t, `{"Effect":"Allow","Action":"*","Resource":"*"}`)
	context := func(k string) map[string]string { return map[string]string{k: "v"} }
	for name, r := range map[string]Request{
		"zero":                       {},
		"no action":                  {Resource: "*"},
		"action without service":     {Action: "GetObject", Resource: "*"},
		"action without name":        {Action: "s3:", Resource: "*"},
		"action with two colons":     {Action: "s3:a:b", Resource: "*"},
		"action is a pattern":        {Action: "s3:*", Resource: "*"},
		"action beyond ASCII":        {Action: "s3:é", Resource: "*"},
		"no resource":                {Action: "s3:GetObject"},
		"resource too long":          {Action: "s3:GetObject", Resource: strings.Repeat("a", MaxResource+1)},
		"upper-case key":             {Action: "s3:GetObject", Resource: "*", Context: context("aws:SourceIp")},
		"upper-case key, Latin-1":    {Action: "s3:GetObject", Resource: "*", Context: context("É")},
		"upper-case set":             {Action: "s3:GetObject", Resource: "*", Multi: map[string][]string{"aws:TagKeys": {"a"}}},
		"a resource that is no text": {Action: "s3:GetObject", Resource: "a\xff"},
		"a value that is no text":    {Action: "s3:GetObject", Resource: "*", Context: map[string]string{"k": "\xc3"}},
		"one of several is no text":  {Action: "s3:GetObject", Resource: "*", Multi: map[string][]string{"k": {"v", "\xa9"}}},
		"values too long":            {Action: "s3:GetObject", Resource: "*", Context: map[string]string{"k": strings.Repeat("a", MaxContext/2), "l": strings.Repeat("a", MaxContext/2)}},
		"several values too long":    {Action: "s3:GetObject", Resource: "*", Context: context("l"), Multi: map[string][]string{"k": {strings.Repeat("a", MaxContext-24)}}},
		"too many values":            {Action: "s3:GetObject", Resource: "*", Multi: map[string][]string{"k": make([]string, MaxContext/16+1)}},
		"key in both":                {Action: "s3:GetObject", Resource: "*", Context: context("k"), Multi: map[string][]string{"k": {"v"}}},
	} {
		if err := r.Err(); !errors.Is(err, ErrRequest) {
			t.Errorf("%s: %v", name, err)
		}
		if open.Evaluate(r) != Deny || Allowed(r, open) {
			t.Errorf("%s: not denied", name)
		}
	}
	for _, ok := range []Request{
		{Action: "s3:GetObject", Resource: strings.Repeat("a", MaxResource), Context: context("aws:principaltag/é"), Multi: map[string][]string{"k": {"v"}}},
		{Action: "s3:GetObject", Resource: "é", Context: map[string]string{"k": "é€😀"}, Multi: map[string][]string{"l": {"", "é"}}},
		{Action: "s3:GetObject", Resource: "*", Context: map[string]string{"k": strings.Repeat("a", MaxContext-16)}},
		{Action: "s3:GetObject", Resource: "*", Multi: map[string][]string{"k": make([]string, MaxContext/16)}},
	} {
		if ok.Err() != nil || !Allowed(ok, open) {
			t.Errorf("the control: %v", ok.Err())
		}
	}
}

// Two halves of a character are no text: a denial that begins in the middle of
// one would not be found, and a profile that holds every text would not hold it.
func TestHalvesOfCharacters(t *testing.T) {
	t.Parallel()
	scope := doc(t, `{"Effect":"Allow","Action":"s3:GetObject","Resource":"${x}${y}b"}`)
	profile := doc(t, `{"Effect":"Allow","Action":"s3:GetObject","Resource":"*${y}b"}`)
	denies := doc(t, `{"Effect":"Allow","Action":"*","Resource":"*"}`, `{"Effect":"Deny","Action":"*","Resource":"*${y}b"}`)
	if in := Subset(profile, scope); in.Answer != Yes {
		t.Fatalf("%s: %s", in.Answer, in.Reason)
	}
	for x, y := range map[string]string{"\xc3": "\xa9", "é": "z"} {
		r := Request{Action: "s3:GetObject", Resource: x + y + "b", Context: map[string]string{"x": x, "y": y}}
		if scope.Evaluate(r) == Allow && profile.Evaluate(r) != Allow {
			t.Errorf("%q: yes, and not allowed", r.Resource)
		}
		if denies.Evaluate(r) != Deny {
			t.Errorf("%q: the denial is not found", r.Resource)
		}
	}
}

func TestDecisionsDoNotAllocate(t *testing.T) {
	layers, r := benchmarkLayers(t)
	if n := testing.AllocsPerRun(100, func() {
		if !Allowed(r, layers...) {
			t.Fatal("denied")
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// benchmarkLayers are two layers of four statements, the last of which decides.
func benchmarkLayers(t testing.TB) ([]*Document, Request) {
	t.Helper()
	profile := doc(t,
		`{"Effect":"Deny","Action":["iam:*","sts:*"],"Resource":"*"}`,
		`{"Effect":"Deny","Action":"s3:*","Resource":"*","Condition":{"Bool":{"aws:SecureTransport":"false"}}}`,
		`{"Effect":"Allow","Action":"s3:ListBucket","Resource":"arn:aws:s3:::*"}`,
		`{"Effect":"Allow","Action":["s3:GetObject","s3:GetObjectTagging"],"Resource":"arn:aws:s3:::*/*","Condition":{"StringEquals":{"aws:ResourceTag/tenant":"${aws:PrincipalTag/tenant}"}}}`)
	scope := doc(t,
		`{"Effect":"Deny","Action":"s3:*","NotResource":["arn:aws:s3:::acme-code","arn:aws:s3:::acme-code/*"]}`,
		`{"Effect":"Deny","Action":"s3:*","Resource":"arn:aws:s3:::acme-code/*/secret/*"}`,
		`{"Effect":"Allow","Action":"s3:ListBucket","Resource":"arn:aws:s3:::acme-code","Condition":{"StringLike":{"s3:prefix":"src/*"}}}`,
		`{"Effect":"Allow","Action":"s3:GetObject","Resource":"arn:aws:s3:::acme-code/src/*","Condition":{"DateLessThan":{"aws:CurrentTime":"2027-01-01T00:00:00Z"},"IpAddress":{"aws:SourceIp":"10.0.0.0/8"}}}`)
	r := Request{Action: "s3:GetObject", Resource: "arn:aws:s3:::acme-code/src/main/" + strings.Repeat("deep/", 4) + "x.go", Context: map[string]string{
		"aws:securetransport": "true", "aws:resourcetag/tenant": "acme", "aws:principaltag/tenant": "acme",
		"aws:currenttime": "2026-11-24T10:00:00Z", "aws:sourceip": "10.1.2.3"}}
	if !Allowed(r, profile, scope) {
		t.Fatal("denied")
	}
	return []*Document{profile, scope}, r
}

func BenchmarkDecision(b *testing.B) {
	layers, r := benchmarkLayers(b)
	b.ReportAllocs()
	for b.Loop() {
		if !Allowed(r, layers...) {
			b.Fatal("denied")
		}
	}
}

func BenchmarkParse(b *testing.B) {
	layers, _ := benchmarkLayers(b)
	raw, err := layers[0].MarshalJSON()
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Parse(raw); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkSubset(b *testing.B) {
	profile := doc(b, `{"Effect":"Allow","Action":["s3:GetObject","s3:ListBucket"],"Resource":"arn:aws:s3:::*"}`)
	scope := doc(b, `{"Effect":"Allow","Action":"s3:GetObject","Resource":"arn:aws:s3:::acme-code/src/*","Condition":{"DateLessThan":{"aws:CurrentTime":"2027-01-01T00:00:00Z"}}}`)
	b.ReportAllocs()
	for b.Loop() {
		if Subset(profile, scope).Answer != Yes {
			b.Fatal("no")
		}
	}
}
