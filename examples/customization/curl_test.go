package main

import (
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"
)

// TestCurl drives the API with curl's own implementation of the signature.
func TestCurl(t *testing.T) {
	out, err := exec.Command("curl", "--version").Output()
	if err != nil {
		t.Skipf("no curl: %v", err)
	}
	version := strings.Fields(string(out))[1]
	major, rest, _ := strings.Cut(version, ".")
	minor, _, _ := strings.Cut(rest, ".")
	ma, _ := strconv.Atoi(major)
	mi, _ := strconv.Atoi(minor)
	if ma < 7 || ma == 7 && mi < 75 {
		t.Skipf("curl %s has no --aws-sigv4; 7.75 has", version)
	}
	st, _ := startStack(t)
	s := newSide(t, st, "curl", corpus("Settle", 1))
	ctx := testContext(t, time.Minute)
	arn := customizeFrom(ctx, t, st, s, "c/", corpus("Mark00zq", 6))
	// Listing is the admin's; this admin may use the customization, too.
	if _, err := s.admin.Call(ctx, "AssociateCustomizationPermission", map[string]any{"identifier": arn,
		"permission": map[string]string{"user": s.admin.User.User.String()}}, nil); err != nil {
		t.Fatal(err)
	}
	run := func(endpoint, key, secret, arn string) (string, error) {
		cmd := exec.Command("bash", "curl.sh")
		cmd.Env = append(cmd.Environ(), "ENDPOINT="+endpoint, "ACCESS_KEY_ID="+key, "SECRET_ACCESS_KEY="+secret, "CUSTOMIZATION_ARN="+arn)
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	u, endpoint := s.admin.User, "http://"+st.Addr()
	for name, bad := range map[string][3]string{
		"wrong secret":   {u.AccessKeyID, "wrong" + u.Secret[5:], arn},
		"unknown key":    {"AKIA" + strings.Repeat("X", 16), u.Secret, arn},
		"no such arn":    {u.AccessKeyID, u.Secret, arn[:len(arn)-4] + "aaaa"},
		"nothing is set": {"", "", ""},
	} {
		if out, err := run(endpoint, bad[0], bad[1], bad[2]); err == nil {
			t.Errorf("%s was accepted:\n%s", name, out)
		}
	}
	good, err := run(endpoint, u.AccessKeyID, u.Secret, arn)
	if err != nil {
		t.Fatalf("%v\n%s", err, good)
	}
	if !strings.Contains(good, "Mark00zq") {
		t.Errorf("no answer has the tenant's code:\n%s", good)
	}
}
