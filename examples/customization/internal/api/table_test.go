package api_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cloisterdev/cloister/audit"
	"github.com/cloisterdev/cloister/examples/customization/internal/api"
	"github.com/cloisterdev/cloister/fas"
	"github.com/cloisterdev/cloister/fas/firewalld"
	"github.com/cloisterdev/cloister/fas/sigv4"
	"github.com/cloisterdev/cloister/gpuinfer"
	"github.com/cloisterdev/cloister/tenant"
)

type recorder struct {
	mu     sync.Mutex
	events []audit.Event
}

func (r *recorder) Record(ctx context.Context, e audit.Event) error { return r.Append(ctx, e) }

func (r *recorder) Append(_ context.Context, e audit.Event) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = append(r.events, e)
	return nil
}

func (r *recorder) last() audit.Event {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.events[len(r.events)-1]
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

// secret is what the rooms below say and no caller may see.
const secret = "reason-that-stays-inside"

// world is a table behind a real listener, with a real firewall as its gate.
type world struct {
	t      *testing.T
	url    string
	rec    *recorder
	key    firewalld.AccessKey
	arn    string
	calls  atomic.Int32
	handle func(context.Context, *api.Call) error
	logged chan string
}

func (w *world) ops() []api.Operation {
	served := func(ctx context.Context, c *api.Call) (*api.Empty, error) {
		w.calls.Add(1)
		if w.handle != nil {
			return &api.Empty{}, w.handle(ctx, c)
		}
		return &api.Empty{}, nil
	}
	return []api.Operation{
		api.Define(api.Line{Name: "CreateCustomization", Plane: api.Control, Action: "CreateCustomization", Mutating: true, MaxBody: 4 << 10, Verbs: []fas.Verb{fas.VerbCatalogCreate}},
			func(ctx context.Context, c *api.Call, _ *api.CreateCustomizationRequest) (*api.Empty, error) {
				return served(ctx, c)
			}),
		api.Define(api.Line{Name: "GetCustomization", Plane: api.Control, Action: "GetCustomization", OnTarget: true, Verbs: []fas.Verb{fas.VerbCatalogGet}},
			func(ctx context.Context, c *api.Call, _ *api.GetCustomizationRequest) (*api.Empty, error) {
				return served(ctx, c)
			}),
		api.Define(api.Line{Name: "ListAvailableCustomizations", Plane: api.Runtime, Action: "ListAvailableCustomizations", Verbs: []fas.Verb{fas.VerbCatalogList}},
			func(ctx context.Context, c *api.Call, _ *api.ListRequest) (*api.Empty, error) { return served(ctx, c) }),
	}
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, rec: &recorder{}, logged: make(chan string, 1000)}
	dir, root := t.TempDir(), tenant.NewSecret(bytes.Repeat([]byte{5}, 32))
	srv := must[*firewalld.Server](t)(firewalld.Open(dir, root, w.rec, &firewalld.Options{Operations: api.Firewalled(w.ops())}))
	name := must[tenant.Text](t)(tenant.NewText("x", 10))
	who := must[tenant.ID](t)(firewalld.AddTenant(dir, root, name))
	w.key = must[firewalld.AccessKey](t)(firewalld.AddUser(dir, root, who, name, true))
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- srv.Serve(ctx, unixConn(t, fds[0])) }()
	wall := must[*fas.Client](t)(fas.Dial(unixConn(t, fds[1])))
	table := must[*api.Table](t)(api.NewTable(wall, wall, w.ops(), func(op string, req tenant.RequestID, status string, _ time.Duration) {
		w.logged <- fmt.Sprint(op, " ", req, " ", status)
	}))
	h := httptest.NewServer(table)
	w.url = h.URL
	t.Cleanup(func() {
		h.Close()
		_ = wall.Close()
		cancel()
		<-served
		if err := srv.Close(); err != nil {
			t.Error(err)
		}
	})
	w.handle = func(ctx context.Context, c *api.Call) error {
		row, _, err := wall.Catalog(c.Session).Create(ctx, fas.CreateInput{})
		w.arn = api.ARN(row.Customization)
		return err
	}
	if got := w.post("/CreateCustomization", `{"customizationName":"x"}`); got.status != 200 {
		t.Fatal(got)
	}
	w.handle = nil
	w.calls.Store(0)
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

type answer struct {
	status  int
	code    string
	request string
	header  http.Header
	body    string
}

func (w *world) signed(method, target, body string) *http.Request {
	w.t.Helper()
	r := must[*http.Request](w.t)(http.NewRequest(method, w.url+target, strings.NewReader(body)))
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("X-Amz-Nonce", tenant.NewRequestID().String())
	err := sigv4.SignRequest(r, []byte(body), sigv4.Credentials{AccessKeyID: w.key.AccessKeyID, Secret: tenant.NewSecret([]byte(w.key.SecretAccessKey)),
		Region: "us-east-1", Service: "codewhisperer"}, time.Now())
	if err != nil {
		// Paths that no client would sign.
		return r
	}
	return r
}

func (w *world) do(r *http.Request) answer {
	w.t.Helper()
	res := must[*http.Response](w.t)(http.DefaultTransport.RoundTrip(r))
	defer res.Body.Close()
	b := must[[]byte](w.t)(io.ReadAll(res.Body))
	return answer{res.StatusCode, res.Header.Get("X-Amzn-Errortype"), res.Header.Get("X-Amzn-Requestid"), res.Header, string(b)}
}

func (w *world) post(target, body string) answer {
	w.t.Helper()
	return w.do(w.signed(http.MethodPost, target, body))
}

// shape is what every refusal looks like: a code, a fixed message, a request
// ID that the log has too, and nothing else.
func (w *world) shape(name string, a answer, want *api.Error) {
	w.t.Helper()
	text := must[[]byte](w.t)(json.Marshal(map[string]string{"message": want.Message}))
	if a.status != want.Status || a.code != want.Code || a.body != string(text) {
		w.t.Errorf("%s: got %d %s %s, want %v", name, a.status, a.code, a.body, want)
	}
	if _, err := tenant.ParseRequestID(a.request); err != nil {
		w.t.Errorf("%s: no request ID: %q", name, a.request)
	}
	for k := range a.header {
		switch k {
		case "Content-Type", "Content-Length", "Date", "X-Amzn-Requestid", "X-Amzn-Errortype", "X-Content-Type-Options", "Connection":
		default:
			w.t.Errorf("%s: a refusal has the header %s", name, k)
		}
	}
	for {
		select {
		case line := <-w.logged:
			if strings.Contains(line, a.request) {
				return
			}
		case <-time.After(10 * time.Second):
			w.t.Errorf("%s: the log has no line with %s", name, a.request)
			return
		}
	}
}

// TestRouting: an operation is its name after a slash, by POST, and nothing
// that a router might take for it.
func TestRouting(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, c := range []struct{ name, method, target string }{
		{"unknown", "POST", "/NoSuchOperation"}, {"root", "POST", "/"}, {"in another case", "POST", "/listAvailableCustomizations"},
		{"GET", "GET", "/ListAvailableCustomizations"}, {"HEAD", "HEAD", "/ListAvailableCustomizations"}, {"PUT", "PUT", "/ListAvailableCustomizations"},
		{"DELETE", "DELETE", "/ListAvailableCustomizations"}, {"OPTIONS", "OPTIONS", "/ListAvailableCustomizations"}, {"a made-up method", "POSTS", "/ListAvailableCustomizations"},
		{"lower-case method", "post", "/ListAvailableCustomizations"},
		{"trailing slash", "POST", "/ListAvailableCustomizations/"}, {"leading slashes", "POST", "//ListAvailableCustomizations"},
		{"below another", "POST", "/x/ListAvailableCustomizations"}, {"something below", "POST", "/ListAvailableCustomizations/x"},
		{"encoded letter", "POST", "/List%41vailableCustomizations"}, {"encoded slash", "POST", "/%2FListAvailableCustomizations"},
		{"dots", "POST", "/x/../ListAvailableCustomizations"}, {"encoded dots", "POST", "/%2e/ListAvailableCustomizations"},
		{"a query", "POST", "/ListAvailableCustomizations?x=1"}, {"an empty query", "POST", "/ListAvailableCustomizations?"},
		{"another operation in the query", "POST", "/ListAvailableCustomizations?/CreateCustomization"},
		{"a parameter", "POST", "/ListAvailableCustomizations;x=1"}, {"NUL", "POST", "/ListAvailableCustomizations%00"},
		{"a space", "POST", "/ListAvailableCustomizations%20"}, {"a dot", "POST", "/ListAvailableCustomizations."},
	} {
		a := w.do(w.signed(c.method, c.target, "{}"))
		if c.method == "HEAD" {
			a.body = `{"message":"No such operation."}`
		}
		w.shape(c.name, a, api.ErrUnknownOperation)
		if e := w.rec.last(); e.Kind != "frontend.refused" || e.Reason != "unknown-operation" {
			t.Errorf("%s: recorded as %s %s", c.name, e.Kind, e.Reason)
		}
	}
	// A target in its absolute form, as for a proxy.
	r := w.signed("POST", "/ListAvailableCustomizations", "{}")
	c := must[net.Conn](t)(net.Dial("tcp", r.URL.Host))
	defer c.Close()
	var head bytes.Buffer
	if err := r.WriteProxy(&head); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Write(head.Bytes()); err != nil {
		t.Fatal(err)
	}
	res := must[*http.Response](t)(http.ReadResponse(bufio.NewReader(c), r))
	res.Body.Close()
	if res.StatusCode != 404 {
		t.Errorf("an absolute target: %d", res.StatusCode)
	}
	if n := w.calls.Load(); n != 0 {
		t.Errorf("%d handlers were called", n)
	}
	if a := w.post("/ListAvailableCustomizations", "{}"); a.status != 200 || w.calls.Load() != 1 {
		t.Errorf("control: %v", a)
	}
}

// TestSignatures: without what the caller signed there is no call. The details
// of a signature are sigv4's; these show that the table asks.
func TestSignatures(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const op = "/ListAvailableCustomizations"
	for name, change := range map[string]func(*http.Request){
		"unsigned":            func(r *http.Request) { r.Header.Del("Authorization") },
		"two signatures":      func(r *http.Request) { r.Header.Add("Authorization", r.Header.Get("Authorization")) },
		"another body":        func(r *http.Request) { r.Body = io.NopCloser(strings.NewReader(`{ }`)); r.ContentLength = 3 },
		"another operation":   func(r *http.Request) { r.URL.Path = "/CreateCustomization" },
		"a header put in":     func(r *http.Request) { r.Header.Set("X-Amz-Tenant", "somebody") },
		"an altered header":   func(r *http.Request) { r.Header.Set("X-Amz-Nonce", "other") },
		"unsigned payload":    func(r *http.Request) { r.Header.Set("X-Amz-Content-Sha256", "UNSIGNED-PAYLOAD") },
		"another key":         func(r *http.Request) { swap(r, w.key.AccessKeyID, "AKIAAAAAAAAAAAAAAAAA") },
		"another service":     func(r *http.Request) { swap(r, "codewhisperer", "s3") },
		"another region":      func(r *http.Request) { swap(r, "us-east-1", "eu-west-1") },
		"another host":        func(r *http.Request) { r.Host = "example.com" },
		"a bearer token":      func(r *http.Request) { r.Header.Set("Authorization", "Bearer x") },
		"an empty signature":  func(r *http.Request) { r.Header.Set("Authorization", "") },
		"an old signing date": func(r *http.Request) { r.Header.Set("X-Amz-Date", "20200101T000000Z") },
	} {
		r := w.signed(http.MethodPost, op, "{}")
		change(r)
		w.shape(name, w.do(r), api.ErrDenied)
	}
	if w.calls.Load() != 0 {
		t.Error("a handler was called")
	}
	if a := w.post(op, "{}"); a.status != 200 {
		t.Errorf("control: %v", a)
	}
}

func swap(r *http.Request, from, to string) {
	r.Header.Set("Authorization", strings.Replace(r.Header.Get("Authorization"), from, to, 1))
}

// TestBodies: the limit of the line, the required target, and the one reading
// of a body, through the whole table.
func TestBodies(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	fill := func(n int) string {
		return `{"clientToken":"` + strings.Repeat("x", n-len(`{"clientToken":""}`)) + `"}`
	}
	notOurs := api.Invalid("The customization identifier is not an ARN or ID of this service.")
	tooLarge := api.Invalid("The request body is too large.")
	for _, c := range []struct {
		name, target, body string
		want               *api.Error
	}{
		{"one byte too many", "/CreateCustomization", fill(4<<10 + 1), tooLarge},
		{"far too many", "/CreateCustomization", fill(1 << 20), tooLarge},
		{"the default limit", "/GetCustomization", `{"identifier":"` + strings.Repeat("x", 64<<10) + `"}`, tooLarge},
		{"no identifier", "/GetCustomization", `{}`, notOurs},
		{"no body", "/GetCustomization", ``, notOurs},
		{"an empty identifier", "/GetCustomization", `{"identifier":""}`, notOurs},
		{"null", "/GetCustomization", `{"identifier":null}`, notOurs},
		{"another service's ARN", "/GetCustomization", `{"identifier":"arn:aws:s3:::bucket"}`, notOurs},
		{"an ARN of an ARN", "/GetCustomization", `{"identifier":"` + api.ARNPrefix + w.arn + `"}`, notOurs},
		{"a path", "/GetCustomization", `{"identifier":"` + w.arn + `/../x"}`, notOurs},
		{"another kind of ID", "/GetCustomization", `{"identifier":"` + tenant.NewID().String() + `"}`, notOurs},
		{"a list", "/GetCustomization", `[]`, api.Invalid("The body is not a JSON object.")},
		{"two identifiers", "/GetCustomization", `{"identifier":"` + w.arn + `","identifier":"` + w.arn + `"}`, api.Invalid("The body has a duplicate key.")},
		{"a nested variant", "/CreateCustomization", `{"dataReference":{"S3Reference":{"uri":"s3://b/p/"}}}`, api.Invalid("A key of the body differs from the operation's only in case.")},
		{"an unpaired surrogate", "/CreateCustomization", `{"customizationName":"\ud800"}`, api.Invalid("The body has an escape of NUL or of half a character.")},
		{"one that never was", "/GetCustomization", `{"identifier":"` + tenant.NewCustomizationID().String() + `"}`, api.ErrDenied},
	} {
		w.shape(c.name, w.post(c.target, c.body), c.want)
		if e := w.rec.last(); e.Decision != audit.Deny || c.want == tooLarge && e.Reason != "body-too-large" || c.want.Status == 400 && c.want != tooLarge && e.Reason != "body-not-accepted" {
			t.Errorf("%s: recorded as %s %s", c.name, e.Kind, e.Reason)
		}
	}
	if w.calls.Load() != 0 {
		t.Error("a handler was called")
	}
	for _, c := range []struct{ target, body string }{
		{"/CreateCustomization", fill(4 << 10)}, {"/GetCustomization", `{"identifier":"` + w.arn + `"}`},
		{"/GetCustomization", `{"identifier":"` + strings.TrimPrefix(w.arn, api.ARNPrefix) + `","later":[]}`}, {"/ListAvailableCustomizations", ""},
	} {
		if a := w.post(c.target, c.body); a.status != 200 {
			t.Errorf("control: %s: %v", c.target, a)
		}
	}
}

// TestReplay: the table's lines decide what a signature is good for twice.
func TestReplay(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	twice := func(op, body string) (answer, answer) {
		r := w.signed(http.MethodPost, op, body)
		again := r.Clone(t.Context())
		again.Body = io.NopCloser(strings.NewReader(body))
		return w.do(r), w.do(again)
	}
	first, second := twice("/CreateCustomization", `{"clientToken":"a"}`)
	if first.status != 200 {
		t.Fatalf("control: %v", first)
	}
	w.shape("a change again", second, api.ErrDenied)
	if a, b := twice("/ListAvailableCustomizations", "{}"); a.status != 200 || b.status != 200 {
		t.Errorf("a read at once again: %v, %v", a, b)
	}
}

// TestErrors: whatever a handler fails with, the caller sees one of few
// answers, and the reason stays in the operator's log.
func TestErrors(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	inside := errors.New(secret)
	for _, c := range []struct {
		name string
		err  error
		want *api.Error
	}{
		{"unknown", inside, api.ErrInternal},
		{"denied", fmt.Errorf("%w: %w", fas.ErrDenied, inside), api.ErrDenied},
		{"another verb", fmt.Errorf("%w: %w", fas.ErrVerb, inside), api.ErrDenied},
		{"expired", fmt.Errorf("%w: %w", fas.ErrExpired, inside), api.ErrDenied},
		{"too many calls", fmt.Errorf("%w: %w", fas.ErrLimited, inside), api.ErrThrottled},
		{"revoked", fmt.Errorf("%w: %w", fas.ErrRevoked, inside), api.ErrDenied},
		{"another workload", fmt.Errorf("%w: %w", fas.ErrRole, inside), api.ErrDenied},
		{"too little said", fmt.Errorf("%w: %w", fas.ErrLevel, inside), api.ErrDenied},
		{"replayed", fmt.Errorf("%w: %w", fas.ErrReplayed, inside), api.ErrDenied},
		{"another operation", fmt.Errorf("%w: %w", fas.ErrOperation, inside), api.ErrDenied},
		{"a wide scope", fmt.Errorf("%w: %w", fas.ErrScope, inside), api.ErrDenied},
		{"the signature's region", fmt.Errorf("%w: %w", sigv4.ErrScope, inside), api.ErrDenied},
		{"the signature's time", fmt.Errorf("%w: %w", sigv4.ErrSkew, inside), api.ErrDenied},
		{"state", fmt.Errorf("%w: %w", fas.ErrConflict, inside), api.ErrConflict},
		{"busy", fmt.Errorf("%w: %w", gpuinfer.ErrBusy, inside), api.ErrThrottled},
		{"no record", fmt.Errorf("%w: %w", fas.ErrAudit, inside), api.ErrInternal},
		{"a deadline", fmt.Errorf("%w: %w", context.DeadlineExceeded, inside), api.ErrInternal},
		{"a file", &os.PathError{Op: "open", Path: "/" + secret, Err: os.ErrNotExist}, api.ErrInternal},
		{"an error that is wrapped", fmt.Errorf("%s: %w", secret, api.ErrConflict), api.ErrConflict},
	} {
		w.handle = func(context.Context, *api.Call) error { return c.err }
		a := w.post("/ListAvailableCustomizations", "{}")
		w.shape(c.name, a, c.want)
		if strings.Contains(fmt.Sprint(a), secret) {
			t.Errorf("%s: the caller sees the reason: %v", c.name, a)
		}
	}
	w.handle = nil
	a := w.post("/ListAvailableCustomizations", "{}")
	if a.status != 200 || a.body != "{}" || !strings.Contains(a.header.Get("Server-Timing"), "firewall") || a.header.Get("X-Amzn-Errortype") != "" {
		t.Errorf("control: %v", a)
	}
	if a := w.post("/GetCustomization", `{"identifier":"`+w.arn+`"}`); a.header.Get("Server-Timing") != "" {
		t.Errorf("an answer of the control plane is timed: %v", a.header)
	}
}

// TestSessionEnds: the session of a call is over when the answer is written.
func TestSessionEnds(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var kept *fas.Session
	w.handle = func(_ context.Context, c *api.Call) error { kept = c.Session; return c.Session.Err() }
	if a := w.post("/ListAvailableCustomizations", "{}"); a.status != 200 {
		t.Fatalf("control: %v", a)
	}
	if err := kept.Err(); !errors.Is(err, fas.ErrClosed) {
		t.Errorf("after the call: %v", err)
	}
}

// TestNewTableRefuses: a line that does not fit its operation is found before
// the service starts.
func TestNewTableRefuses(t *testing.T) {
	t.Parallel()
	line := api.Line{Name: "List", Plane: api.Control, Action: "List", Verbs: []fas.Verb{fas.VerbCatalogList}}
	list := func(change func(*api.Line)) []api.Operation {
		l := line
		if change != nil {
			change(&l)
		}
		return []api.Operation{api.Define(l, func(context.Context, *api.Call, *api.ListRequest) (*api.Empty, error) { return nil, nil })}
	}
	gate := &fas.Client{}
	if _, err := api.NewTable(gate, gate, list(nil), nil); err != nil {
		t.Fatalf("control: %v", err)
	}
	aimed := func(l api.Line) []api.Operation {
		return []api.Operation{api.Define(l, func(context.Context, *api.Call, *api.GetCustomizationRequest) (*api.Empty, error) { return nil, nil })}
	}
	onTarget := line
	onTarget.OnTarget = true
	if _, err := api.NewTable(gate, gate, aimed(onTarget), nil); err != nil {
		t.Fatalf("control: %v", err)
	}
	for name, c := range map[string]struct {
		gate fas.Gate
		rep  api.Reporter
		ops  []api.Operation
	}{
		"no gate":                               {nil, gate, list(nil)},
		"no reporter":                           {gate, nil, list(nil)},
		"no operations":                         {gate, gate, nil},
		"twice":                                 {gate, gate, append(list(nil), list(nil)...)},
		"made by hand":                          {gate, gate, []api.Operation{{Line: line}}},
		"no name":                               {gate, gate, list(func(l *api.Line) { l.Name = "" })},
		"a path as a name":                      {gate, gate, list(func(l *api.Line) { l.Name = "a/b" })},
		"no action":                             {gate, gate, list(func(l *api.Line) { l.Action = "" })},
		"no verb":                               {gate, gate, list(func(l *api.Line) { l.Verbs = nil })},
		"no plane":                              {gate, gate, list(func(l *api.Line) { l.Plane = "" })},
		"another plane":                         {gate, gate, list(func(l *api.Line) { l.Plane = "data" })},
		"a target that the input does not name": {gate, gate, list(func(l *api.Line) { l.OnTarget = true })},
		"an input with a target that is not asked": {gate, gate, aimed(line)},
		"a change with a body beyond evidence":     {gate, gate, list(func(l *api.Line) { l.Mutating, l.MaxBody = true, sigv4.MaxBody+1 })},
		"a limit below zero":                       {gate, gate, list(func(l *api.Line) { l.MaxBody = -1 })},
	} {
		if _, err := api.NewTable(c.gate, c.rep, c.ops, nil); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}
