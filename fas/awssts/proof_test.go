package awssts_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/cloisterdev/cloister/fas/awssts"
	"github.com/cloisterdev/cloister/fas/sigv4"
	"github.com/cloisterdev/cloister/tenant"
)

const audience = "rag.example.com"

// detour carries requests for STS to another server and leaves the request as
// it was signed. It counts them.
type detour struct {
	to    string
	calls atomic.Int32
}

func (d *detour) RoundTrip(r *http.Request) (*http.Response, error) {
	d.calls.Add(1)
	at, err := url.Parse(d.to)
	if err != nil {
		return nil, err
	}
	if r.URL.Scheme != "https" || !strings.HasPrefix(r.URL.Host, "sts.") || !strings.HasSuffix(r.URL.Host, ".amazonaws.com") || r.URL.Path != "/" {
		return nil, fmt.Errorf("not a request to STS: %s", r.URL)
	}
	c := r.Clone(r.Context())
	c.Host, c.URL.Scheme, c.URL.Host = r.URL.Host, at.Scheme, at.Host
	return http.DefaultTransport.RoundTrip(c)
}

// versitygw is the STS that checks the signature of GetCallerIdentity;
// ministack answers it without.
func versitygw(t testing.TB) (string, aws.Credentials) {
	t.Helper()
	_, root := fromEnv(t, "VERSITYGW")
	at := os.Getenv("CLOISTER_PEER_VERSITYGW_IAM")
	if at == "" {
		t.Skip("CLOISTER_PEER_VERSITYGW_IAM names no server")
	}
	return at, root
}

const answer = `<?xml version="1.0" encoding="UTF-8"?>
<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><GetCallerIdentityResult>` +
	`<Arn>arn:aws:sts::123456789012:assumed-role/deploy/me</Arn><UserId>AROAEXAMPLE:me</UserId><Account>123456789012</Account></GetCallerIdentityResult>` +
	`<ResponseMetadata><RequestId>1</RequestId></ResponseMetadata></GetCallerIdentityResponse>`

var caller = aws.Credentials{AccessKeyID: "ASIACALLER", SecretAccessKey: "a secret of the caller", SessionToken: "a/token+of=the/caller"}

// standIn is an STS that checks signatures with fas/sigv4.
func standIn(t testing.TB) string {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ev, body, err := sigv4.Capture(r, 1<<10)
		if err == nil {
			err = sigv4.Verify(ev, func(key string) (tenant.Secret, bool) {
				return tenant.NewSecret([]byte(caller.SecretAccessKey)), key == caller.AccessKeyID
			}, time.Now(), sigv4.Options{Region: ev.Region(), Service: "sts"})
		}
		if token, ok := ev.Header("x-amz-security-token"); err == nil && (!ok || token != caller.SessionToken || string(body) != "Action=GetCallerIdentity&Version=2011-06-15") {
			err = errors.New("another token or body")
		}
		if err != nil {
			http.Error(w, "SignatureDoesNotMatch", http.StatusForbidden)
			return
		}
		w.Header().Set("Content-Type", "text/xml")
		_, _ = w.Write([]byte(answer))
	}))
	t.Cleanup(s.Close)
	return s.URL
}

// eachSTS runs a test against the real server and against the stand-in.
func eachSTS(t *testing.T, f func(t *testing.T, to string, keys aws.Credentials)) {
	t.Helper()
	t.Run("versitygw", func(t *testing.T) { t.Parallel(); at, root := versitygw(t); f(t, at, root) })
	t.Run("with a session token", func(t *testing.T) { t.Parallel(); f(t, standIn(t), caller) })
}

func verifier(t testing.TB, to string) (*awssts.ProofVerifier, *detour) {
	t.Helper()
	d := &detour{to: to}
	v := verifierOf(t, lasting{memory(t)}, anywhere{d})
	return v, d
}

func prove(t testing.TB, keys aws.Credentials, aud string, digest [32]byte) awssts.Proof {
	t.Helper()
	p, err := awssts.Prove(context.Background(), static(keys), "us-east-1", aud, digest)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// fields is a proof as JSON, to be altered; proof reads it back.
func fields(t testing.TB, p awssts.Proof) map[string]string {
	t.Helper()
	raw, err := p.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	if err := json.Unmarshal(raw, &out); err != nil {
		t.Fatal(err)
	}
	return out
}

func proof(m map[string]string) (awssts.Proof, error) {
	var b strings.Builder
	for _, k := range []string{"access_key_id", "region", "time", "token", "audience", "digest", "signature"} {
		if v, ok := m[k]; ok {
			fmt.Fprintf(&b, ",%q:%q", k, v)
		}
	}
	return awssts.ParseProof([]byte("{" + b.String()[1:] + "}"))
}

var digest = awssts.CallDigest("POST", "/CreateCustomization", []byte("{}"))

func TestProof(t *testing.T) {
	t.Parallel()
	eachSTS(t, func(t *testing.T, to string, keys aws.Credentials) {
		v, _ := verifier(t, to)
		p := prove(t, keys, audience, digest)
		raw, err := p.MarshalBinary()
		if err != nil {
			t.Fatal(err)
		}
		if p, err = awssts.ParseProof(raw); err != nil {
			t.Fatal(err)
		}
		who, err := v.Verify(context.Background(), p, digest)
		if err != nil || len(who.Account) != 12 || !strings.Contains(who.ARN, who.Account) {
			t.Errorf("%+v, %v", who, err)
		}
		if again, err := v.Verify(context.Background(), p, digest); !errors.Is(err, awssts.ErrReplayed) || again != (awssts.AWSCaller{}) {
			t.Errorf("the same once more: %+v, %v", again, err)
		}
	})
}

// Whoever has a proof for one service, or for one request, has none for
// another: not as it is, and not with a new label.
func TestProofIsForOneAudienceAndRequest(t *testing.T) {
	t.Parallel()
	eachSTS(t, func(t *testing.T, to string, keys aws.Credentials) {
		ctx := context.Background()
		other := awssts.CallDigest("POST", "/DeleteCustomization", []byte("{}"))
		v, d := verifier(t, to)
		for name, p := range map[string]awssts.Proof{"another audience": prove(t, keys, "rag.example.org", digest), "another request": prove(t, keys, audience, other)} {
			if who, err := v.Verify(ctx, p, digest); !errors.Is(err, awssts.ErrAudience) || who != (awssts.AWSCaller{}) {
				t.Errorf("%s: %+v, %v", name, who, err)
			}
		}
		if d.calls.Load() != 0 {
			t.Error("STS was asked about a proof for something else")
		}
		// With a label that fits, only STS can say no, and it does.
		labels := fields(t, prove(t, keys, audience, digest))
		for name, p := range map[string]awssts.Proof{"another audience": prove(t, keys, "rag.example.org", digest), "another request": prove(t, keys, audience, other)} {
			f := fields(t, p)
			f["audience"], f["digest"] = labels["audience"], labels["digest"]
			p, err := proof(f)
			if err != nil {
				t.Fatal(err)
			}
			if who, err := v.Verify(ctx, p, digest); !errors.Is(err, awssts.ErrProof) || who != (awssts.AWSCaller{}) {
				t.Errorf("%s, relabelled: %+v, %v", name, who, err)
			}
		}
		if d.calls.Load() != 2 {
			t.Errorf("STS was asked %d times, not twice", d.calls.Load())
		}
		if _, err := v.Verify(ctx, prove(t, keys, audience, digest), digest); err != nil {
			t.Errorf("control: %v", err)
		}
	})
}

// Every field counts, and the server is who says so.
func TestProofWithAFieldAltered(t *testing.T) {
	t.Parallel()
	eachSTS(t, func(t *testing.T, to string, keys aws.Credentials) {
		v, _ := verifier(t, to)
		f := fields(t, prove(t, keys, audience, digest))
		flip := func(s string) string { // stays a key, and a hexadecimal number
			if strings.HasSuffix(s, "0") {
				return s[:len(s)-1] + "1"
			}
			return s[:len(s)-1] + "0"
		}
		soon, err := time.Parse("20060102T150405Z", f["time"])
		if err != nil {
			t.Fatal(err)
		}
		changes := map[string][2]string{
			"key": {"access_key_id", flip(f["access_key_id"])}, "region": {"region", "eu-west-1"}, "time": {"time", soon.Add(time.Second).Format("20060102T150405Z")},
			"signature": {"signature", flip(f["signature"])}, "token": {"token", "another" + f["token"]},
		}
		for name, c := range changes {
			g := maps.Clone(f)
			g[c[0]] = c[1]
			p, err := proof(g)
			if err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			if who, err := v.Verify(context.Background(), p, digest); !errors.Is(err, awssts.ErrProof) || who != (awssts.AWSCaller{}) {
				t.Errorf("%s: %+v, %v", name, who, err)
			}
		}
		p, err := proof(f)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := v.Verify(context.Background(), p, digest); err != nil {
			t.Errorf("control: %v", err)
		}
	})
}

func TestProofThatIsNotAskedAbout(t *testing.T) {
	t.Parallel()
	d := &detour{to: standIn(t)}
	young := verifierOf(t, memory(t), d)
	v, err := awssts.NewProofVerifier(awssts.ProofConfig{Audience: audience, Regions: []string{"us-east-1"}, Replay: full{}, Transport: d})
	if err != nil {
		t.Fatal(err)
	}
	good := fields(t, prove(t, caller, audience, digest))
	at := func(ago time.Duration) string { return time.Now().UTC().Add(-ago).Format("20060102T150405Z") }
	for name, c := range map[string]struct {
		field, value string
		want         error
	}{
		"another host by the region":    {"region", "us-east-1.evil.example/", awssts.ErrRegion},
		"a region with a user":          {"region", "us-east-1@evil.example", awssts.ErrRegion},
		"no region":                     {"region", "", awssts.ErrRegion},
		"another partition":             {"region", "cn-north-1", awssts.ErrRegion},
		"a region not on the list":      {"region", "us-west-2", awssts.ErrRegion},
		"an action in the key":          {"access_key_id", "ASIA&Action=AssumeRole", awssts.ErrProof},
		"a header in the key":           {"access_key_id", "ASIA\r\nAccept: application/json", awssts.ErrProof},
		"a scope in the key":            {"access_key_id", "ASIA/20260101", awssts.ErrProof},
		"a header in the token":         {"token", "t\r\nAccept: application/json", awssts.ErrProof},
		"a long token":                  {"token", strings.Repeat("t", 5000), awssts.ErrProof},
		"a header in the audience":      {"audience", audience + "\nx: y", awssts.ErrProof},
		"a header list in the sig":      {"signature", good["signature"][:50] + ", SignedHeader", awssts.ErrProof},
		"a signature in capitals":       {"signature", strings.ToUpper(good["signature"][:63] + "a"), awssts.ErrProof},
		"no signature":                  {"signature", "", awssts.ErrProof},
		"a digest in capitals":          {"digest", strings.ToUpper(good["digest"][:63] + "a"), awssts.ErrProof},
		"a time that is none":           {"time", "20260231T000000Z", awssts.ErrProof},
		"another form of time":          {"time", "2026-02-03T00:00:00Z", awssts.ErrProof},
		"six minutes ago":               {"time", at(6 * time.Minute), awssts.ErrSkew},
		"in two minutes":                {"time", at(-2 * time.Minute), awssts.ErrSkew},
		"before the verifier was there": {"time", at(3 * time.Second), awssts.ErrReplayed},
	} {
		f := maps.Clone(good)
		f[c.field] = c.value
		p, err := proof(f)
		if err == nil {
			if c.want == awssts.ErrReplayed {
				_, err = young.Verify(context.Background(), p, digest)
			} else {
				_, err = v.Verify(context.Background(), p, digest)
			}
		}
		if !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	raw, err := prove(t, caller, audience, digest).MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	text := string(raw)
	for name, bad := range map[string]string{
		"nothing": "", "null": "null", "an array": "[" + text + "]", "white space": " " + text, "something after it": text + "{}",
		"a URL":         text[:len(text)-1] + `,"url":"https://evil.example/"}`,
		"headers":       text[:len(text)-1] + `,"headers":{"Accept":"application/json"}}`,
		"a field twice": text[:len(text)-1] + `,"audience":"` + audience + `"}`,
		"capitals":      strings.Replace(text, `"region"`, `"Region"`, 1),
		"an escape":     strings.Replace(text, `us-east-1`, `us\u002deast-1`, 1),
	} {
		if p, err := awssts.ParseProof([]byte(bad)); err == nil || !p.IsZero() {
			t.Errorf("%s: accepted", name)
		}
	}
	if _, err := v.Verify(context.Background(), awssts.Proof{}, digest); err == nil {
		t.Error("the zero proof is accepted")
	}
	if d.calls.Load() != 0 {
		t.Errorf("STS was asked %d times", d.calls.Load())
	}
	if p, err := awssts.ParseProof(raw); err != nil || strings.Contains(fmt.Sprintf("%v %+v %#v %s", p, p, p, p), caller.SessionToken) {
		t.Errorf("control: %v, or a token that prints", err)
	}
}

// Of the same proof from many sides at once, one counts; those that are not
// even asked about do not.
func TestProofCountsOnceAtOnce(t *testing.T) {
	t.Parallel()
	v, _ := verifier(t, standIn(t))
	p := prove(t, caller, audience, digest)
	var wg sync.WaitGroup
	var yes, no atomic.Int32
	for range 16 {
		wg.Go(func() {
			switch _, err := v.Verify(context.Background(), p, digest); {
			case err == nil:
				yes.Add(1)
			case errors.Is(err, awssts.ErrReplayed), errors.Is(err, awssts.ErrBusy):
				no.Add(1)
			default:
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if yes.Load() != 1 || no.Load() != 15 {
		t.Errorf("%d yes, %d no", yes.Load(), no.Load())
	}
}

type full struct{}

func (full) Claim(context.Context, [32]byte, time.Time, time.Time) (time.Time, bool, error) {
	return time.Time{}, true, errors.New("no room")
}
func (full) Durable() bool { return true }

func TestProofVerifierRefuses(t *testing.T) {
	t.Parallel()
	good := awssts.ProofConfig{Audience: audience, Regions: []string{"us-east-1"}, Replay: full{}, Transport: &detour{to: standIn(t)}}
	for name, change := range map[string]func(*awssts.ProofConfig){
		"no audience": func(c *awssts.ProofConfig) { c.Audience = "" }, "an audience of two lines": func(c *awssts.ProofConfig) { c.Audience = "a\nb" },
		"no regions": func(c *awssts.ProofConfig) { c.Regions = nil }, "a host for a region": func(c *awssts.ProofConfig) { c.Regions = []string{"evil.example"} },
		"no memory": func(c *awssts.ProofConfig) { c.Replay = nil },
	} {
		c := good
		change(&c)
		if v, err := awssts.NewProofVerifier(c); !errors.Is(err, awssts.ErrConfig) || v != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	v, err := awssts.NewProofVerifier(good)
	if err != nil {
		t.Fatal(err)
	}
	if who, err := v.Verify(context.Background(), prove(t, caller, audience, digest), digest); !errors.Is(err, awssts.ErrReplayed) || who != (awssts.AWSCaller{}) {
		t.Errorf("a store without room: %v", err)
	}
	if _, err := v.Scheme(nil); !errors.Is(err, awssts.ErrConfig) {
		t.Errorf("no accounts: %v", err)
	}
	for name, err := range map[string]error{
		"a region with a host": errOf(awssts.Prove(context.Background(), static(caller), "x.evil.example", audience, digest)),
		"no audience":          errOf(awssts.Prove(context.Background(), static(caller), "us-east-1", "", digest)),
		"no key":               errOf(awssts.Prove(context.Background(), static{}, "us-east-1", audience, digest)),
		"no provider":          errOf(awssts.Prove(context.Background(), nil, "us-east-1", audience, digest)),
	} {
		if err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func errOf[T any](_ T, err error) error { return err }
