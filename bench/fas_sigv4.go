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

func newSignedCall(at time.Time) (*signedCall, error) {
	c := &signedCall{body: []byte(`{"customizationArn":"` + strings.Repeat("a", 145) + `"}`)}
	c.rd = bytes.NewReader(c.body)
	r, err := http.NewRequest(http.MethodPost, "http://service.example/generateCompletions", bytes.NewReader(c.body))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("User-Agent", "bench")
	err = sigv4.SignRequest(r, c.body, sigv4.Credentials{AccessKeyID: sigKey, Secret: tenant.NewSecret([]byte(sigSecret)),
		SessionToken: strings.Repeat("t", 600), Region: sigRegion, Service: sigFor}, at)
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

func sigv4Rows(ctx context.Context, quick bool) ([]row, error) {
	rounds, slice := 15, 60*time.Millisecond
	if quick {
		rounds, slice = 3, 20*time.Millisecond
	}
	at := time.Now().UTC().Truncate(time.Second)
	call, err := newSignedCall(at)
	if err != nil {
		return nil, err
	}
	secret := tenant.NewSecret([]byte(sigSecret))
	o := sigv4.Options{Region: sigRegion, Service: sigFor, MinLevel: sigv4.LevelDigest}
	v, err := sigv4.NewVerifier(func(id string) (sigv4.Key, bool) { return sigv4.Key{Secret: secret}, id == sigKey }, o)
	if err != nil {
		return nil, err
	}
	ours := func(verify func(sigv4.Evidence) error) func(*http.Request) error {
		return func(r *http.Request) error {
			ev, _, err := sigv4.Capture(r, 1<<20)
			if err != nil {
				return err
			}
			return verify(ev)
		}
	}
	signer := v4.NewSigner()
	full := []struct {
		name   string
		verify func(*http.Request) error
	}{
		{"fas/sigv4, cached key", ours(func(ev sigv4.Evidence) error { return v.Verify(ev, at) })},
		{"fas/sigv4, derived key", ours(func(ev sigv4.Evidence) error {
			return sigv4.Verify(ev, func(id string) (tenant.Secret, bool) { return secret, id == sigKey }, at, o)
		})},
		{"aws-sdk-go-v2 " + version("github.com/aws/aws-sdk-go-v2") + " signer", func(r *http.Request) error { return signsAgain(signer, r, at) }},
	}
	var cs []contender
	for _, f := range full {
		if err := rightAbout(f.verify, call); err != nil {
			return nil, fmt.Errorf("%s: %w", f.name, err)
		}
		cs = append(cs, contender{f.name, func(n int) error {
			for range n {
				if err := f.verify(call.rewind()); err != nil {
					return err
				}
			}
			return nil
		}})
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

// rightAbout refuses to time a verifier that takes what was changed.
func rightAbout(verify func(*http.Request) error, call *signedCall) error {
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
	if verify(r) == nil {
		return fmt.Errorf("%w: it takes another body", errVerdict)
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
