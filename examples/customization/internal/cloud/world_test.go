package cloud_test

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/xml"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/cloisterdev/cloister/audit"
	"github.com/cloisterdev/cloister/examples/customization/internal/cloud"
	"github.com/cloisterdev/cloister/fas"
	"github.com/cloisterdev/cloister/fas/firewalld"
	"github.com/cloisterdev/cloister/fas/policy"
	"github.com/cloisterdev/cloister/fas/sigv4"
	"github.com/cloisterdev/cloister/tenant"
)

// recorder keeps events, or fails.
type recorder struct {
	mu     sync.Mutex
	fail   bool
	events []audit.Event
}

func (r *recorder) Record(ctx context.Context, e audit.Event) error { return r.Append(ctx, e) }

func (r *recorder) Append(_ context.Context, e audit.Event) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.fail {
		return audit.ErrUnavailable
	}
	r.events = append(r.events, e)
	return nil
}

func (r *recorder) last() audit.Event {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.events[len(r.events)-1]
}

// who signs: a user of a tenant, or a session.
type who struct {
	tenant     tenant.ID
	user       firewalld.AccessKey
	bucket     string
	id, secret string
	token      string
}

// world is a store behind a real listener, beside a real firewall that makes
// the sessions.
type world struct {
	t        *testing.T
	url      string
	rec      *recorder
	dir      string
	srv      *firewalld.Server
	wall     *fas.Client
	a, b     who
	row      fas.Row
	verifier cloud.SessionVerifier
}

func must[T any](t *testing.T) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, rec: &recorder{}, dir: t.TempDir()}
	wallDir, root := t.TempDir(), tenant.NewSecret(bytes.Repeat([]byte{7}, 32))
	srv := must[*firewalld.Server](t)(firewalld.Open(wallDir, root, &recorder{}, &firewalld.Options{Operations: []fas.Operation{
		{Path: "/CreateCustomization", Action: "CreateCustomization", Mutating: true, Verbs: []fas.Verb{fas.VerbCatalogCreate}}}}))
	keys := must[*cloud.Keys](t)(cloud.OpenKeys(w.dir))
	name := must[tenant.Text](t)(tenant.NewText("x", 10))
	for _, p := range []*who{&w.a, &w.b} {
		p.tenant = must[tenant.ID](t)(firewalld.AddTenant(wallDir, root, name))
		p.user = must[firewalld.AccessKey](t)(firewalld.AddUser(wallDir, root, p.tenant, name, true))
		p.bucket = "src-" + strings.TrimPrefix(p.tenant.String(), "tn-")
		p.id, p.secret = p.user.AccessKeyID, p.user.SecretAccessKey
		if err := keys.Add(p.id, p.tenant, p.bucket, p.secret); err != nil {
			t.Fatal(err)
		}
	}
	w.srv, w.verifier = srv, verifierOf(t, srv)
	store := must[*cloud.Server](t)(cloud.Open(w.dir, w.verifier, w.rec))
	h := httptest.NewServer(store)
	w.url = h.URL
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- srv.Serve(ctx, unixConn(t, fds[0])) }()
	w.wall = must[*fas.Client](t)(fas.Dial(unixConn(t, fds[1])))
	t.Cleanup(func() {
		_ = w.wall.Close()
		cancel()
		<-served
		h.Close()
		if err := store.Close(); err != nil {
			t.Error(err)
		}
		if err := srv.Close(); err != nil {
			t.Error(err)
		}
	})
	return w
}

func unixConn(t *testing.T, fd int) *net.UnixConn {
	f := os.NewFile(uintptr(fd), "pair")
	defer f.Close()
	c, err := net.FileConn(f)
	if err != nil {
		t.Fatal(err)
	}
	return c.(*net.UnixConn)
}

// session returns credentials that the firewall made for a prefix of A's
// bucket, and when they end.
func (w *world) session(prefix string, ttl time.Duration) (who, time.Time) {
	w.t.Helper()
	ctx := context.Background()
	if w.row.Customization.IsZero() {
		own := must[*fas.Session](w.t)(w.wall.AssumeOwn(ctx, w.evidence(prefix), fas.Request{RequestID: tenant.NewRequestID()}))
		var err error
		if w.row, _, err = w.wall.Catalog(own).Create(ctx, fas.CreateInput{}); err != nil {
			w.t.Fatal(err)
		}
	}
	scope := must[[]byte](w.t)(policy.Marshal(policy.Statement{Effect: "Allow", Actions: []string{"s3:GetObject", "s3:ListBucket"},
		Resources: []string{"arn:aws:s3:::" + policy.Literal(w.a.bucket+"/"+prefix) + "*"}}))
	s := must[*fas.Session](w.t)(w.wall.Exchange(ctx, w.evidence(prefix), fas.Request{RequestID: tenant.NewRequestID(),
		Customization: w.row.Customization, Profile: firewalld.SourceProfile, Scope: scope, TTL: ttl}))
	c := must[fas.Credentials](w.t)(s.Credentials())
	out := who{tenant: w.a.tenant, bucket: c.Bucket, id: c.AccessKeyID, token: c.Token}
	if err := c.Secret.Use(func(b []byte) error { out.secret = string(b); return nil }); err != nil {
		w.t.Fatal(err)
	}
	return out, s.Expires()
}

// evidence is A's signed call that names the prefix; each is new.
func (w *world) evidence(prefix string) fas.Evidence {
	w.t.Helper()
	body := must[[]byte](w.t)(json.Marshal(map[string]any{"nonce": tenant.NewRequestID(),
		"dataReference": map[string]any{"s3Reference": map[string]string{"uri": "s3://" + w.a.bucket + "/" + prefix}}}))
	r := must[*http.Request](w.t)(http.NewRequest(http.MethodPost, "http://service.local/CreateCustomization", bytes.NewReader(body)))
	err := sigv4.SignRequest(r, body, sigv4.Credentials{AccessKeyID: w.a.id, Secret: tenant.NewSecret([]byte(w.a.secret)), Region: "us-east-1", Service: "codewhisperer"}, time.Now())
	if err != nil {
		w.t.Fatal(err)
	}
	r.RequestURI, r.Host = "/CreateCustomization", "service.local"
	ev, b, err := sigv4.Capture(r, 1<<20)
	if err == nil {
		ev, err = ev.WithBody(b)
	}
	if err != nil {
		w.t.Fatal(err)
	}
	return must[fas.Evidence](w.t)(fas.SigV4Evidence(ev))
}

// s3 is the official client with its defaults.
func (w *world) s3(p who, opts ...func(*s3.Options)) *s3.Client {
	return s3.New(s3.Options{Region: "us-east-1", BaseEndpoint: aws.String(w.url), UsePathStyle: true, RetryMaxAttempts: 1,
		Credentials: credentials.NewStaticCredentialsProvider(p.id, p.secret, p.token)}, opts...)
}

// answer is what came back, with the code of an error.
type answer struct {
	status int
	code   string
	header http.Header
	body   []byte
}

// send signs a request and sends it as it stands: the target is not cleaned.
func (w *world) send(p who, method, target string, header map[string]string, body []byte) answer {
	w.t.Helper()
	r := must[*http.Request](w.t)(http.NewRequest(method, w.url+target, bytes.NewReader(body)))
	for k, v := range header {
		r.Header.Set(k, v)
	}
	h := &http.Client{Transport: &sigv4.Transport{AccessKeyID: p.id, Secret: tenant.NewSecret([]byte(p.secret)), SessionToken: p.token, Region: "us-east-1", Service: "s3"}}
	res := must[*http.Response](w.t)(h.Do(r))
	return read(w.t, res)
}

func read(t *testing.T, res *http.Response) answer {
	t.Helper()
	defer res.Body.Close()
	a := answer{status: res.StatusCode, header: res.Header, body: must[[]byte](t)(io.ReadAll(res.Body))}
	var e struct{ Code string }
	if a.status >= 400 && xml.Unmarshal(a.body, &e) == nil {
		a.code = e.Code
	}
	return a
}

// stored puts an object as its owner.
func (w *world) stored(key, text string) {
	w.t.Helper()
	_, err := w.s3(w.a).PutObject(w.t.Context(), &s3.PutObjectInput{Bucket: &w.a.bucket, Key: &key, Body: strings.NewReader(text)})
	if err != nil {
		w.t.Fatal(err)
	}
}

// has reads an object as its owner; "" is absent.
func (w *world) has(key string) string {
	w.t.Helper()
	res, err := w.s3(w.a).GetObject(w.t.Context(), &s3.GetObjectInput{Bucket: &w.a.bucket, Key: &key})
	if err != nil {
		if code(err) != "NoSuchKey" {
			w.t.Fatal(err)
		}
		return ""
	}
	defer res.Body.Close()
	return string(must[[]byte](w.t)(io.ReadAll(res.Body)))
}
