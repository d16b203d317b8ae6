package client_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cloisterdev/cloister/examples/customization/internal/client"
	"github.com/cloisterdev/cloister/fas/sigv4"
	"github.com/cloisterdev/cloister/tenant"
)

var user = client.User{Bucket: "src-bucket", AccessKeyID: "AKIAAAAAAAAAAAAAAAAA", Secret: "the secret access key"}

// signedBy verifies a request as the service does.
func signedBy(r *http.Request, region, service string, s3 bool) ([]byte, error) {
	ev, body, err := sigv4.CaptureWith(r, 1<<20, sigv4.CaptureOptions{S3: s3})
	if err != nil {
		return nil, err
	}
	return body, sigv4.Verify(ev, func(id string) (tenant.Secret, bool) {
		return tenant.NewSecret([]byte(user.Secret)), id == user.AccessKeyID
	}, time.Now(), sigv4.Options{Region: region, Service: service})
}

func serve(t *testing.T, h http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return strings.TrimPrefix(s.URL, "http://")
}

// TestCallsAreSigned: every call is signed over its body for this one service,
// and the secret itself is nowhere in it.
func TestCallsAreSigned(t *testing.T) {
	t.Parallel()
	var calls atomic.Int32
	addr := serve(t, func(w http.ResponseWriter, r *http.Request) {
		calls.Add(1)
		if strings.Contains(fmt.Sprint(r.Header), user.Secret) {
			t.Error("the secret is in the headers")
		}
		body, err := signedBy(r, client.Region, client.Service, false)
		if err != nil || r.Method != http.MethodPost || r.RequestURI != "/Echo" || r.Header.Get("Content-Type") != "application/json" {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		_, _ = w.Write(body)
	})
	var out map[string]int
	if _, err := client.New(addr, user).Call(t.Context(), "Echo", map[string]int{"a": 1}, &out); err != nil || out["a"] != 1 {
		t.Errorf("control: %v, %v", out, err)
	}
	for name, change := range map[string]func(*client.User){
		"another secret": func(u *client.User) { u.Secret = "guess" }, "another key": func(u *client.User) { u.AccessKeyID = "AKIABBBBBBBBBBBBBBBB" },
	} {
		u := user
		change(&u)
		_, err := client.New(addr, u).Call(t.Context(), "Echo", nil, nil)
		var f *client.Failure
		if !errors.As(err, &f) || f.Status != http.StatusForbidden {
			t.Errorf("%s: %v", name, err)
		}
	}
	// The service would refuse it too, so that an error alone says nothing.
	before := calls.Load()
	if _, err := client.New(addr, client.User{}).Call(t.Context(), "Echo", nil, nil); err == nil || calls.Load() != before {
		t.Errorf("without a key: sent, %v", err)
	}
}

// TestFailures: what is not a success is a Failure with what the service said,
// and never a value.
func TestFailures(t *testing.T) {
	t.Parallel()
	var elsewhere atomic.Int32
	other := serve(t, func(http.ResponseWriter, *http.Request) { elsewhere.Add(1) })
	for _, c := range []struct {
		name   string
		answer http.HandlerFunc
		status int
		is     error
	}{
		{"refused", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X-Amzn-Errortype", "AccessDeniedException")
			w.WriteHeader(http.StatusForbidden)
			_, _ = io.WriteString(w, `{"message":"no"}`)
		}, 403, nil},
		{"a redirect", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://"+other+"/Op", http.StatusTemporaryRedirect)
		}, 307, nil},
		{"a redirect that changes the method", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://"+other+"/Op", http.StatusSeeOther)
		}, 303, nil},
		{"a redirect at home", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "/Other", http.StatusPermanentRedirect)
		}, 308, nil},
		{"accepted", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusAccepted) }, 202, nil},
		{"too long", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(make([]byte, 8<<20+1)) }, 0, client.ErrAnswer},
		{"cut short", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "10")
			_, _ = io.WriteString(w, "{")
		}, 0, io.ErrUnexpectedEOF},
		{"hang-up", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, 0, io.EOF},
		{"no JSON", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "<html>") }, 0, nil},
	} {
		var out map[string]any
		_, err := client.New(serve(t, c.answer), user).Call(t.Context(), "Op", map[string]string{}, &out)
		var f *client.Failure
		if err == nil || out != nil || errors.As(err, &f) != (c.status != 0) || f != nil && f.Status != c.status || c.is != nil && !errors.Is(err, c.is) {
			t.Errorf("%s: %v, %v", c.name, out, err)
		}
		if strings.Contains(fmt.Sprint(err), user.Secret) {
			t.Errorf("%s: the error holds the secret", c.name)
		}
	}
	if n := elsewhere.Load(); n != 0 {
		t.Errorf("%d calls went elsewhere", n)
	}
	c := client.New(other, user)
	if _, err := c.Call(t.Context(), "Op", make(chan int), nil); err == nil || elsewhere.Load() != 0 {
		t.Errorf("what is no JSON was sent: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.Call(ctx, "Op", nil, nil); !errors.Is(err, context.Canceled) || elsewhere.Load() != 0 {
		t.Errorf("after the context's end: %v", err)
	}
	if _, err := c.Call(t.Context(), "Op", nil, nil); err != nil || elsewhere.Load() != 1 {
		t.Errorf("control: %v", err)
	}
}
