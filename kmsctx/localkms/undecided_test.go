package localkms

import (
	"testing"

	"github.com/cloisterdev/cloister/fas/policy"
)

// A store may hold a policy that would not be accepted now. What cannot be
// decided is denied, except to whoever may put another policy.
func TestUndecidedPolicyDenies(t *testing.T) {
	t.Parallel()
	for _, c := range [][2]string{{"Deny", "aws:SourceVpce"}, {"Allow", "aws:SourceVpce"}, {"Deny", "kms:ViaService"}} {
		effect, condition := c[0], c[1]
		p, err := parsePolicy([]byte(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"kms:*","Resource":"*"},{"Effect":"` + effect +
			`","Principal":"*","Action":"kms:Decrypt","Resource":"*","Condition":{"StringEquals":{"` + condition + `":"x"}}}]}`))
		if err != nil {
			t.Fatal(err)
		}
		for action, denied := range map[string]bool{"Encrypt": condition == "aws:SourceVpce", "PutKeyPolicy": false} {
			v := p.decide("arn:aws:iam::000000000000:user/u", "000000000000", policy.Request{Action: "kms:" + action, Resource: "arn:aws:kms:r:000000000000:key/k"})
			if v.denied != denied || v.allowed == denied {
				t.Errorf("%s by %s: %s: %+v", effect, condition, action, v)
			}
		}
	}
}
