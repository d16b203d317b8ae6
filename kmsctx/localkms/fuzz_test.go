package localkms

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/cloisterdev/cloister/fas/policy"
	"github.com/cloisterdev/cloister/kmsctx"
)

func TestPolicyIsStrict(t *testing.T) {
	t.Parallel()
	good := `{"Version":"2012-10-17","Id":"i","Statement":[{"Sid":"with spaces","Effect":"Allow","Principal":{"AWS":["arn:aws:iam::000000000000:user/u","000000000000"]},"Action":"kms:Decrypt","Resource":"*"}]}`
	for name, c := range map[string][2]string{
		"nothing":              {good, ""},
		"null":                 {good, "null"},
		"a list":               {good, "[]"},
		"something follows":    {good, good + "{}"},
		"no version":           {`"Version":"2012-10-17",`, ``},
		"old version":          {`2012-10-17`, `2008-10-17`},
		"version twice":        {`"Version"`, `"Version":"2012-10-17","Version"`},
		"statement twice":      {`"Statement"`, `"Statement":[],"Statement"`},
		"case":                 {`"Statement"`, `"statement"`},
		"unknown":              {`"Id"`, `"Extra":1,"Id"`},
		"no statements":        {good, `{"Version":"2012-10-17","Statement":[]}`},
		"one statement":        {good, `{"Version":"2012-10-17","Statement":{}}`},
		"no principal":         {`"Principal":{"AWS":["arn:aws:iam::000000000000:user/u","000000000000"]},`, ``},
		"not principal":        {`"Principal"`, `"NotPrincipal"`},
		"principal twice":      {`"Principal"`, `"Principal":"*","Principal"`},
		"principal's case":     {`"Principal"`, `"principal"`},
		"empty principal":      {`{"AWS":["arn:aws:iam::000000000000:user/u","000000000000"]}`, `{}`},
		"no principals":        {`["arn:aws:iam::000000000000:user/u","000000000000"]`, `[]`},
		"null principals":      {`["arn:aws:iam::000000000000:user/u","000000000000"]`, `null`},
		"wildcard in an ARN":   {`user/u`, `user/*`},
		"question mark":        {`user/u`, `user/?`},
		"a short account":      {`"000000000000"`, `"1"`},
		"federated":            {`{"AWS"`, `{"Federated"`},
		"kind twice":           {`{"AWS"`, `{"AWS":"*","AWS"`},
		"no effect":            {`"Effect":"Allow",`, ``},
		"no resource":          {`,"Resource":"*"`, ``},
		"no action":            {`"Action":"kms:Decrypt",`, ``},
		"unknown in statement": {`"Sid"`, `"X":1,"Sid"`},
		"Sid of a number":      {`"with spaces"`, `1`},
		"large":                {`kms:Decrypt`, `kms:` + strings.Repeat("x", 3000)},
	} {
		bad := strings.Replace(good, c[0], c[1], 1)
		if bad == good {
			t.Fatalf("%s: the case changes nothing", name)
		}
		if p, err := parsePolicy([]byte(bad)); !errors.Is(err, ErrPolicy) || p != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := parsePolicy([]byte(good)); err != nil {
		t.Errorf("the control: %v", err)
	}
	if _, err := parsePolicy([]byte(defaultPolicy("000000000000"))); err != nil {
		t.Errorf("the default: %v", err)
	}
}

// FuzzPolicy: what parses is JSON that names principals, and decides nothing
// for a principal that it does not name.
func FuzzPolicy(f *testing.F) {
	f.Add([]byte(defaultPolicy("000000000000")))
	f.Add([]byte(`{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Principal":"*","Action":"*","Resource":"*"}]}`))
	f.Add([]byte(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::000000000000:user/u"},"Action":"kms:*","Resource":"*","Condition":{"StringEquals":{"kms:EncryptionContext:t":"a"}}}]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := parsePolicy(b)
		if err != nil {
			if !errors.Is(err, ErrPolicy) || p != nil {
				t.Fatalf("another error: %v", err)
			}
			return
		}
		if !json.Valid(b) || !bytes.Contains(b, []byte("Principal")) && !bytes.Contains(b, []byte(`\u`)) {
			t.Fatalf("%q parses", b)
		}
		v := p.decide("arn:aws:iam::999999999999:user/nobody", "888888888888", policy.Request{Action: "kms:Decrypt", Resource: "arn:aws:kms:r:1:key/k"})
		everybody := false
		for _, s := range p.statements {
			everybody = everybody || s.anyone
		}
		if (v.allowed || v.denied) && !everybody && !bytes.Contains(b, []byte("999999999999")) && !bytes.Contains(b, []byte("888888888888")) && !bytes.Contains(b, []byte(`\u`)) {
			t.Fatalf("%q decides for a stranger", b)
		}
	})
}

// FuzzBlob: what parses is written the same way again, and opens only if it was
// made here.
func FuzzBlob(f *testing.F) {
	k := newKey(time.Unix(0, 0))
	canon, _ := canonical(map[string]string{"a": "b"})
	made, err := k.encrypt("key", []byte("plaintext"), canon)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(made)
	f.Add(made[:len(made)-1])
	f.Add([]byte{blobForm})
	f.Fuzz(func(t *testing.T, b []byte) {
		x, ok := parseBlob(b)
		if !ok {
			if bytes.Equal(b, made) {
				t.Fatal("what was made does not parse")
			}
			return
		}
		if !bytes.Equal(append(bytes.Clone(x.header), x.sealed...), b) || !validName(x.key) || len(x.sealed) < blobFixed {
			t.Fatalf("%x is read as something else", b)
		}
		plain, _, err := k.decrypt(x, canon)
		if (err == nil) != bytes.Equal(b, made) || err != nil && (!errors.Is(err, ErrInvalidCiphertext) || plain != nil) {
			t.Fatalf("%x: %v", b, err)
		}
	})
}

// FuzzContext: any context is serialized as kmsctx does it, or refused; two
// different ones never look alike.
func FuzzContext(f *testing.F) {
	f.Add("a", "b", "c", "d")
	f.Add("ab", "c", "a", "bc")
	f.Add("a", "b", "A", "d")
	f.Add("", "", "\xff", "\u212a")
	f.Fuzz(func(t *testing.T, k1, v1, k2, v2 string) {
		pairs := map[string]string{k1: v1, k2: v2}
		got, err := canonical(pairs)
		if err != nil {
			if !errors.Is(err, ErrInvalid) || got != nil {
				t.Fatalf("%v", err)
			}
			return
		}
		if c, err := kmsctx.ForeignContext(pairs); err == nil && !bytes.Equal(c.Canonical(), got) {
			t.Fatalf("%q: %x here, %x there", pairs, got, c.Canonical())
		}
		if other, err := canonical(map[string]string{k1: v1}); err == nil && len(pairs) == 2 && bytes.Equal(other, got) {
			t.Fatalf("%q looks like one pair", pairs)
		}
		if !within(pairs, pairs) {
			t.Fatalf("%q does not hold itself", pairs)
		}
	})
}
