package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestPolicy(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(name, statements string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(`{"Version":"2012-10-17","Statement":[`+statements+`]}`), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	profile := write("profile.json", `{"Effect":"Allow","Action":["s3:GetObject","s3:ListBucket"],"Resource":"arn:aws:s3:::*"}`)
	scope := write("scope.json", `{"Effect":"Allow","Action":"s3:GetObject","Resource":"arn:aws:s3:::bkt/src/*"}`)
	wide := write("wide.json", `{"Effect":"Allow","Action":"s3:PutObject","Resource":"arn:aws:s3:::bkt/src/*"}`)
	tags := write("tags.json", `{"Effect":"Allow","Action":"s3:PutObject","Resource":"arn:aws:s3:::bkt/*","Condition":{"ForAllValues:StringEquals":{"aws:TagKeys":["a","b"]}}}`)
	typo := write("typo.json", `{"Effect":"Allow","Action":"s3:GetObject","Resources":"*"}`)
	get := []string{"--action", "s3:GetObject", "--resource", "arn:aws:s3:::bkt/src/x"}
	put := []string{"--action", "s3:PutObject", "--resource", "arn:aws:s3:::bkt/x"}
	for _, c := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"check", typo}, 1, `typo.json: policy: malformed: statement 0: unknown key "Resources"`},
		{[]string{"check", filepath.Join(dir, "none.json")}, 1, "no such file"},
		{[]string{"check", tags}, 0, "statement 0: for-all-values: "},
		{[]string{"check", "--json", tags}, 0, `"code":"for-all-values"`},
		{[]string{"check", "--json", scope}, 0, `{"policy":{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:GetObject","Resource":"arn:aws:s3:::bkt/src/*"}]},"findings":[]}`},
		{[]string{"subset", profile, wide}, 1, "no: would allow s3:PutObject on arn:aws:s3:::bkt/src/, which the profile does not"},
		{[]string{"subset", "--json", profile, wide}, 1, `"answer":"no"`},
		{[]string{"subset", profile, typo}, 1, "typo.json: policy: malformed"},
		{[]string{"subset", profile, scope}, 0, "yes"},
		{[]string{"subset", profile, scope, "--json"}, 0, `{"answer":"yes"}`},
		{append([]string{"eval", profile, scope}, put...), 1, "profile.json: no match\n"},
		{append([]string{"eval", profile, typo}, get...), 1, "typo.json: policy: malformed"},
		{append([]string{"eval", "--json", profile, wide}, get...), 1, `"allowed":false`},
		{append([]string{"eval", tags, "--context", "aws:TagKeys=a", "--context", "aws:TagKeys=c", "--context", "aws:tagkeys=b"}, put...), 1, "not allowed"},
		{append([]string{"eval", tags, "--context", "aws:TagKeys=a", "--context", "aws:TagKeys=b"}, put...), 0, "tags.json: allow, by statement 0"},
		{append([]string{"eval", profile, scope}, get...), 0, "scope.json: allow, by statement 0"},
		{append([]string{"eval", "--json", profile, scope}, get...), 0, `"allowed":true`},
		{[]string{"eval", profile, "--action", "GetObject", "--resource", "*"}, 1, "not service:Name"},
		{[]string{"eval", profile, "--action", "s3:GetObject"}, 2, "usage: cloister policy"},
		{append([]string{"eval", profile, "--context", "x"}, get...), 2, "KEY=VALUE"},
		{append([]string{"eval"}, get...), 2, "usage: cloister policy"},
		{[]string{"check"}, 2, "usage: cloister policy"},
		{[]string{"check", scope, scope}, 2, "usage: cloister policy"},
		{[]string{"subset", profile}, 2, "usage: cloister policy"},
		{[]string{"check", scope, "--action", "s3:GetObject"}, 2, "usage: cloister policy"},
		{[]string{"merge", profile, scope}, 2, "usage: cloister policy"},
	} {
		var out, errOut bytes.Buffer
		code := run(append([]string{"policy"}, c.args...), &out, &errOut)
		if got := out.String() + errOut.String(); code != c.code || !strings.Contains(got, c.want) {
			t.Errorf("%q: code %d, output %q", c.args, code, got)
		}
	}
}
