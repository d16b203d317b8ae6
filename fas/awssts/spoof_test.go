package awssts_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cloisterdev/cloister/fas/awssts"
)

// spoofs are answers of an STS that somebody leads astray or speaks for. Each
// holds the right answer somewhere, which is not to be found.
var spoofs = map[string]func(w http.ResponseWriter, r *http.Request){
	"JSON":                     typed("application/json", `{"GetCallerIdentityResponse":{"GetCallerIdentityResult":{"Account":"123456789012","Arn":"arn:aws:iam::123456789012:root"}}}`),
	"XML in JSON":              typed("application/json", answer),
	"XML in JSON, mislabelled": typed("text/xml", `{"Error":{"Message":"`+answer+`"}}`),
	"HTML":                     typed("text/html", answer),
	"no type":                  typed("", answer),
	"an answer to something else": typed("text/xml", `<AssumeRoleResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleResult>`+
		result+`</AssumeRoleResult></AssumeRoleResponse>`),
	"reflected in an error":     typed("text/xml", `<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><Error><Message>`+answer[39:]+`</Message></Error></ErrorResponse>`),
	"two results":               typed("text/xml", strings.Replace(answer, "</GetCallerIdentityResult>", "</GetCallerIdentityResult><GetCallerIdentityResult>"+result+"</GetCallerIdentityResult>", 1)),
	"two accounts":              typed("text/xml", strings.Replace(answer, "</Account>", "</Account><Account>123456789012</Account>", 1)),
	"a second account, empty":   typed("text/xml", strings.Replace(answer, "</Account>", "</Account><Account></Account>", 1)),
	"a second result, empty":    typed("text/xml", strings.Replace(answer, "</GetCallerIdentityResult>", "</GetCallerIdentityResult><GetCallerIdentityResult></GetCallerIdentityResult>", 1)),
	"two documents":             typed("text/xml", answer+answer[39:]),
	"something after it":        typed("text/xml", answer+"x"),
	"another namespace":         typed("text/xml", strings.Replace(answer, "sts.amazonaws.com", "sts.evil.example", 1)),
	"no namespace":              typed("text/xml", strings.Replace(answer, ` xmlns="https://sts.amazonaws.com/doc/2011-06-15/"`, "", 1)),
	"a prefixed namespace":      typed("text/xml", strings.NewReplacer("<Arn", `<x:Arn xmlns:x="https://sts.amazonaws.com/doc/2011-06-15/"`, "</Arn", "</x:Arn").Replace(answer)),
	"an attribute":              typed("text/xml", strings.Replace(answer, "<Arn>", `<Arn a="b">`, 1)),
	"a comment in the account":  typed("text/xml", strings.Replace(answer, "1234567890", "1234567<!-- -->890", 1)),
	"a document type":           typed("text/xml", strings.Replace(answer, "\n", "\n<!DOCTYPE a [<!ENTITY e \"x\">]>", 1)),
	"an entity":                 typed("text/xml", strings.Replace(answer, "deploy", "&e;", 1)),
	"another encoding":          typed("text/xml", strings.Replace(answer, "UTF-8", "UTF-7", 1)),
	"an unknown element":        typed("text/xml", strings.Replace(answer, "<Arn>", "<Extra>1</Extra><Arn>", 1)),
	"an unknown, empty one":     typed("text/xml", strings.Replace(answer, "<Arn>", "<Extra/><Arn>", 1)),
	"an element inside":         typed("text/xml", strings.Replace(answer, "<Account>", "<Account><Account>123456789012</Account>", 1)),
	"another account":           typed("text/xml", strings.Replace(answer, "<Account>123456789012", "<Account>999999999999", 1)),
	"a short account":           typed("text/xml", strings.ReplaceAll(answer, "123456789012", "12345678901")),
	"an ARN of something else":  typed("text/xml", strings.Replace(answer, "assumed-role/deploy/me", "server-certificate/x", 1)),
	"an ARN with a line end":    typed("text/xml", strings.Replace(answer, "/me</Arn>", "/me\n</Arn>", 1)),
	"half of it":                typed("text/xml", answer[:len(answer)/2]),
	"nothing":                   typed("text/xml", ""),
	"no ARN":                    typed("text/xml", strings.Replace(answer, "Arn>arn:aws:sts::123456789012:assumed-role/deploy/me</Arn", "Arn></Arn", 1)),
	"huge":                      typed("text/xml", answer+strings.Repeat(" ", 70<<10)),
	"huge, before":              typed("text/xml", strings.Replace(answer, "\n", strings.Repeat("\n", 70<<10), 1)),
	"not for this caller (500)": status(http.StatusInternalServerError),
	"busy (503)":                status(http.StatusServiceUnavailable),
	"created (201)":             status(http.StatusCreated),
	"partial (206)":             status(http.StatusPartialContent),
	"compressed, not really": func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		typed("text/xml", answer[:50])(w, r)
	},
	"hangs up": func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
}

const result = `<Arn>arn:aws:iam::123456789012:root</Arn><UserId>123456789012</UserId><Account>123456789012</Account>`

func typed(kind, body string) func(http.ResponseWriter, *http.Request) {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header()["Content-Type"] = []string{kind}
		_, _ = w.Write([]byte(body))
	}
}

func status(code int) func(http.ResponseWriter, *http.Request) {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/xml")
		w.WriteHeader(code)
		_, _ = w.Write([]byte(answer))
	}
}

func faulty(t testing.TB, h http.HandlerFunc) *awssts.ProofVerifier {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	v, _ := verifier(t, s.URL)
	return v
}

func TestSpoofedAnswers(t *testing.T) {
	t.Parallel()
	for name, h := range spoofs {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			who, err := faulty(t, h).Verify(context.Background(), prove(t, caller, audience, digest), digest)
			if !errors.Is(err, awssts.ErrService) || who != (awssts.AWSCaller{}) {
				t.Errorf("%+v, %v", who, err)
			}
		})
	}
	for name, h := range map[string]http.HandlerFunc{"control": typed("text/xml", answer), "with a charset": typed("text/xml; charset=utf-8", answer),
		"without a prolog": typed("application/xml", answer[39:]), "with line ends": typed("text/xml", strings.ReplaceAll(answer, "><", ">\n  <"))} {
		who, err := faulty(t, h).Verify(context.Background(), prove(t, caller, audience, digest), digest)
		if name == "with line ends" && err == nil {
			continue
		}
		if r, ok := who.Role(); err != nil || who.Account != "123456789012" || r != "deploy" || !ok {
			t.Errorf("%s: %+v, %v", name, who, err)
		}
	}
}

// A redirect is not followed: the proof would go to whoever it names, and the
// answer come from there.
func TestRedirectIsNotFollowed(t *testing.T) {
	t.Parallel()
	var elsewhere atomic.Int32
	thief := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		elsewhere.Add(1)
		typed("text/xml", answer)(w, r)
	}))
	t.Cleanup(thief.Close)
	for _, code := range []int{301, 302, 303, 307, 308} {
		v := faulty(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", thief.URL)
			w.Header().Set("Content-Type", "text/xml")
			w.WriteHeader(code)
			_, _ = fmt.Fprint(w, answer)
		})
		if who, err := v.Verify(context.Background(), prove(t, caller, audience, digest), digest); !errors.Is(err, awssts.ErrService) || who != (awssts.AWSCaller{}) {
			t.Errorf("%d: %+v, %v", code, who, err)
		}
	}
	if elsewhere.Load() != 0 {
		t.Error("a redirect was followed")
	}
}

// An STS that hangs, at once or in the middle, holds nobody up for long.
func TestSlowAnswer(t *testing.T) {
	t.Parallel()
	for name, first := range map[string]int{"at once": 0, "in the middle": 100} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			end := make(chan struct{})
			v := faulty(t, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "text/xml")
				if first > 0 {
					_, _ = w.Write([]byte(answer[:first]))
					w.(http.Flusher).Flush()
				}
				<-end
			})
			t.Cleanup(func() { close(end) }) // before the server waits for its handlers
			ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
			defer cancel()
			if _, err := v.Verify(ctx, prove(t, caller, audience, digest), digest); !errors.Is(err, awssts.ErrService) || ctx.Err() != nil {
				t.Errorf("%v, %v", err, ctx.Err())
			}
		})
	}
}

func FuzzAnswer(f *testing.F) {
	f.Add([]byte(answer))
	f.Add([]byte(strings.Replace(answer, "<Arn>", "<!-- --><Arn>", 1)))
	f.Add([]byte(`<a xmlns="https://sts.amazonaws.com/doc/2011-06-15/">` + result + `</a>`))
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := awssts.ParseAnswer(b)
		if err != nil {
			if c != (awssts.AWSCaller{}) || !errors.Is(err, awssts.ErrService) {
				t.Fatalf("%+v beside %v", c, err)
			}
			return
		}
		// What is accepted says each thing once, in the bytes that were read.
		for _, s := range []string{"<Arn", "<Account", "<UserId", "<GetCallerIdentityResponse"} {
			if strings.Count(string(b), s) != 1 {
				t.Fatalf("%s not once", s)
			}
		}
		if len(c.Account) != 12 || !strings.HasPrefix(c.ARN, "arn:aws") || !strings.Contains(c.ARN, "::"+c.Account+":") {
			t.Fatalf("%+v", c)
		}
		if strings.Contains(string(b), "<!--") || strings.Contains(string(b), "<!DOCTYPE") {
			t.Fatal("a comment or a document type")
		}
	})
}

func FuzzProof(f *testing.F) {
	raw, err := prove(f, caller, audience, digest).MarshalBinary()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(raw)
	f.Add([]byte(`{"access_key_id":"A","region":"us-east-1"}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := awssts.ParseProof(b)
		if err != nil {
			if !p.IsZero() {
				t.Fatal("a proof beside an error")
			}
			return
		}
		again, err := p.MarshalBinary()
		if err != nil || string(again) != string(b) {
			t.Fatalf("two forms: %q, %q", b, again)
		}
		r, err := awssts.Request(p, context.Background(), audience, digest)
		if err != nil {
			t.Fatal(err)
		}
		if r.URL.Scheme != "https" || r.URL.User != nil || !strings.HasSuffix(r.URL.Host, ".amazonaws.com") || strings.Count(r.URL.Host, ".") != 3 || r.URL.Path != "/" || r.URL.RawQuery != "" {
			t.Fatalf("another place: %s", r.URL)
		}
		for k, v := range r.Header {
			if len(v) != 1 || strings.ContainsAny(v[0], "\r\n") {
				t.Fatalf("header %s: %q", k, v)
			}
		}
	})
}
