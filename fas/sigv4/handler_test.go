package sigv4_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cloisterdev/cloister/fas/sigv4"
)

// reached records what came through a handler.
type reached struct {
	mu      sync.Mutex
	calls   int
	headers http.Header
	body    string
	ev      sigv4.Evidence
	refused []error
}

func (r *reached) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	b, err := io.ReadAll(req.Body)
	ev, ok := sigv4.FromContext(req.Context())
	if err != nil || !ok {
		http.Error(w, "no evidence", http.StatusInternalServerError)
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.calls, r.headers, r.body, r.ev = r.calls+1, req.Header, string(b), ev
}

func (r *reached) last() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.refused) == 0 {
		return nil
	}
	return r.refused[len(r.refused)-1]
}

func serve(t *testing.T, o sigv4.HandlerOptions) (*reached, *httptest.Server) {
	t.Helper()
	to := &reached{}
	o.Refused = func(_ *http.Request, err error) {
		to.mu.Lock()
		defer to.mu.Unlock()
		to.refused = append(to.refused, err)
	}
	h := must[http.Handler](t)(sigv4.NewHandler(to, verifier(t, opts), o))
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	return to, srv
}

func TestHandler(t *testing.T) {
	t.Parallel()
	const limit = 64
	for _, c := range []struct {
		name   string
		body   string
		o      sigv4.HandlerOptions
		change func(*http.Request)
		code   int
		want   error
	}{
		{"unsigned", "{}", sigv4.HandlerOptions{}, func(r *http.Request) { r.Header.Del("Authorization") }, 403, sigv4.ErrNoSignature},
		{"forged", "{}", sigv4.HandlerOptions{}, func(r *http.Request) { r.Header.Set("Content-Type", "x/y") }, 403, sigv4.ErrSignature},
		{"another body", "{}", sigv4.HandlerOptions{}, func(r *http.Request) { r.Body = readCloser("[]") }, 403, sigv4.ErrPayload},
		{"too large", strings.Repeat("x", limit+1), sigv4.HandlerOptions{MaxBody: limit}, nil, 413, sigv4.ErrTooLarge},
		{"too large, of no length", strings.Repeat("x", limit+1), sigv4.HandlerOptions{MaxBody: limit}, func(r *http.Request) { r.ContentLength = -1 }, 413, sigv4.ErrTooLarge},
		{"too large for the default", strings.Repeat("x", 1<<20+1), sigv4.HandlerOptions{}, nil, 413, sigv4.ErrTooLarge},
		{"no body allowed", "{}", sigv4.HandlerOptions{MaxBody: -1}, nil, 413, sigv4.ErrTooLarge},
		{"too large for evidence", strings.Repeat("x", sigv4.MaxBody+1), sigv4.HandlerOptions{WithBody: true}, nil, 413, sigv4.ErrTooLarge},
		{"right", strings.Repeat("x", limit), sigv4.HandlerOptions{MaxBody: limit}, nil, 200, nil},
		{"right, of no length", "{}", sigv4.HandlerOptions{}, func(r *http.Request) { r.ContentLength = -1 }, 200, nil},
		{"right, empty", "", sigv4.HandlerOptions{MaxBody: -1}, nil, 200, nil},
		{"right, with its body", "{}", sigv4.HandlerOptions{WithBody: true}, nil, 200, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			to, srv := serve(t, c.o)
			r := must[*http.Request](t)(http.NewRequest("POST", srv.URL+"/op", strings.NewReader(c.body)))
			r.Header.Set("Content-Type", "application/json")
			r.Header.Set("X-Tenant", "other")
			r.Header.Set("Cookie", "a=b")
			if err := sigv4.SignRequest(r, []byte(c.body), creds, time.Now()); err != nil {
				t.Fatal(err)
			}
			if c.change != nil {
				c.change(r)
			}
			res := must[*http.Response](t)(http.DefaultClient.Do(r))
			text := must[[]byte](t)(io.ReadAll(res.Body))
			_ = res.Body.Close()
			if res.StatusCode != c.code {
				t.Errorf("%d %s", res.StatusCode, text)
			}
			if err := to.last(); !errors.Is(err, c.want) || (err == nil) != (c.want == nil) {
				t.Errorf("got %v, want %v", err, c.want)
			}
			if c.want != nil {
				if to.calls != 0 || strings.Contains(string(text), "sigv4") {
					t.Errorf("it came through, or says why: %s", text)
				}
				return
			}
			if to.calls != 1 || to.body != c.body || to.ev.Path() != "/op" || (to.ev.Level() == sigv4.LevelBody) != c.o.WithBody {
				t.Errorf("%d calls, %q, %s", to.calls, to.body, to.ev.Level())
			}
			for k := range to.headers {
				if _, ok := to.ev.Header(k); !ok {
					t.Errorf("%s came through unsigned", k)
				}
			}
			if to.headers.Get("Content-Type") != "application/json" {
				t.Error("a signed header did not come through")
			}
		})
	}
}

// refuser never says yes, and counts.
type refuser struct{ calls int }

func (r *refuser) Check(context.Context, sigv4.Evidence) error {
	r.calls++
	return errors.New("the keys are elsewhere, and that is down")
}

func TestHandlerFailsClosed(t *testing.T) {
	t.Parallel()
	to := &reached{}
	for name, f := range map[string]func() (http.Handler, error){
		"no handler": func() (http.Handler, error) {
			return sigv4.NewHandler(nil, verifier(t, opts), sigv4.HandlerOptions{})
		},
		"no checker": func() (http.Handler, error) { return sigv4.NewHandler(to, nil, sigv4.HandlerOptions{}) },
	} {
		if h, err := f(); !errors.Is(err, sigv4.ErrConfig) || h != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	no := &refuser{}
	h := must[http.Handler](t)(sigv4.NewHandler(to, no, sigv4.HandlerOptions{}))
	r := httptest.NewRequest("POST", "/op", strings.NewReader("{}"))
	if err := sigv4.SignRequest(r, []byte("{}"), creds, time.Now()); err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	if w.Code != 403 || to.calls != 0 || no.calls != 1 || strings.Contains(w.Body.String(), "elsewhere") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if ev, ok := sigv4.FromContext(t.Context()); ok || !ev.IsZero() {
		t.Error("evidence out of nothing")
	}
}

// yes takes everything.
type yes struct{}

func (yes) Check(context.Context, sigv4.Evidence) error { return nil }

// A body that nobody signed does not come through, whatever the checker says.
func TestHandlerKeepsUnsignedBodies(t *testing.T) {
	t.Parallel()
	for body, code := range map[string]int{"{}": 403, "": 200} {
		to := &reached{}
		var why error
		h := must[http.Handler](t)(sigv4.NewHandler(to, yes{}, sigv4.HandlerOptions{
			Capture: sigv4.CaptureOptions{UnsignedPayload: true}, Refused: func(_ *http.Request, err error) { why = err }}))
		r := httptest.NewRequest("POST", "/op", strings.NewReader(body))
		if err := unsignedPayload(r, nil); err != nil {
			t.Fatal(err)
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != code || to.body != "" || (code == 403) != errors.Is(why, sigv4.ErrUnsignedPayload) {
			t.Errorf("%q: %d, %q, %v", body, w.Code, to.body, why)
		}
	}
}

// A body that ends early is not one that is too large.
func TestBodyCutShort(t *testing.T) {
	t.Parallel()
	to, srv := serve(t, sigv4.HandlerOptions{})
	r := must[*http.Request](t)(http.NewRequest("POST", srv.URL+"/op", strings.NewReader("{ }")))
	if err := sigv4.SignRequest(r, []byte("{ }"), creds, time.Now()); err != nil {
		t.Fatal(err)
	}
	head := fmt.Sprintf("POST /op HTTP/1.1\r\nHost: %s\r\n", r.URL.Host)
	for k, v := range r.Header {
		head += k + ": " + v[0] + "\r\n"
	}
	for body, want := range map[string]error{"": sigv4.ErrCutShort, "{": sigv4.ErrCutShort, "{ }": nil} {
		c := must[net.Conn](t)(net.Dial("tcp", srv.Listener.Addr().String()))
		_ = c.SetDeadline(time.Now().Add(20 * time.Second))
		_, _ = io.WriteString(c, head+"Content-Length: 3\r\n\r\n"+body)
		_ = c.(*net.TCPConn).CloseWrite()
		res, err := http.ReadResponse(bufio.NewReader(c), nil)
		_ = c.Close()
		if want == nil && (err != nil || res.StatusCode != 200) {
			t.Errorf("the control: %v %v", res, err)
		}
		if want != nil && (!errors.Is(to.last(), want) || errors.Is(to.last(), sigv4.ErrTooLarge) || !errors.Is(to.last(), sigv4.ErrPayload)) {
			t.Errorf("after %q: %v", body, to.last())
		}
	}
}

// A limit that somebody set before counts as a limit.
func TestBodyLimits(t *testing.T) {
	t.Parallel()
	capture := func(limit int64, change func(*http.Request)) error {
		r := httptest.NewRequest("POST", "/op", strings.NewReader("0123456789"))
		if err := sigv4.SignRequest(r, []byte("0123456789"), creds, time.Now()); err != nil {
			t.Fatal(err)
		}
		if change != nil {
			change(r)
		}
		_, body, err := sigv4.Capture(r, limit)
		if err == nil && string(body) != "0123456789" {
			t.Errorf("%q", body)
		}
		return err
	}
	unread := func(r *http.Request) { r.Body = io.NopCloser(failing{}) }
	for _, c := range []struct {
		name   string
		limit  int64
		change func(*http.Request)
		want   error
	}{
		{"at the limit", 10, nil, nil},
		{"no limit to speak of", 1<<63 - 1, nil, nil},
		{"of no known length", 10, func(r *http.Request) { r.ContentLength = -1 }, nil},
		{"above", 9, nil, sigv4.ErrTooLarge},
		{"above, not read", 9, unread, sigv4.ErrTooLarge},
		{"above, of no known length", 9, func(r *http.Request) { r.ContentLength = -1 }, sigv4.ErrTooLarge},
		{"above what it says", 9, func(r *http.Request) { r.ContentLength = 3 }, sigv4.ErrTooLarge},
		{"no limit given", 0, nil, sigv4.ErrTooLarge},
		{"a limit below nothing", -5, nil, sigv4.ErrTooLarge},
		{"another's limit", 10, func(r *http.Request) { r.Body = http.MaxBytesReader(nil, r.Body, 5) }, sigv4.ErrTooLarge},
		{"a body that fails", 10, unread, sigv4.ErrCutShort},
		{"a target that is too long, not read", 10, func(r *http.Request) {
			unread(r)
			r.RequestURI += "?" + strings.Repeat("a", sigv4.MaxEvidence)
		}, sigv4.ErrMalformed},
		{"headers that are too long, not read", 10, func(r *http.Request) {
			unread(r)
			r.Header.Set("X-Amz-Content-Sha256", strings.Repeat("0", sigv4.MaxEvidence))
		}, sigv4.ErrMalformed},
		{"no body", 10, func(r *http.Request) { r.Body, r.ContentLength = nil, 0 }, sigv4.ErrPayload},
	} {
		if err := capture(c.limit, c.change); !errors.Is(err, c.want) || (err == nil) != (c.want == nil) {
			t.Errorf("%s: got %v, want %v", c.name, err, c.want)
		}
	}
}

// failing is a body whose sender went away.
type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }
