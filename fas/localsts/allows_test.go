package localsts_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/cloisterdev/cloister/fas/localsts"
	"github.com/cloisterdev/cloister/tenant"
)

func session(t testing.TB, k localsts.Keys, v *localsts.Verifier, change map[string]any) *localsts.Claims {
	t.Helper()
	c, key := claims()
	for name, x := range change {
		c[name] = x
	}
	got, _, err := v.Lookup(key, token(t, k, c), now)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func TestAllows(t *testing.T) {
	t.Parallel()
	k, _, v := parts(t)
	ordinary := session(t, k, v, nil)
	wide := session(t, k, v, map[string]any{"p": json.RawMessage(anything), "s": json.RawMessage(anything)})
	mine := session(t, k, v, map[string]any{"p": json.RawMessage(anything),
		"s": json.RawMessage(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:GetObject","Resource":"arn:aws:s3:::all/${aws:PrincipalTag/tenant}/*"}]}`)})
	denied := session(t, k, v, map[string]any{"s": json.RawMessage(
		`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:GetObject","Resource":"*"},{"Effect":"Deny","Action":"s3:*","Resource":"arn:aws:s3:::acme/secret/*"}]}`)})
	early := session(t, k, v, map[string]any{"s": json.RawMessage(
		`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:GetObject","Resource":"*","Condition":{"DateLessThan":{"aws:CurrentTime":"` + now.Add(time.Minute).Format(time.RFC3339) + `"}}}]}`)})
	for _, c := range []struct {
		name             string
		s                *localsts.Claims
		action, resource string
		at               time.Time
		want             bool
	}{
		{"its prefix", ordinary, "s3:GetObject", "arn:aws:s3:::acme/src/a.go", now, true},
		{"to the last second", ordinary, "s3:GetObject", "arn:aws:s3:::acme/src/a.go", now.Add(10*time.Minute - time.Second), true},
		{"after its end", ordinary, "s3:GetObject", "arn:aws:s3:::acme/src/a.go", now.Add(10 * time.Minute), false},
		{"beside its prefix", ordinary, "s3:GetObject", "arn:aws:s3:::acme/srcs/a.go", now, false},
		{"above its prefix", ordinary, "s3:GetObject", "arn:aws:s3:::acme/a.go", now, false},
		{"another bucket", ordinary, "s3:GetObject", "arn:aws:s3:::other/src/a.go", now, false},
		{"its bucket, as a folder of another", ordinary, "s3:GetObject", "arn:aws:s3:::other/acme/src/a.go", now, false},
		{"another case", ordinary, "s3:GetObject", "arn:aws:s3:::acme/SRC/a.go", now, false},
		{"the profile's verb, not the scope's", ordinary, "s3:ListBucket", "arn:aws:s3:::acme/src/a.go", now, false},
		{"a verb of neither", ordinary, "s3:PutObject", "arn:aws:s3:::acme/src/a.go", now, false},
		{"a longer verb", ordinary, "s3:GetObjectAcl", "arn:aws:s3:::acme/src/a.go", now, false},
		{"no verb", ordinary, "", "arn:aws:s3:::acme/src/a.go", now, false},
		{"no resource", ordinary, "s3:GetObject", "", now, false},
		{"everything", wide, "s3:DeleteObject", "arn:aws:s3:::any/thing", now, true},
		{"another session", wide, "sts:AssumeRole", "arn:aws:iam::1:role/x", now, false},
		{"another session, another case", wide, "STS:GetSessionToken", "*", now, false},
		{"another user", wide, "iam:CreateUser", "*", now, false},
		{"the own tenant's folder", mine, "s3:GetObject", "arn:aws:s3:::all/" + mine.Tenant.String() + "/x", now, true},
		{"another tenant's folder", mine, "s3:GetObject", "arn:aws:s3:::all/" + tenant.NewID().String() + "/x", now, false},
		{"beside a denial", denied, "s3:GetObject", "arn:aws:s3:::acme/open/x", now, true},
		{"a denial", denied, "s3:GetObject", "arn:aws:s3:::acme/secret/x", now, false},
		{"before a condition's time", early, "s3:GetObject", "arn:aws:s3:::acme/x", now, true},
		{"after a condition's time", early, "s3:GetObject", "arn:aws:s3:::acme/x", now.Add(time.Minute), false},
		{"nobody's session", nil, "s3:GetObject", "arn:aws:s3:::acme/src/a.go", now, false},
		{"claims made by hand", &localsts.Claims{Session: ordinary.Session, Tenant: ordinary.Tenant, User: ordinary.User,
			Profile: json.RawMessage(anything), Scope: json.RawMessage(anything), Expires: ordinary.Expires}, "s3:GetObject", "arn:aws:s3:::acme/src/a.go", now, false},
	} {
		if got := c.s.Allows(c.action, c.resource, c.at); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}

// A token is accepted only if it is, in every byte, the one that was issued.
func FuzzLookup(f *testing.F) {
	k, _, v := parts(f)
	c, key := claims()
	good := token(f, k, c)
	other, _, _ := parts(f)
	for _, s := range []string{good, token(f, other, c), good[:len(good)-1], good + "\n", "1..", "1.e30.", "", strings.ReplaceAll(good, ".", "..")} {
		f.Add(key, s)
	}
	f.Fuzz(func(t *testing.T, k, s string) {
		got, _, err := v.Lookup(k, s, now)
		if (err == nil) != (k == key && s == good) || (got == nil) != (err != nil) {
			t.Fatalf("%q for %q: %v, %v", s, k, got, err)
		}
		if err != nil && !errors.Is(err, localsts.ErrToken) {
			t.Fatal(err)
		}
	})
}

// Even of what the authority signed, only whole claims count.
func FuzzClaims(f *testing.F) {
	k, _, v := parts(f)
	c, key := claims()
	good, err := json.Marshal(c)
	if err != nil {
		f.Fatal(err)
	}
	for _, s := range []string{string(good), strings.Replace(string(good), `"exp"`, `"EXP"`, 1), `{}`, `null`, string(good) + `{}`, strings.Replace(string(good), `"tn"`, `"sid"`, 1)} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		got, secret, err := v.Lookup(key, seal(k.Set[0].Seed, payload), now)
		if err != nil {
			if got != nil || !errors.Is(err, localsts.ErrToken) || secret.Equal(nil) {
				t.Fatalf("%v, %v", got, err)
			}
			return
		}
		if got.Tenant.IsZero() || got.User.IsZero() || accessKey(got.Session) != key || got.Expires <= now.Unix() || got.Expires > now.Add(16*time.Minute).Unix() {
			t.Fatalf("%s was accepted", payload)
		}
		if got.Allows("sts:AssumeRole", "*", now) || got.Allows("s3:GetObject", "arn:aws:s3:::acme/src/x", time.Unix(got.Expires, 0)) {
			t.Fatalf("%s allows too much", payload)
		}
		// Written again by the authority, they are the same claims.
		b, err := json.Marshal(got)
		if err != nil {
			t.Fatal(err)
		}
		again, _, err := v.Lookup(key, seal(k.Set[0].Seed, b), now)
		if err != nil || again.Session != got.Session || again.Tenant != got.Tenant || again.User != got.User || again.Bucket != got.Bucket || again.Expires != got.Expires {
			t.Fatalf("%s became %s: %v", payload, b, err)
		}
	})
}
