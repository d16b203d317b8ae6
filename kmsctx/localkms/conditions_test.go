package localkms_test

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/cloisterdev/cloister/fas/policy"
	"github.com/cloisterdev/cloister/kmsctx/localkms"
)

// conditioned is a policy that lets everybody do everything, unless the
// condition holds.
func conditioned(condition string) string {
	return `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"kms:*","Resource":"*"},` +
		`{"Effect":"Deny","Principal":"*","Action":"kms:Encrypt","Resource":"*","Condition":` + condition + `}]}`
}

// A deny denies whom its condition is about, and nobody else.
func TestDenyByWhoAndWhence(t *testing.T) {
	t.Parallel()
	s := service(t, t.TempDir(), nil)
	from := func(who localkms.Principal, addr string, secure bool) localkms.Principal {
		who.Peer = &localkms.Peer{Addr: netip.MustParseAddr(addr), Secure: secure}
		return who
	}
	role := localkms.Principal{ARN: account + "role/app/reader"}
	session := localkms.Principal{ARN: "arn:aws:sts::000000000000:assumed-role/reader/s"}
	odd := localkms.Principal{ARN: account + "role/a:root"}
	for name, c := range map[string]struct {
		condition    string
		denied, free localkms.Principal
	}{
		"without TLS":          {`{"Bool":{"aws:SecureTransport":"false"}}`, from(bob, "10.0.0.1", false), from(bob, "10.0.0.1", true)},
		"over TLS":             {`{"Bool":{"aws:SecureTransport":"true"}}`, from(bob, "10.0.0.1", true), from(bob, "10.0.0.1", false)},
		"in this process":      {`{"Null":{"aws:SecureTransport":"true"}}`, bob, from(bob, "10.0.0.1", false)},
		"a network":            {`{"IpAddress":{"aws:SourceIp":"10.0.0.0/8"}}`, from(bob, "10.9.0.1", true), from(bob, "11.0.0.1", true)},
		"all but a network":    {`{"NotIpAddress":{"aws:SourceIp":"10.0.0.0/8"}}`, from(bob, "11.0.0.1", true), from(bob, "10.9.0.1", true)},
		"a network, mapped":    {`{"IpAddress":{"aws:SourceIp":"10.0.0.0/8"}}`, from(bob, "::ffff:10.0.0.1", true), from(bob, "::1", true)},
		"a network, zoned":     {`{"IpAddress":{"aws:SourceIp":"fe80::/10"}}`, from(bob, "fe80::1%eth0", true), from(bob, "fd00::1", true)},
		"an unknown address":   {`{"IpAddress":{"aws:SourceIp":"10.0.0.0/8"}}`, localkms.Principal{ARN: bob.ARN, Peer: &localkms.Peer{}}, bob},
		"a name":               {`{"StringEquals":{"aws:username":"bob"}}`, bob, alice},
		"a name below a path":  {`{"StringEquals":{"aws:username":"bob"}}`, localkms.Principal{ARN: account + "user/a/bob"}, localkms.Principal{ARN: account + "user/bob/a"}},
		"no name":              {`{"Null":{"aws:username":"true"}}`, session, bob},
		"a name of a variable": {`{"ArnEquals":{"aws:PrincipalArn":"` + account + `user/${aws:username}"}}`, bob, localkms.Principal{ARN: account + "user/a/bob"}},
		"users":                {`{"StringEquals":{"aws:PrincipalType":"User"}}`, bob, session},
		"sessions":             {`{"StringEquals":{"aws:PrincipalType":"AssumedRole"}}`, session, bob},
		"roles":                {`{"StringEquals":{"aws:PrincipalType":"AssumedRole"}}`, role, bob},
		"root":                 {`{"StringEquals":{"aws:PrincipalType":"Account"}}`, admin, odd},
		"anyone by itself":     {`{"Bool":{"aws:ViaAWSService":"false","aws:PrincipalIsAWSService":"false"}}`, bob, localkms.Principal{}},
		"its account's keys":   {`{"StringEquals":{"aws:ResourceAccount":"000000000000"}}`, bob, localkms.Principal{}},
		"not by a service":     {`{"StringNotEquals":{"kms:ViaService":"s3.us-east-1.amazonaws.com"}}`, bob, localkms.Principal{}},
	} {
		made, err := s.CreateKey(ctx, admin, &localkms.CreateKeyInput{Policy: conditioned(c.condition)})
		must(t, err)
		try := func(who localkms.Principal) error {
			_, err := s.Encrypt(ctx, who, &localkms.EncryptInput{KeyID: made.KeyMetadata.KeyID, Plaintext: []byte("x")})
			return err
		}
		want(t, name, try(c.denied), localkms.ErrNotAuthorized)
		if c.free.ARN != "" {
			want(t, name+", the control", try(c.free), nil)
		}
	}
}

// A condition that calls have nothing for is refused by name, wherever it
// stands, and changes nothing.
func TestUnsupportedConditions(t *testing.T) {
	t.Parallel()
	s := service(t, t.TempDir(), nil)
	key := createKey(t, s)
	for condition, named := range map[string]string{
		`{"StringEquals":{"kms:NoSuchKey":"x"}}`:                             "kms:nosuchkey",
		`{"StringEquals":{"aws:userid":"x"}}`:                                "aws:userid",
		`{"StringNotEquals":{"aws:SourceVpce":"x"}}`:                         "aws:sourcevpce",
		`{"BoolIfExists":{"aws:MultiFactorAuthPresent":"false"}}`:            "aws:multifactorauthpresent",
		`{"Null":{"aws:PrincipalOrgID":"true"}}`:                             "aws:principalorgid",
		`{"StringEquals":{"aws:PrincipalTag/team":"x"}}`:                     "aws:principaltag/team",
		`{"StringEquals":{"kms:EncryptionContext:":"x"}}`:                    "kms:encryptioncontext:",
		`{"ForAnyValue:StringEquals":{"aws:TagKey":"x"}}`:                    "aws:tagkey",
		`{"StringEquals":{"aws:username":"${aws:userid, 'bob'}"}}`:           "aws:userid",
		`{"ArnEquals":{"aws:PrincipalArn":"arn:aws:iam::1:user/${saml:x}"}}`: "saml:x",
		`{"StringEquals":{"aws:username":"bob","tenant":"a"}}`:               "tenant",
	} {
		text := conditioned(condition)
		_, err := s.PutKeyPolicy(ctx, admin, &localkms.PolicyInput{KeyID: key, Policy: text, BypassPolicyLockoutSafetyCheck: true})
		want(t, condition, err, localkms.ErrPolicy)
		if err != nil && !strings.Contains(err.Error(), named) {
			t.Errorf("%s: the refusal does not name %s: %v", condition, named, err)
		}
		_, err = s.CreateKey(ctx, admin, &localkms.CreateKeyInput{Policy: text})
		want(t, condition+", CreateKey", err, localkms.ErrPolicy)

		own, err := policy.Parse([]byte(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"kms:*","Resource":"*"},{"Effect":"Deny","Action":"kms:Encrypt","Resource":"*","Condition":` + condition + `}]}`))
		must(t, err)
		want(t, condition+", CheckPolicy", localkms.CheckPolicy(own), localkms.ErrPolicy)
		_, err = s.Encrypt(ctx, localkms.Principal{ARN: bob.ARN, Policy: own}, &localkms.EncryptInput{KeyID: key, Plaintext: []byte("x")})
		want(t, condition+", the caller's", err, localkms.ErrPolicy)
		_, err = s.DisableKey(ctx, localkms.Principal{ARN: bob.ARN, Policy: own}, &localkms.KeyInput{KeyID: key})
		want(t, condition+", the caller's, a change", err, localkms.ErrPolicy)
	}
	if p, err := s.GetKeyPolicy(ctx, admin, &localkms.PolicyInput{KeyID: key}); err != nil || strings.Contains(p.Policy, "Deny") {
		t.Errorf("a policy that was refused is in force: %v", err)
	}
	must(t, localkms.CheckPolicy(nil))
	for _, condition := range []string{`{"StringEquals":{"AWS:RequestTag/Team":"a","KMS:EncryptionContext:T":"a"}}`, `{"StringEquals":{"aws:ResourceTag/a:b":"a"}}`} {
		_, err := s.CreateKey(ctx, admin, &localkms.CreateKeyInput{Policy: conditioned(condition)})
		want(t, "the control, "+condition, err, nil)
	}
}

func ExampleCheckPolicy() {
	d, err := policy.Parse([]byte(`{"Version": "2012-10-17", "Statement": [
		{"Effect": "Deny", "Action": "kms:*", "Resource": "*", "Condition": {"StringNotEquals": {"aws:SourceVpce": "vpce-1"}}}]}`))
	fmt.Println(err)
	fmt.Println(localkms.CheckPolicy(d)) // it would never deny, or always
	// Output:
	// <nil>
	// localkms: key policy not accepted: condition key "aws:sourcevpce" is not supported
}
