package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/cloisterdev/cloister/fas/sigv4"
	"github.com/cloisterdev/cloister/tenant"
)

// Region and Service are what the API's callers sign for.
const (
	Region  = "us-east-1"
	Service = "codewhisperer"
)

// maxAnswer is the longest answer that is read, in bytes.
const maxAnswer = 8 << 20

// ErrAnswer is returned for an answer that is too long.
var ErrAnswer = errors.New("client: the answer is too long")

var errNoKey = errors.New("client: the user has no access key")

// User is a tenant's user with the access key.
type User struct {
	Tenant      tenant.ID     `json:"tenant"`
	User        tenant.UserID `json:"user"`
	Bucket      string        `json:"bucket"`
	AccessKeyID string        `json:"access_key_id"`
	Secret      string        `json:"secret_access_key"`
}

// Client calls the API for one user. It is safe for concurrent use.
type Client struct {
	base string
	http *http.Client
	User User
}

// New makes a client of the API at addr.
func New(addr string, u User) *Client {
	tr := http.DefaultTransport.(*http.Transport).Clone()
	tr.MaxIdleConnsPerHost = 64
	// A redirect would be signed again, and the body sent, wherever it points.
	stay := func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &Client{"http://" + addr, &http.Client{Timeout: 2 * time.Minute, CheckRedirect: stay, Transport: &sigv4.Transport{
		AccessKeyID: u.AccessKeyID, Secret: tenant.NewSecret([]byte(u.Secret)), Region: Region, Service: Service, Base: tr}}, u}
}

// Failure is a refusal as the caller saw it.
type Failure struct {
	Status int
	Code   string
	Body   string
}

// Error returns status, code and body.
func (f *Failure) Error() string { return fmt.Sprintf("%d %s %s", f.Status, f.Code, f.Body) }

// Answer is a raw answer.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte
}

// Raw sends bytes to an operation, and nothing for a user without a key.
func (c *Client) Raw(ctx context.Context, op string, body []byte) (Answer, error) {
	if c.User.AccessKeyID == "" || c.User.Secret == "" {
		return Answer{}, errNoKey
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, c.base+"/"+op, bytes.NewReader(body))
	if err != nil {
		return Answer{}, err
	}
	r.Header.Set("Content-Type", "application/json")
	return Send(c.http, r)
}

// Send sends a request and reads the answer, at most 8 MiB of it; a longer one
// is [ErrAnswer].
func Send(h *http.Client, r *http.Request) (Answer, error) {
	res, err := h.Do(r)
	if err != nil {
		return Answer{}, err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer+1))
	if err == nil && len(b) > maxAnswer {
		return Answer{}, ErrAnswer
	}
	return Answer{res.StatusCode, res.Header, b}, err
}

// Call sends in as JSON and decodes the answer into out. A refusal is a
// [*Failure].
func (c *Client) Call(ctx context.Context, op string, in, out any) (http.Header, error) {
	body, err := json.Marshal(in)
	if err != nil {
		return nil, err
	}
	a, err := c.Raw(ctx, op, body)
	if err != nil {
		return nil, err
	}
	if a.Status != http.StatusOK {
		return a.Header, &Failure{a.Status, a.Header.Get("X-Amzn-Errortype"), string(a.Body)}
	}
	if out == nil {
		return a.Header, nil
	}
	return a.Header, json.Unmarshal(a.Body, out)
}
