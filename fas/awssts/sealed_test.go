package awssts_test

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cloisterdev/cloister/fas"
	"github.com/cloisterdev/cloister/fas/awssts"
	"github.com/cloisterdev/cloister/tenant"
)

func opener(t testing.TB, older ...tenant.Secret) (*awssts.Opener, tenant.Secret) {
	t.Helper()
	secret, err := awssts.NewSealingSecret()
	if err != nil {
		t.Fatal(err)
	}
	o, err := awssts.NewOpener(secret, older...)
	if err != nil {
		t.Fatal(err)
	}
	return o, secret
}

func keysOf(t testing.TB, life time.Duration) awssts.CallerKeys {
	t.Helper()
	return awssts.CallerKeys{AccessKeyID: "ASIACALLER", Secret: tenant.NewSecret([]byte("a secret of the caller")), Token: "a token", Expires: time.Now().Add(life)}
}

func seal(t testing.TB, to awssts.SealingKey, digest [32]byte) []byte {
	t.Helper()
	b, err := awssts.Seal(to, digest, keysOf(t, time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestSealedOpensForOneRequestAndKey(t *testing.T) {
	t.Parallel()
	o, _ := opener(t)
	other, _ := opener(t)
	sealed := seal(t, o.Key(), digest)
	if bytes.Contains(sealed, []byte("a secret of the caller")) || bytes.Contains(sealed, []byte("ASIACALLER")) {
		t.Error("it is not sealed")
	}
	for name, err := range map[string]error{
		"another request":      errOf(o.Open(sealed, awssts.CallDigest("POST", "/CreateCustomization", []byte("{} ")))),
		"the zero digest":      errOf(o.Open(sealed, [32]byte{})),
		"another firewall":     errOf(other.Open(sealed, digest)),
		"another one's header": errOf(other.Open(append(bytes.Clone(seal(t, other.Key(), digest)[:9]), sealed[9:]...), digest)),
		"nothing":              errOf(o.Open(nil, digest)),
		"a header only":        errOf(o.Open(sealed[:9], digest)),
		"too much":             errOf(o.Open(append(bytes.Clone(sealed), make([]byte, 9<<10)...), digest)),
	} {
		if !errors.Is(err, awssts.ErrSealed) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for i := range sealed {
		bad := bytes.Clone(sealed)
		bad[i] ^= 1
		if k, err := o.Open(bad, digest); !errors.Is(err, awssts.ErrSealed) || k.Token != "" {
			t.Fatalf("byte %d altered: %v", i, err)
		}
		if k, err := o.Open(sealed[:i], digest); !errors.Is(err, awssts.ErrSealed) || k.Token != "" {
			t.Fatalf("cut at %d: %v", i, err)
		}
	}
	k, err := o.Open(sealed, digest)
	if err != nil || k.AccessKeyID != "ASIACALLER" || k.Token != "a token" || !k.Secret.Equal([]byte("a secret of the caller")) || !time.Now().Before(k.Expires) {
		t.Errorf("control: %+v, %v", k, err)
	}
}

// After a rotation, what was sealed to the old key opens until the old key is
// dropped, and new clients seal to the new one.
func TestSealingKeyRotates(t *testing.T) {
	t.Parallel()
	first, old := opener(t)
	sealed := seal(t, first.Key(), digest)
	second, current := opener(t, old)
	third, _ := opener(t, current)
	if _, err := third.Open(sealed, digest); !errors.Is(err, awssts.ErrSealed) {
		t.Errorf("a key that was dropped: %v", err)
	}
	if _, err := second.Open(sealed, digest); err != nil {
		t.Errorf("control: %v", err)
	}
	if bytes.Equal(first.Key().Bytes(), second.Key().Bytes()) {
		t.Error("the current key is the old one")
	}
	if _, err := first.Open(seal(t, second.Key(), digest), digest); !errors.Is(err, awssts.ErrSealed) {
		t.Errorf("the new key at the old firewall: %v", err)
	}
	if _, err := awssts.NewOpener(current, old, current); !errors.Is(err, awssts.ErrConfig) {
		t.Errorf("a key twice: %v", err)
	}
	// The old opener's Close wipes the secret that it shares.
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	for name, err := range map[string]error{"closed": errOf(first.Open(sealed, digest)), "wiped": errOf(second.Open(sealed, digest))} {
		if !errors.Is(err, awssts.ErrSealed) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := old.Use(func([]byte) error { return nil }); !errors.Is(err, tenant.ErrDestroyed) {
		t.Errorf("Close left the private key: %v", err)
	}
}

func TestSealRefuses(t *testing.T) {
	t.Parallel()
	o, _ := opener(t)
	gone := keysOf(t, time.Minute)
	gone.Secret.Destroy()
	long := keysOf(t, time.Minute)
	long.Token = strings.Repeat("t", 9<<10)
	for name, c := range map[string]struct {
		to   awssts.SealingKey
		k    awssts.CallerKeys
		want error
	}{
		"no key":                {awssts.SealingKey{}, keysOf(t, time.Minute), awssts.ErrConfig},
		"long-term credentials": {o.Key(), func() awssts.CallerKeys { k := keysOf(t, time.Minute); k.Token = ""; return k }(), awssts.ErrConfig},
		"no ID":                 {o.Key(), func() awssts.CallerKeys { k := keysOf(t, time.Minute); k.AccessKeyID = ""; return k }(), awssts.ErrConfig},
		"no secret":             {o.Key(), awssts.CallerKeys{AccessKeyID: "A", Token: "t", Expires: time.Now().Add(time.Minute)}, awssts.ErrConfig},
		"a wiped secret":        {o.Key(), gone, awssts.ErrConfig},
		"an empty secret":       {o.Key(), func() awssts.CallerKeys { k := keysOf(t, time.Minute); k.Secret = tenant.NewSecret([]byte{}); return k }(), awssts.ErrConfig},
		"a token without end":   {o.Key(), long, awssts.ErrConfig},
		"over":                  {o.Key(), keysOf(t, -time.Second), awssts.ErrExpired},
	} {
		if b, err := awssts.Seal(c.to, digest, c.k); !errors.Is(err, c.want) || b != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	short := keysOf(t, 2*time.Second)
	sealed, err := awssts.Seal(o.Key(), digest, short)
	if err != nil {
		t.Fatal(err)
	}
	time.Sleep(time.Until(short.Expires) + 10*time.Millisecond)
	if k, err := o.Open(sealed, digest); !errors.Is(err, awssts.ErrExpired) || k.Token != "" {
		t.Errorf("opened after its end: %v", err)
	}
	for name, b := range map[string][]byte{"nothing": nil, "31 bytes": make([]byte, 31), "33 bytes": make([]byte, 33)} {
		if _, err := awssts.ParseSealingKey(b); !errors.Is(err, awssts.ErrConfig) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if k, err := awssts.ParseSealingKey(o.Key().Bytes()); err != nil || !bytes.Equal(k.Bytes(), o.Key().Bytes()) {
		t.Errorf("control: %v", err)
	}
	if _, err := awssts.NewOpener(tenant.Secret{}); !errors.Is(err, awssts.ErrConfig) {
		t.Errorf("no secret: %v", err)
	}
}

// envelopes are the sealed sessions that came with calls.
type envelopes struct{ m sync.Map }

func (e *envelopes) put(d [32]byte, sealed []byte) { e.m.Store(d, sealed) }

func (e *envelopes) Envelope(d [32]byte) ([]byte, bool) {
	b, ok := e.m.Load(d)
	if !ok {
		return nil, false
	}
	return b.([]byte), true
}

// The whole way on real servers: the caller mints and seals in its own account,
// the service, which has no role at all, reads one prefix of one bucket for
// this one request.
func TestSealedSessionOnARealServer(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, p *peer) {
		t.Parallel()
		ctx, a, b := context.Background(), p.bucket(t), p.bucket(t)
		o, _ := opener(t)
		store := &envelopes{}
		issuer, err := awssts.NewSealedIssuer(o, store)
		if err != nil {
			t.Fatal(err)
		}
		g := &grabber{Issuer: issuer}
		w := newWorld(t, reads, g)
		mint := awssts.Mint{RoleARN: p.role.ARN, ExternalID: p.role.ExternalID, Scope: scopeOf(t, a), TTL: time.Minute, To: o.Key(), WithoutFence: p.opts.WithoutFence}
		send := func(forCall func(fas.Evidence) [32]byte) (*fas.Session, error) {
			ev := w.evidence("s3://" + a + "/src/")
			mint.Digest = forCall(ev)
			sealed, err := mint.Sealed(ctx, p.sts(config(static(p.firewall))))
			if err != nil {
				t.Fatal(err)
			}
			store.put(ev.Claim().Digest, sealed)
			return w.exchangeWith(ev, scopeOf(t, a), 0)
		}
		if s, err := send(func(fas.Evidence) [32]byte { return digest }); !errors.Is(err, fas.ErrDenied) || s != nil || !errors.Is(g.err, awssts.ErrSealed) {
			t.Errorf("sealed for another request: %v, %v, %v", s, err, g.err)
		}
		if s, err := w.exchange(a, 0); !errors.Is(err, fas.ErrDenied) || s != nil || !errors.Is(g.err, awssts.ErrSealed) {
			t.Errorf("nothing sealed: %v, %v, %v", s, err, g.err)
		}
		s, err := send(func(ev fas.Evidence) [32]byte { return ev.Claim().Digest })
		if err != nil {
			t.Fatal(err, g.err)
		}
		provider, err := awssts.NewProvider(s)
		if err != nil {
			t.Fatal(err)
		}
		c := p.s3(provider.AWSConfig(config(nil)))
		denied(t, "another bucket", get(c, b, "src/a"))
		denied(t, "another prefix", get(c, a, "other/a"))
		if err := get(c, a, "src/a"); err != nil {
			t.Errorf("control: %v", err)
		}
		creds, err := s.Credentials()
		if err != nil {
			t.Fatal(err)
		}
		if err := provider.Close(); err != nil {
			t.Fatal(err)
		}
		if err := creds.Secret.Use(func([]byte) error { return nil }); !errors.Is(err, tenant.ErrDestroyed) {
			t.Errorf("Close left the secret: %v", err)
		}
	})
}

func FuzzSealed(f *testing.F) {
	o, _ := opener(f)
	f.Add([]byte{}, false)
	f.Add(seal(f, o.Key(), digest)[9:], true)
	f.Add(append(o.Key().Bytes(), make([]byte, 64)...), true)
	f.Fuzz(func(t *testing.T, b []byte, head bool) {
		if head {
			b = append(bytes.Clone(seal(t, o.Key(), digest)[:9]), b...)
		}
		// Nobody finds a box by trying, so what opens was sealed here, and then
		// it is for this digest only.
		k, err := o.Open(b, digest)
		if err != nil {
			if !errors.Is(err, awssts.ErrSealed) && !errors.Is(err, awssts.ErrExpired) || k.Token != "" {
				t.Fatal(err)
			}
			return
		}
		if k.AccessKeyID != "ASIACALLER" {
			t.Fatalf("%+v", k)
		}
		if _, err := o.Open(b, [32]byte{1}); !errors.Is(err, awssts.ErrSealed) {
			t.Fatal("opens for another request")
		}
	})
}

func FuzzSealedKeys(f *testing.F) {
	f.Add([]byte(`{"id":"A","secret":"cw==","token":"t","expires":9999999999}`))
	f.Add([]byte(`{"id":"A","secret":"cw==","token":"t","expires":1,"expires":9999999999}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		k, err := awssts.ReadKeys(bytes.Clone(b))
		if err != nil {
			if k.Token != "" || k.AccessKeyID != "" {
				t.Fatal("keys beside an error")
			}
			return
		}
		if k.AccessKeyID == "" || k.Token == "" || !time.Now().Before(k.Expires) || bytes.Count(b, []byte(`"secret"`)) != 1 {
			t.Fatalf("%q", b)
		}
	})
}
