package main

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/cloisterdev/cloister/fas/sigv4"
	"github.com/cloisterdev/cloister/tenant"
)

const (
	sigKey    = "AKIDEXAMPLE"
	sigSecret = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
	sigRegion = "us-east-1"
	sigFor    = "service"
)

var errVerdict = errors.New("a verifier is wrong")

// signedCall is one request as a server received it, again and again.
type signedCall struct {
	r    *http.Request
	body []byte
	rd   *bytes.Reader
}

func newSignedCall(at time.Time, method, url string, creds sigv4.Credentials) (*signedCall, error) {
	c := &signedCall{body: []byte(`{"customizationArn":"` + strings.Repeat("a", 145) + `"}`)}
	c.rd = bytes.NewReader(c.body)
	r, err := http.NewRequest(method, url, bytes.NewReader(c.body))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("User-Agent", "bench")
	creds.AccessKeyID, creds.Secret, creds.Region = sigKey, tenant.NewSecret([]byte(sigSecret)), sigRegion
	err = sigv4.SignRequest(r, c.body, creds, at)
	c.r, r.RequestURI = r, r.URL.RequestURI()
	return c, err
}

func (c *signedCall) rewind() *http.Request {
	c.rd.Reset(c.body)
	c.r.Body = io.NopCloser(c.rd)
	return c.r
}

// signsAgain is the verifier that the SDK's signer makes.
func signsAgain(signer *v4.Signer, r *http.Request, at time.Time) error {
	body, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	if err != nil {
		return err
	}
	sum := sha256.Sum256(body)
	payload := hex.EncodeToString(sum[:])
	claimed := r.Header.Get("Authorization")
	again := &http.Request{Method: r.Method, URL: r.URL, Host: r.Host, ContentLength: 0, Header: http.Header{}}
	_, list, _ := strings.Cut(claimed, "SignedHeaders=")
	list, _, _ = strings.Cut(list, ",")
	for _, n := range strings.Split(list, ";") {
		if n != "host" {
			again.Header[http.CanonicalHeaderKey(n)] = r.Header.Values(n)
		}
	}
	creds := aws.Credentials{AccessKeyID: sigKey, SecretAccessKey: sigSecret, SessionToken: r.Header.Get("X-Amz-Security-Token")}
	if err := signer.SignHTTP(context.Background(), creds, again, payload, sigFor, sigRegion, at); err != nil {
		return err
	}
	if subtle.ConstantTimeCompare([]byte(again.Header.Get("Authorization")), []byte(claimed)) != 1 || payload != r.Header.Get("X-Amz-Content-Sha256") {
		return errVerdict
	}
	return nil
}

// verifying is a verifier of whole requests in this process.
type verifying struct {
	name   string
	verify func(*http.Request) error
}

// ourVerifiers are the one that keeps keys, by itself too, and the function that
// derives one each time.
func ourVerifiers(service string, at time.Time) (*sigv4.Verifier, []verifying, error) {
	secret := tenant.NewSecret([]byte(sigSecret))
	o := sigv4.Options{Region: sigRegion, Service: service, MinLevel: sigv4.LevelDigest}
	v, err := sigv4.NewVerifier(func(id string) (sigv4.Key, bool) { return sigv4.Key{Secret: secret}, id == sigKey }, o)
	whole := func(verify func(sigv4.Evidence) error) func(*http.Request) error {
		return func(r *http.Request) error {
			ev, _, err := sigv4.Capture(r, 1<<20)
			if err != nil {
				return err
			}
			return verify(ev)
		}
	}
	return v, []verifying{
		{"fas/sigv4, cached key", whole(func(ev sigv4.Evidence) error { return v.Verify(ev, at) })},
		{"fas/sigv4, derived key", whole(func(ev sigv4.Evidence) error {
			return sigv4.Verify(ev, func(id string) (tenant.Secret, bool) { return secret, id == sigKey }, at, o)
		})},
	}, err
}

// contenders are the verifiers with one call, each found to be right about it.
func contenders(vs []verifying, call *signedCall) ([]contender, error) {
	var cs []contender
	for _, v := range vs {
		if err := rightAbout(v.verify, call, true); err != nil {
			return nil, fmt.Errorf("%s: %w", v.name, err)
		}
		cs = append(cs, contender{v.name, func(n int) error {
			for range n {
				if err := v.verify(call.rewind()); err != nil {
					return err
				}
			}
			return nil
		}})
	}
	return cs, nil
}

// sigv4Pace is how often, and for how long at a time, verifiers take turns.
func sigv4Pace(quick bool) (rounds int, slice time.Duration) {
	if quick {
		return 3, 20 * time.Millisecond
	}
	return 15, 60 * time.Millisecond
}

func sigv4Rows(ctx context.Context, quick bool) ([]row, error) {
	rounds, slice := sigv4Pace(quick)
	at := time.Now().UTC().Truncate(time.Second)
	call, err := newSignedCall(at, http.MethodPost, "http://service.example/generateCompletions", sigv4.Credentials{SessionToken: strings.Repeat("t", 600), Service: sigFor})
	if err != nil {
		return nil, err
	}
	v, full, err := ourVerifiers(sigFor, at)
	if err != nil {
		return nil, err
	}
	signer := v4.NewSigner()
	full = append(full, verifying{"aws-sdk-go-v2 " + version("github.com/aws/aws-sdk-go-v2") + " signer", func(r *http.Request) error { return signsAgain(signer, r, at) }})
	cs, err := contenders(full, call)
	if err != nil {
		return nil, err
	}
	rows, err := nanoseconds(ctx, "sigv4/full", cs, rounds, slice)
	if err != nil {
		return nil, err
	}
	ev, _, err := sigv4.Capture(call.rewind(), 1<<20)
	if err != nil {
		return nil, err
	}
	short, err := ev.AtLevel(sigv4.LevelDigest)
	if err != nil {
		return nil, err
	}
	cs, err = digestContenders(v, short, at)
	if err != nil {
		return nil, err
	}
	more, err := nanoseconds(ctx, "sigv4/digest", cs, rounds, slice)
	return append(rows, more...), err
}

// rightAbout refuses to time a verifier that takes what was changed: a header,
// and the body where it does more than verify the signature alone.
func rightAbout(verify func(*http.Request) error, call *signedCall, body bool) error {
	if err := verify(call.rewind()); err != nil {
		return fmt.Errorf("%w: %w", errVerdict, err)
	}
	r := call.rewind().Clone(context.Background())
	r.Header.Set("Content-Type", "text/plain")
	if verify(r) == nil {
		return fmt.Errorf("%w: it takes another header", errVerdict)
	}
	r = call.rewind().Clone(context.Background())
	r.Body = io.NopCloser(strings.NewReader(strings.ToUpper(string(call.body))))
	switch err := verify(r); {
	case body && err == nil:
		return fmt.Errorf("%w: it takes another body", errVerdict)
	case !body && err != nil:
		return fmt.Errorf("%w: it looks at the body, and was to verify the signature alone: %w", errVerdict, err)
	}
	return nil
}

func digestContenders(v *sigv4.Verifier, short sigv4.Evidence, at time.Time) ([]contender, error) {
	if err := v.Verify(short, at); err != nil {
		return nil, fmt.Errorf("%w: %w", errVerdict, err)
	}
	text := []byte("AWS4-HMAC-SHA256\n" + at.Format("20060102T150405Z") + "\n" + at.Format("20060102") + "/" + sigRegion + "/" + sigFor + "/aws4_request\n" + strings.Repeat("0", 64))
	keyed := hmac.New(sha256.New, bytes.Repeat([]byte{1}, 32))
	var sum [sha256.Size]byte
	over := func(mac func() hash.Hash) func(int) error {
		return func(n int) error {
			for range n {
				m := mac()
				m.Write(text)
				m.Sum(sum[:0])
			}
			return nil
		}
	}
	return []contender{
		{"fas/sigv4, digest evidence", func(n int) error {
			for range n {
				if err := v.Verify(short, at); err != nil {
					return err
				}
			}
			return nil
		}},
		{"hmac, keyed before", over(func() hash.Hash { keyed.Reset(); return keyed })},
		{"hmac, keyed each time", over(func() hash.Hash { return hmac.New(sha256.New, sum[:]) })},
	}, nil
}

func nanoseconds(ctx context.Context, name string, cs []contender, rounds int, slice time.Duration) ([]row, error) {
	took, err := interleave(ctx, cs, rounds, slice)
	if err != nil {
		return nil, err
	}
	for i := range took {
		took[i] *= 1e9
	}
	return rowsOf(name, "ns", names(cs), took)
}
