package policy_test

import (
	"maps"
	"slices"
	"testing"

	"github.com/cloisterdev/cloister/fas/policy"
)

// Every place of a document where a key can stand is found.
func TestKeys(t *testing.T) {
	t.Parallel()
	d, err := policy.Parse([]byte(`{"Version": "2012-10-17", "Statement": [
		{"Effect": "Allow", "Action": "s:A", "Resource": "arn:aws:s:::b/${In:Resource}/*"},
		{"Effect": "Deny", "Action": "s:A", "NotResource": "arn:aws:s:::b/${in:notresource, 'x'}", "Condition": {
			"Bool": {"aws:SecureTransport": false}, "Null": {"in:null": "true"}, "IpAddress": {"in:ip": "10.0.0.0/8"},
			"ForAnyValue:StringLike": {"in:set": ["a*", "${in:glob}"]}, "StringEqualsIfExists": {"in:text": "${in:value}"},
			"ArnLike": {"in:arn": "arn:aws:iam::1:user/${in:arnvalue}"}}}]}`))
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"aws:securetransport", "in:arn", "in:arnvalue", "in:glob", "in:ip", "in:notresource", "in:null", "in:resource", "in:set", "in:text", "in:value"}
	all := map[string]bool{}
	for k := range d.Keys() {
		all[k] = true
	}
	if got := slices.Sorted(maps.Keys(all)); !slices.Equal(got, want) {
		t.Errorf("%q, not %q", got, want)
	}
	n := 0
	for range d.Keys() { // and the walk ends where it is told to
		n++
		break
	}
	var none *policy.Document
	for k := range none.Keys() {
		t.Errorf("a nil document names %q", k)
	}
	if n != 1 {
		t.Errorf("%d keys after a break", n)
	}
}
