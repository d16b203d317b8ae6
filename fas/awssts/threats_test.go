package awssts_test

import (
	"context"
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/cloisterdev/cloister/fas"
	"github.com/cloisterdev/cloister/fas/awssts"
	"github.com/cloisterdev/cloister/tenant"
)

// dial is a front end's connection to the firewall, over a socket pair.
func (w *world) dial() *fas.Client {
	w.t.Helper()
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	w.ok(err)
	var ends [2]*net.UnixConn
	for i, fd := range fds {
		f := os.NewFile(uintptr(fd), "pair")
		c, err := net.FileConn(f)
		w.ok(err)
		w.ok(f.Close())
		ends[i] = c.(*net.UnixConn)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); _ = w.wall.Serve(ctx, ends[1]) }()
	c, err := fas.Dial(ends[0])
	w.ok(err)
	w.t.Cleanup(func() { _ = c.Close(); cancel(); <-done })
	return c
}

// onSocket asks for a session as a front end does.
func (w *world) onSocket(p awssts.Proof, path string, body []byte) (*fas.Session, error) {
	w.t.Helper()
	ev, err := awssts.Evidence(p, "POST", path, body)
	w.ok(err)
	return w.dial().Exchange(context.Background(), ev, fas.Request{RequestID: tenant.NewRequestID(), Customization: w.row, Profile: "p", Scope: scopeOf(w.t, "acme-src")})
}

// believing is the saboteur of a verifier of proofs: it validates where it
// should write itself, and reads the answer as one reads XML. What it says is
// whom it takes the caller for.
type believing struct {
	to        string // of the STS
	redirects bool
	anyAnswer bool
	itsLabels bool // the audience and digest that the proof names are right
}

func (b believing) verify(p awssts.Proof, digest [32]byte) string {
	aud := audience
	if b.itsLabels {
		raw, _ := p.MarshalBinary()
		var m struct{ Audience, Digest string }
		_ = json.Unmarshal(raw, &m)
		aud = m.Audience
	}
	r, err := awssts.Request(p, context.Background(), aud, digest)
	if err != nil {
		return ""
	}
	c := &http.Client{Transport: &detour{to: b.to}}
	if b.redirects {
		c.Transport = anywhere{c.Transport}
	} else {
		c.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	}
	res, err := c.Do(r)
	if err != nil {
		return ""
	}
	defer res.Body.Close()
	if res.StatusCode != 200 && !b.anyAnswer {
		return ""
	}
	text, _ := io.ReadAll(res.Body)
	if b.anyAnswer {
		_, s, _ := strings.Cut(string(text), "<Account>")
		s, _, _ = strings.Cut(s, "<")
		return s
	}
	var out struct{ GetCallerIdentityResult struct{ Account string } }
	_ = xml.Unmarshal(text, &out)
	return out.GetCallerIdentityResult.Account
}

// anywhere sends what is not for STS where it says.
type anywhere struct{ sts http.RoundTripper }

func (a anywhere) RoundTrip(r *http.Request) (*http.Response, error) {
	if strings.HasSuffix(r.URL.Host, ".amazonaws.com") {
		return a.sts.RoundTrip(r)
	}
	return http.DefaultTransport.RoundTrip(r)
}

// Each sub-test is a row of the threats against these parts: the attack on the
// firewall's socket, the same attack on a verifier with the control off, and
// the right call.
func TestThreats(t *testing.T) {
	t.Parallel()
	is := awssts.AWSCaller{Account: "123456789012", ARN: "arn:aws:sts::123456789012:assumed-role/deploy/yesterday"}
	body := creation("acme-src")
	forBody := func(aud string) awssts.Proof {
		return prove(t, caller, aud, awssts.CallDigest("POST", createPath, body))
	}
	t.Run("STS proof spoofing", func(t *testing.T) {
		t.Parallel()
		thief := httptest.NewServer(http.HandlerFunc(typed("text/xml", answer)))
		t.Cleanup(thief.Close)
		for name, c := range map[string]struct {
			h    http.HandlerFunc
			weak believing
		}{
			"a redirect to who answers for STS": {func(w http.ResponseWriter, r *http.Request) {
				http.Redirect(w, r, thief.URL, http.StatusTemporaryRedirect)
			}, believing{redirects: true}},
			"JSON that holds the XML":   {typed("application/json", `{"Error":{"Message":"`+answer+`"}}`), believing{anyAnswer: true}},
			"an error that reflects it": {status(http.StatusInternalServerError), believing{anyAnswer: true}},
			"two accounts": {typed("text/xml", strings.Replace(answer, "<Account>", "<Account>999999999999</Account><Account>", 1)),
				believing{}},
			"an answer without end": {typed("text/xml", answer+strings.Repeat(" ", 1<<20)), believing{}},
		} {
			s := httptest.NewServer(c.h)
			t.Cleanup(s.Close)
			w := byProof(t, s.URL, is, &grabber{})
			if got, err := w.onSocket(forBody(audience), createPath, body); !errors.Is(err, fas.ErrDenied) || got != nil {
				t.Errorf("%s: %v, %v", name, got, err)
			}
			c.weak.to = s.URL
			if who := c.weak.verify(forBody(audience), awssts.CallDigest("POST", createPath, body)); who != "123456789012" {
				t.Errorf("%s: the saboteur took the caller for %q: the attack is none", name, who)
			}
		}
		if s, err := byProof(t, standIn(t), is, &grabber{}).onSocket(forBody(audience), createPath, body); err != nil || s == nil {
			t.Errorf("control: %v", err)
		}
	})
	t.Run("cross-service reuse of proof", func(t *testing.T) {
		t.Parallel()
		to := standIn(t)
		w := byProof(t, to, is, &grabber{})
		stolen := forBody("rag.example.org") // which that service was given
		if s, err := w.onSocket(stolen, createPath, body); !errors.Is(err, fas.ErrDenied) || s != nil {
			t.Errorf("%v, %v", s, err)
		}
		other := creation("other-src")
		moved := prove(t, caller, audience, awssts.CallDigest("POST", createPath, other))
		if s, err := w.onSocket(moved, createPath, body); !errors.Is(err, fas.ErrDenied) || s != nil {
			t.Errorf("another request: %v, %v", s, err)
		}
		if who := (believing{to: to, itsLabels: true}).verify(stolen, awssts.CallDigest("POST", createPath, body)); who != "123456789012" {
			t.Errorf("the saboteur took the caller for %q: the attack is none", who)
		}
		if s, err := w.onSocket(forBody(audience), createPath, body); err != nil || s == nil {
			t.Errorf("control: %v", err)
		}
	})
	t.Run("replay of a proof", func(t *testing.T) {
		t.Parallel()
		w := byProof(t, standIn(t), is, &grabber{})
		p := forBody(audience)
		if _, err := w.onSocket(p, createPath, body); err != nil {
			t.Fatalf("control: %v", err)
		}
		if s, err := w.onSocket(p, createPath, body); !errors.Is(err, fas.ErrReplayed) || s != nil {
			t.Errorf("%v, %v", s, err)
		}
	})
	t.Run("sealed session with another request", func(t *testing.T) {
		t.Parallel()
		o, _ := opener(t)
		store := &envelopes{}
		issuer, err := awssts.NewSealedIssuer(o, store)
		if err != nil {
			t.Fatal(err)
		}
		w := byProof(t, standIn(t), is, issuer)
		call := awssts.CallDigest("POST", createPath, body)
		store.put(call, seal(t, o.Key(), awssts.CallDigest("POST", createPath, creation("other-src"))))
		if s, err := w.onSocket(forBody(audience), createPath, body); !errors.Is(err, fas.ErrDenied) || s != nil {
			t.Errorf("%v, %v", s, err)
		}
		store.put(call, seal(t, o.Key(), call))
		time.Sleep(time.Until(time.Now().Truncate(time.Second).Add(time.Second))) // another second, another proof
		if s, err := w.onSocket(forBody(audience), createPath, body); err != nil || s == nil {
			t.Errorf("control: %v", err)
		}
	})
}
