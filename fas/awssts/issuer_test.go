package awssts_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/aws-sdk-go-v2/service/sts/types"

	"github.com/cloisterdev/cloister/fas"
	"github.com/cloisterdev/cloister/fas/awssts"
	"github.com/cloisterdev/cloister/fas/policy"
)

var tenantRole = role{"arn:aws:iam::123456789012:role/path/to/tenant", "external-id"}

// wire is an STS that says what a test wants, to the real client of the SDK.
func wire(t testing.TB, status int, body func(url.Values) string) (*sts.Client, *url.Values) {
	t.Helper()
	sent := &url.Values{}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = r.ParseForm()
		*sent = r.PostForm
		w.Header().Set("Content-Type", "text/xml")
		w.WriteHeader(status)
		_, _ = fmt.Fprint(w, body(r.PostForm))
	}))
	t.Cleanup(s.Close)
	return sts.NewFromConfig(config(static{AccessKeyID: "AKIAFIREWALL", SecretAccessKey: "s"}), func(o *sts.Options) { o.BaseEndpoint = &s.URL }), sent
}

func refusal(code string) func(url.Values) string {
	return func(url.Values) string {
		return `<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><Error><Type>Sender</Type><Code>` + code + `</Code><Message>m</Message></Error><RequestId>1</RequestId></ErrorResponse>`
	}
}

// assumed is AWS's answer, with the parts that a test replaces.
func assumed(replace ...string) func(url.Values) string {
	return func(v url.Values) string {
		return strings.NewReplacer(replace...).Replace(`<AssumeRoleResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleResult><SourceIdentity>` + v.Get("SourceIdentity") +
			`</SourceIdentity><AssumedRoleUser><AssumedRoleId>AROA:x</AssumedRoleId><Arn>arn:aws:sts::123456789012:assumed-role/tenant/` + v.Get("RoleSessionName") +
			`</Arn></AssumedRoleUser><Credentials><AccessKeyId>ASIASESSION</AccessKeyId><SecretAccessKey>secret</SecretAccessKey><SessionToken>token</SessionToken><Expiration>` +
			time.Now().Add(15*time.Minute).UTC().Format(time.RFC3339) + `</Expiration></Credentials><PackedPolicySize>12</PackedPolicySize></AssumeRoleResult></AssumeRoleResponse>`)
	}
}

func issuerOf(t testing.TB, c awssts.STS, r awssts.Roles) *awssts.Issuer {
	t.Helper()
	i, err := awssts.NewIssuer(c, r, nil)
	if err != nil {
		t.Fatal(err)
	}
	return i
}

func TestWhatSTSIsAsked(t *testing.T) {
	t.Parallel()
	client, sent := wire(t, 200, assumed())
	g := grant(t, reads, "acme-src", scopeOf(t, "acme-src"), 90*time.Second)
	c, err := issuerOf(t, client, tenantRole).Issue(context.Background(), g)
	if err != nil || c.AccessKeyID != "ASIASESSION" || c.Token != "token" || !c.Secret.Equal([]byte("secret")) {
		t.Fatalf("%+v, %v", c, err)
	}
	for k, want := range map[string]string{
		"RoleArn": tenantRole.ARN, "ExternalId": tenantRole.ExternalID, "RoleSessionName": g.Customization().String(), "DurationSeconds": "900",
		"SourceIdentity": awssts.SourceIdentity(g.Evidence()), "Tags.member.1.Key": "tenant", "Tags.member.1.Value": g.Caller().Tenant().String(),
		"Tags.member.2.Key": "customization", "Tags.member.2.Value": g.Customization().String(), "PolicyArns.member.1.arn": "",
	} {
		if got := sent.Get(k); got != want {
			t.Errorf("%s is %q, want %q", k, got, want)
		}
	}
	if s := awssts.SourceIdentity(g.Evidence()); len(s) != 30 || !strings.HasPrefix(s, "fas-") || s == awssts.SourceIdentity([32]byte{1}) {
		t.Errorf("source identity %q", s)
	}
	// The policy, as an evaluator reads it.
	doc, err := policy.Parse([]byte(sent.Get("Policy")))
	if err != nil {
		t.Fatal(err)
	}
	at := func(action, resource string, when time.Time) policy.Decision {
		return doc.Evaluate(policy.Request{Action: action, Resource: resource, Context: map[string]string{"aws:currenttime": when.UTC().Format(time.RFC3339)}})
	}
	now, end := time.Now(), g.Expires().Truncate(time.Second)
	for name, c := range map[string]struct {
		action, resource string
		when             time.Time
		want             policy.Decision
	}{
		"control":                  {"s3:GetObject", "arn:aws:s3:::acme-src/src/a", now, policy.Allow},
		"a second before the end":  {"s3:GetObject", "arn:aws:s3:::acme-src/src/a", end.Add(-time.Second), policy.Allow},
		"at the end":               {"s3:GetObject", "arn:aws:s3:::acme-src/src/a", end, policy.Deny},
		"later":                    {"s3:GetObject", "arn:aws:s3:::acme-src/src/a", end.Add(time.Hour), policy.Deny},
		"another bucket":           {"s3:GetObject", "arn:aws:s3:::other-src/src/a", now, policy.Deny},
		"another prefix":           {"s3:GetObject", "arn:aws:s3:::acme-src/other/a", now, policy.Deny},
		"another verb":             {"s3:PutObject", "arn:aws:s3:::acme-src/src/a", now, policy.Deny},
		"another role":             {"sts:AssumeRole", "arn:aws:iam::123456789012:role/tenant", now, policy.Deny},
		"a key, which S3 may need": {"kms:Decrypt", "arn:aws:kms:us-east-1:123456789012:key/1", now, policy.Deny},
	} {
		if got := at(c.action, c.resource, c.when); got != c.want {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

func TestIssuerRefusesGrants(t *testing.T) {
	t.Parallel()
	client, sent := wire(t, 200, assumed())
	good := scopeOf(t, "acme-src")
	of := func(allow string, scope []byte, ttl time.Duration) fas.Grant {
		return grant(t, allow, "acme-src", scope, ttl)
	}
	short := of(reads, good, time.Second)
	time.Sleep(time.Until(short.Expires()) + time.Millisecond)
	for name, c := range map[string]struct {
		g    fas.Grant
		r    awssts.Roles
		want error
	}{
		"the zero grant":        {fas.Grant{}, tenantRole, awssts.ErrGrant},
		"one that is over":      {short, tenantRole, awssts.ErrGrant},
		"no role":               {of(reads, good, 0), role{}, awssts.ErrRole},
		"no external ID":        {of(reads, good, 0), role{tenantRole.ARN, ""}, awssts.ErrRole},
		"a short external ID":   {of(reads, good, 0), role{tenantRole.ARN, "x"}, awssts.ErrRole},
		"a long external ID":    {of(reads, good, 0), role{tenantRole.ARN, strings.Repeat("x", 1225)}, awssts.ErrRole},
		"an external ID with /": {of(reads, good, 0), role{tenantRole.ARN, "a b"}, awssts.ErrRole},
		"a user for a role":     {of(reads, good, 0), role{"arn:aws:iam::123456789012:user/tenant", "external-id"}, awssts.ErrRole},
		"a session for a role":  {of(reads, good, 0), role{"arn:aws:sts::123456789012:assumed-role/tenant/x", "external-id"}, awssts.ErrRole},
		"a role of any account": {of(reads, good, 0), role{"arn:aws:iam::*:role/tenant", "external-id"}, awssts.ErrRole},
		"a long scope": {of(reads, []byte(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:GetObject","Resource":"arn:aws:s3:::acme-src/src/`+strings.Repeat("x", 900)+`"}]}`), 0),
			tenantRole, awssts.ErrTooLarge},
		"a scope with a time of its own": {of(reads, []byte(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:GetObject","Resource":"arn:aws:s3:::acme-src/src/*","Condition":{"DateLessThan":{"AWS:currentTime":"2099-01-01T00:00:00Z"}}}]}`), 0),
			tenantRole, awssts.ErrScope},
		"one in the same letters": {of(reads, []byte(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:GetObject","Resource":"arn:aws:s3:::acme-src/src/*","Condition":{"DateLessThan":{"aws:CurrentTime":"2099-01-01T00:00:00Z"}}}]}`), 0),
			tenantRole, awssts.ErrScope},
	} {
		if creds, err := issuerOf(t, client, c.r).Issue(context.Background(), c.g); !errors.Is(err, c.want) || creds.Token != "" {
			t.Errorf("%s: %v", name, err)
		}
	}
	if len(*sent) != 0 {
		t.Error("STS was asked")
	}
	for name, err := range map[string]error{"no client": errOf(awssts.NewIssuer(nil, tenantRole, nil)), "no roles": errOf(awssts.NewIssuer(client, nil, nil))} {
		if !errors.Is(err, awssts.ErrConfig) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// The layers, without the firewall's own check before them.
func TestScopeWithinProfile(t *testing.T) {
	t.Parallel()
	end := time.Now().Add(time.Minute)
	s := func(rest string) string { return `{"Version":"2012-10-17","Statement":[` + rest + `]}` }
	inside := s(`{"Effect":"Allow","Action":"s3:GetObject","Resource":"arn:aws:s3:::acme-src/src/*"}`)
	for name, c := range map[string]struct{ profile, scope string }{
		"an empty scope":       {reads, ""},
		"white space":          {reads, " \n"},
		"null":                 {reads, "null"},
		"no statements":        {reads, s("")},
		"an unknown key":       {reads, s(`{"Effect":"Allow","Action":"s3:GetObject","Resource":"*","Resources":"x"}`)},
		"a key twice":          {reads, s(`{"Effect":"Allow","Action":"s3:GetObject","Resource":"arn:aws:s3:::a/*","Resource":"*"}`)},
		"a wider verb":         {reads, s(`{"Effect":"Allow","Action":"s3:*","Resource":"arn:aws:s3:::acme-src/*"}`)},
		"another service":      {reads, s(`{"Effect":"Allow","Action":"sts:AssumeRole","Resource":"*"}`)},
		"everything":           {reads, s(`{"Effect":"Allow","Action":"*","Resource":"*"}`)},
		"everything but":       {s(`{"Effect":"Allow","Action":"*","Resource":"*"}`), s(`{"Effect":"Allow","NotAction":"s3:PutObject","Resource":"*"}`)},
		"everywhere but":       {s(`{"Effect":"Allow","Action":"*","Resource":"*"}`), s(`{"Effect":"Allow","Action":"s3:GetObject","NotResource":"arn:aws:s3:::a/*"}`)},
		"denials only":         {reads, s(`{"Effect":"Deny","Action":"s3:GetObject","Resource":"*"}`)},
		"an empty profile":     {"", inside},
		"a profile that reads": {s(`{"Effect":"Allow","Action":"s3:ListBucket","Resource":"*"}`), inside},
	} {
		if text, err := awssts.SessionPolicy([]byte(c.profile), []byte(c.scope), end, true); !errors.Is(err, awssts.ErrScope) || text != "" {
			t.Errorf("%s: %q, %v", name, text, err)
		}
	}
	for _, fence := range []bool{false, true} {
		text, err := awssts.SessionPolicy([]byte(reads), []byte(inside), end, fence)
		if err != nil {
			t.Fatalf("control: %v", err)
		}
		// What is sent allows nothing that the scope-down does not.
		sent, err := policy.Parse([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		scope, err := policy.Parse([]byte(inside))
		if err != nil {
			t.Fatal(err)
		}
		if in := policy.Subset(scope, sent); in.Answer != policy.Yes {
			t.Errorf("fence %v: %v %s", fence, in.Answer, in.Reason)
		}
		at := func(when time.Time) bool {
			return policy.Allowed(policy.Request{Action: "s3:GetObject", Resource: "arn:aws:s3:::acme-src/src/a", Context: map[string]string{"aws:currenttime": when.UTC().Format(time.RFC3339)}}, sent)
		}
		if at(end) || at(end.Add(time.Hour)) || !at(time.Now()) {
			t.Errorf("fence %v: it does not end at its end", fence)
		}
	}
	// A denial of the scope-down stays, without an end.
	text, err := awssts.SessionPolicy([]byte(reads), []byte(s(`{"Effect":"Allow","Action":"s3:GetObject","Resource":"arn:aws:s3:::acme-src/src/*"},{"Effect":"Deny","Action":"s3:GetObject","Resource":"arn:aws:s3:::acme-src/src/secret"}`)), end, false)
	if err != nil || !strings.Contains(text, `{"Effect":"Deny","Action":"s3:GetObject","Resource":"arn:aws:s3:::acme-src/src/secret"}`) {
		t.Errorf("%s, %v", text, err)
	}
}

func TestAnswersOfAssumeRole(t *testing.T) {
	t.Parallel()
	g := grant(t, reads, "acme-src", scopeOf(t, "acme-src"), 0)
	var packed *types.PackedPolicyTooLargeException
	for name, c := range map[string]struct {
		status int
		body   func(url.Values) string
		want   error
	}{
		"packed":                    {400, refusal("PackedPolicyTooLarge"), awssts.ErrPacked},
		"denied":                    {403, refusal("AccessDenied"), awssts.ErrRefused},
		"a malformed policy":        {400, refusal("MalformedPolicyDocument"), awssts.ErrService},
		"an expired firewall":       {403, refusal("ExpiredToken"), awssts.ErrService},
		"broken":                    {500, refusal("InternalFailure"), awssts.ErrService},
		"not XML":                   {200, func(url.Values) string { return "{}" }, awssts.ErrService},
		"nothing":                   {200, func(url.Values) string { return "" }, awssts.ErrService},
		"no credentials":            {200, assumed("<Credentials>", "<Other>", "</Credentials>", "</Other>"), awssts.ErrService},
		"no token":                  {200, assumed("<SessionToken>token</SessionToken>", ""), awssts.ErrService},
		"an empty secret":           {200, assumed("<SecretAccessKey>secret</SecretAccessKey>", "<SecretAccessKey></SecretAccessKey>"), awssts.ErrService},
		"no end":                    {200, assumed("Expiration>", "Other>"), awssts.ErrService},
		"a session of another role": {200, assumed("assumed-role/tenant/", "assumed-role/other/"), awssts.ErrService},
		"of another account":        {200, assumed("::123456789012:", "::999999999999:"), awssts.ErrService},
		"of another source":         {200, assumed("<SourceIdentity>fas-", "<SourceIdentity>fas-x"), awssts.ErrService},
		"that is over already": {200, func(v url.Values) string {
			a := assumed()(v)
			i := strings.Index(a, "<Expiration>")
			return a[:i] + "<Expiration>" + time.Now().Add(-time.Second).UTC().Format(time.RFC3339) + a[strings.Index(a, "</Expiration>"):]
		}, awssts.ErrService},
	} {
		client, _ := wire(t, c.status, c.body)
		creds, err := issuerOf(t, client, tenantRole).Issue(context.Background(), g)
		if !errors.Is(err, c.want) || creds.Token != "" || creds.AccessKeyID != "" {
			t.Errorf("%s: %+v, %v", name, creds, err)
		}
		if name == "packed" && !errors.As(err, &packed) {
			t.Errorf("the SDK's error is not in %v", err)
		}
	}
	client, _ := wire(t, 200, assumed())
	if _, err := issuerOf(t, client, tenantRole).Issue(context.Background(), g); err != nil {
		t.Errorf("control: %v", err)
	}
}

func TestMintRefuses(t *testing.T) {
	t.Parallel()
	client, sent := wire(t, 200, assumed("/tenant/", "/mine/"))
	o, _ := opener(t)
	good := awssts.Mint{RoleARN: "arn:aws:iam::123456789012:role/mine", Scope: scopeOf(t, "acme-src"), TTL: time.Minute, To: o.Key(), Digest: digest}
	for name, c := range map[string]struct {
		change func(*awssts.Mint)
		want   error
	}{
		"no scope":      {func(m *awssts.Mint) { m.Scope = nil }, awssts.ErrScope},
		"no role":       {func(m *awssts.Mint) { m.RoleARN = "" }, awssts.ErrRole},
		"no key":        {func(m *awssts.Mint) { m.To = awssts.SealingKey{} }, awssts.ErrConfig},
		"no request":    {func(m *awssts.Mint) { m.Digest = [32]byte{} }, awssts.ErrConfig},
		"less than now": {func(m *awssts.Mint) { m.TTL = -1 }, awssts.ErrConfig},
		"too long":      {func(m *awssts.Mint) { m.TTL = 2 * time.Hour }, awssts.ErrConfig},
	} {
		m := good
		c.change(&m)
		if b, err := m.Sealed(context.Background(), client); !errors.Is(err, c.want) || b != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := good.Sealed(context.Background(), nil); !errors.Is(err, awssts.ErrConfig) {
		t.Errorf("no client: %v", err)
	}
	if len(*sent) != 0 {
		t.Error("STS was asked")
	}
	b, err := good.Sealed(context.Background(), client)
	if err != nil {
		t.Fatalf("control: %v", err)
	}
	if k, err := o.Open(b, digest); err != nil || k.Expires.After(time.Now().Add(time.Minute)) || !strings.Contains(sent.Get("Policy"), "aws:CurrentTime") {
		t.Errorf("%+v, %v", k, err)
	}
	for name, err := range map[string]error{"no opener": errOf(awssts.NewSealedIssuer(nil, &envelopes{})), "no envelopes": errOf(awssts.NewSealedIssuer(o, nil))} {
		if !errors.Is(err, awssts.ErrConfig) {
			t.Errorf("%s: %v", name, err)
		}
	}
	i, err := awssts.NewSealedIssuer(o, &envelopes{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := i.Issue(context.Background(), fas.Grant{}); !errors.Is(err, awssts.ErrGrant) {
		t.Errorf("the zero grant: %v", err)
	}
}
