package awssts_test

import (
	"encoding/json"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cloisterdev/cloister/fas"
	"github.com/cloisterdev/cloister/fas/policy"
	"github.com/cloisterdev/cloister/tenant"
)

func iamFile(t testing.TB, name string, replace ...string) string {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("iam", name))
	if err != nil {
		t.Fatal(err)
	}
	return strings.NewReplacer(replace...).Replace(string(raw))
}

// identity parses a policy of an identity; of a trust policy it leaves out the
// principal, which must be the firewall's role and nobody else.
func identity(t testing.TB, text string) *policy.Document {
	t.Helper()
	var doc struct {
		Version   string
		Statement []map[string]any
	}
	if err := json.Unmarshal([]byte(text), &doc); err != nil {
		t.Fatal(err)
	}
	for _, s := range doc.Statement {
		if p, ok := s["Principal"]; ok {
			if m, ok := p.(map[string]any); !ok || len(m) != 1 || m["AWS"] != "arn:aws:iam::111122223333:role/cloister-firewall" {
				t.Errorf("trusts %v", p)
			}
			delete(s, "Principal")
			s["Resource"] = "*" // of a trust policy: the role that it is on
		}
	}
	raw, err := json.Marshal(doc)
	if err != nil {
		t.Fatal(err)
	}
	d, err := policy.Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestIAMFiles(t *testing.T) {
	t.Parallel()
	names, err := filepath.Glob("iam/*.json")
	if err != nil || len(names) != 5 {
		t.Fatalf("%v, %v", names, err)
	}
	const target = "arn:aws:iam::444455556666:role/cloister-source"
	call := map[string]string{"sts:externalid": "EXTERNAL-ID-OF-THIS-TENANT", "sts:sourceidentity": "fas-abc", "sts:rolesessionname": "cus-abc", "aws:requesttag/tenant": "TENANT-ID-AT-THE-SERVICE"}
	with := func(key, value string) map[string]string {
		m := maps.Clone(call)
		if m[key] = value; value == "" {
			delete(m, key)
		}
		return m
	}
	for name, c := range map[string]struct {
		file, action, resource string
		context                map[string]string
		want                   policy.Decision
	}{
		"the firewall assumes":                 {"firewall-role.json", "sts:AssumeRole", target, nil, policy.Allow},
		"the firewall assumes something else":  {"firewall-role.json", "sts:AssumeRole", "arn:aws:iam::444455556666:role/admin", nil, policy.NoMatch},
		"the firewall reads":                   {"firewall-role.json", "s3:GetObject", "arn:aws:s3:::BUCKET/a", nil, policy.NoMatch},
		"the firewall is not denied":           {"nobody-else.json", "sts:AssumeRole", target, map[string]string{"aws:principalarn": "arn:aws:iam::111122223333:role/cloister-firewall"}, policy.NoMatch},
		"the front end is":                     {"nobody-else.json", "sts:AssumeRole", target, map[string]string{"aws:principalarn": "arn:aws:iam::111122223333:role/cloister-front"}, policy.Deny},
		"an administrator is":                  {"nobody-else.json", "sts:TagSession", target, map[string]string{"aws:principalarn": "arn:aws:iam::111122223333:user/admin"}, policy.Deny},
		"trusted for a signed call":            {"tenant-trust.json", "sts:AssumeRole", target, call, policy.Allow},
		"not without an external ID":           {"tenant-trust.json", "sts:AssumeRole", target, with("sts:externalid", ""), policy.NoMatch},
		"not with another tenant's":            {"tenant-trust.json", "sts:AssumeRole", target, with("sts:externalid", "ANOTHER"), policy.NoMatch},
		"not without the call's name":          {"tenant-trust.json", "sts:AssumeRole", target, with("sts:sourceidentity", ""), policy.NoMatch},
		"not with a name of somebody's choice": {"tenant-trust.json", "sts:AssumeRole", target, with("sts:sourceidentity", "alice"), policy.NoMatch},
		"not for something else":               {"tenant-trust.json", "sts:AssumeRole", target, with("sts:rolesessionname", "debug"), policy.NoMatch},
		"sets the call's name":                 {"tenant-trust.json", "sts:SetSourceIdentity", target, call, policy.Allow},
		"sets no other":                        {"tenant-trust.json", "sts:SetSourceIdentity", target, with("sts:sourceidentity", "alice"), policy.NoMatch},
		"names the tenant":                     {"tenant-trust.json", "sts:TagSession", target, call, policy.Allow},
		"names no other":                       {"tenant-trust.json", "sts:TagSession", target, with("aws:requesttag/tenant", "ANOTHER"), policy.NoMatch},
		"reads for the tenant":                 {"tenant-role.json", "s3:GetObject", "arn:aws:s3:::BUCKET/src/a", map[string]string{"aws:principaltag/tenant": "TENANT-ID-AT-THE-SERVICE"}, policy.Allow},
		"not for another":                      {"tenant-role.json", "s3:GetObject", "arn:aws:s3:::BUCKET/src/a", map[string]string{"aws:principaltag/tenant": "ANOTHER"}, policy.NoMatch},
		"writes nothing":                       {"tenant-role.json", "s3:PutObject", "arn:aws:s3:::BUCKET/src/a", map[string]string{"aws:principaltag/tenant": "TENANT-ID-AT-THE-SERVICE"}, policy.NoMatch},
		"an old session":                       {"break-glass.json", "s3:GetObject", "arn:aws:s3:::BUCKET/src/a", map[string]string{"aws:tokenissuetime": "2025-12-31T23:59:59Z"}, policy.Deny},
		"a new one":                            {"break-glass.json", "s3:GetObject", "arn:aws:s3:::BUCKET/src/a", map[string]string{"aws:tokenissuetime": "2026-01-01T00:00:00Z"}, policy.NoMatch},
	} {
		if got := identity(t, iamFile(t, c.file)).Evaluate(policy.Request{Action: c.action, Resource: c.resource, Context: c.context}); got != c.want {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

// The role's policy that the page shows, at work: a firewall that is confused
// about tenants reads nothing.
func TestSessionIsForTheTenantOfItsTag(t *testing.T) {
	t.Parallel()
	p := ministack(t)
	a := p.bucket(t)
	user := p.role.ARN[strings.LastIndex(p.role.ARN, "/")+1:]
	mine := newWorld(t, reads, p.issuer(t))
	p.query(t, "iam", "2010-05-08", "PutRolePolicy", "RoleName", user, "PolicyName", "p", "PolicyDocument",
		iamFile(t, "tenant-role.json", "BUCKET", a, "TENANT-ID-AT-THE-SERVICE", mine.tenant.String()))
	read := func(w *world) error {
		s, err := w.exchange(a, 0)
		if err != nil {
			t.Fatal(err)
		}
		return get(clientOf(t, p, s), a, "src/a")
	}
	denied(t, "another tenant's session of the same role", read(newWorld(t, reads, p.issuer(t))))
	if err := read(mine); err != nil {
		t.Errorf("control: %v", err)
	}
}

// Nobody at the service but who has the signed call: the issuer is never asked.
func TestNoSignedCallNoAccess(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, p *peer) {
		t.Parallel()
		a := p.bucket(t)
		g := &grabber{Issuer: p.issuer(t)}
		w := newWorld(t, reads, g)
		forged := w.evidence("s3://" + a + "/src/")
		w.id.id.Secret = tenant.NewSecret([]byte("another secret"))
		if s, err := w.exchangeWith(forged, scopeOf(t, a), 0); !errors.Is(err, fas.ErrDenied) || s != nil {
			t.Errorf("a signature with another secret: %v, %v", s, err)
		}
		if s, err := w.exchangeWith(fas.Evidence{}, scopeOf(t, a), 0); !errors.Is(err, fas.ErrDenied) || s != nil {
			t.Errorf("no evidence: %v, %v", s, err)
		}
		if g.grant.Session() != (tenant.SessionID{}) {
			t.Error("the issuer was asked")
		}
		w.id.id.Secret = tenant.NewSecret([]byte(w.id.secret))
		s, err := w.exchange(a, time.Minute)
		if err != nil {
			t.Fatal(err, g.err)
		}
		if err := get(clientOf(t, p, s), a, "src/a"); err != nil {
			t.Errorf("control: %v", err)
		}
	})
}
