package transit

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/cloisterdev/cloister/kmsctx"
	"github.com/cloisterdev/cloister/tenant"
)

// Options changes how the server is reached. The zero value is the safe one.
type Options struct {
	// Mount is where the transit engine is mounted; empty means "transit".
	Mount string
	// Namespace is sent as X-Vault-Namespace, unless empty.
	Namespace string
	// Transport makes the calls; nil means net/http's default. Calls end after
	// Timeout, and redirects are not followed: the token would go along.
	Transport http.RoundTripper
	// Timeout bounds one call; zero means 10 seconds.
	Timeout time.Duration
}

type client struct {
	http      *http.Client
	base      string
	mount     string
	namespace string
	token     tenant.Secret
}

// maxAnswer is the longest answer read, in bytes.
const maxAnswer = 64 << 10

func newClient(address string, token tenant.Secret, opts *Options) (client, error) {
	o := Options{}
	if opts != nil {
		o = *opts
	}
	if o.Mount == "" {
		o.Mount = "transit"
	}
	if o.Timeout == 0 {
		o.Timeout = 10 * time.Second
	}
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" || strings.Trim(u.Path, "/") != "" {
		return client{}, malformed("an address is https://HOST:PORT")
	}
	if u.Scheme != "https" && (u.Scheme != "http" || !loopback(u.Hostname())) {
		return client{}, malformed("an address is https, or http on loopback")
	}
	if !segment.MatchString(o.Mount) || o.Timeout < 0 || strings.ContainsFunc(o.Namespace, func(r rune) bool { return r < 0x21 || r > 0x7e }) {
		return client{}, malformed("options out of range")
	}
	err = token.Use(func(b []byte) error {
		if len(b) == 0 || bytes.ContainsFunc(b, func(r rune) bool { return r < 0x21 || r > 0x7e }) {
			return malformed("a token is printable text")
		}
		return nil
	})
	if err != nil {
		return client{}, err
	}
	return client{http: &http.Client{Transport: o.Transport, Timeout: o.Timeout, CheckRedirect: noRedirect},
		base: u.Scheme + "://" + u.Host + "/v1/" + o.Mount + "/", mount: o.Mount, namespace: o.Namespace, token: token}, nil
}

func noRedirect(*http.Request, []*http.Request) error { return errors.New("redirected") }

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// call posts one request. Its errors say what the server said, in one class.
func (c *client) call(ctx context.Context, op, path string, in request, out *answer) error {
	failed := func(kind, err error) error {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return &kmsctx.Error{Op: op, Kind: kind, Err: err}
	}
	body, err := json.Marshal(in)
	if err != nil {
		return failed(kmsctx.ErrMalformed, err)
	}
	defer clear(body)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.base+path, bytes.NewReader(body))
	if err != nil {
		return failed(kmsctx.ErrMalformed, err)
	}
	err = c.token.Use(func(b []byte) error { req.Header.Set("X-Vault-Token", string(b)); return nil })
	if err != nil {
		return err
	}
	req.Header.Set("X-Vault-Request", "true")
	if c.namespace != "" {
		req.Header.Set("X-Vault-Namespace", c.namespace)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return failed(kmsctx.ErrUnavailable, err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	defer clear(b)
	if err != nil || len(b) > maxAnswer {
		return failed(kmsctx.ErrUnavailable, errors.New("an answer that is cut off or too long"))
	}
	if resp.StatusCode != http.StatusOK {
		kind, err := refusal(resp.StatusCode, b)
		return failed(kind, err)
	}
	var got struct {
		Data answer `json:"data"`
	}
	if err := json.Unmarshal(b, &got); err != nil {
		clear(got.Data.Plaintext)
		return failed(kmsctx.ErrUnavailable, errors.New("an answer that is not JSON"))
	}
	*out = got.Data
	return nil
}

// refusal gives a status its class. The engine has one status for several
// reasons, and only its words tell a missing key from a wrong context.
func refusal(status int, body []byte) (error, error) {
	var said struct {
		Errors []string `json:"errors"`
	}
	_ = json.Unmarshal(body, &said)
	words := strings.Join(said.Errors, "; ")
	err := fmt.Errorf("status %d: %.200q", status, words)
	switch {
	case status == http.StatusForbidden:
		return kmsctx.ErrNotAuthorized, err
	case status == http.StatusTooManyRequests:
		return kmsctx.ErrThrottled, err
	case status == http.StatusNotFound, status == http.StatusBadRequest && strings.Contains(words, "key not found"):
		return kmsctx.ErrKeyNotFound, err
	case status == http.StatusBadRequest:
		return kmsctx.ErrInvalidCiphertext, err
	}
	return kmsctx.ErrUnavailable, err
}
