package kmsserver_test

import (
	"bytes"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cloisterdev/cloister/fas/sigv4"
	"github.com/cloisterdev/cloister/kmsctx/kmsserver"
	"github.com/cloisterdev/cloister/kmsctx/localkms"
	"github.com/cloisterdev/cloister/tenant"
)

// Each principal has its own rate, that replays do not use up.
func TestRate(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var throttled int
		h, _ := handle(t, nil, &kmsserver.Options{Rate: 3, Refused: func(r kmsserver.Refusal) {
			if errors.Is(r.Err, kmsserver.ErrThrottled) {
				throttled++
				if r.Principal != "" {
					t.Errorf("one too many is told of as the caller's: %+v", r)
				}
			}
		}})
		n := 0
		request := func(who, target string) *http.Request {
			n++
			r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader("{}"))
			r.Header.Set("Content-Type", "application/x-amz-json-1.1")
			r.Header.Set("X-Amz-Target", "TrentService."+target)
			r.Header.Set("X-Amz-Test", strings.Repeat("x", n))
			must(t, sigv4.SignRequest(r, []byte("{}"), sigv4.Credentials{AccessKeyID: "AKID" + strings.ToUpper(who), Secret: tenant.NewSecret([]byte("secret-0123456789-" + who)), Region: "us-east-1", Service: "kms"}, time.Now()))
			return r
		}
		send := func(r *http.Request) string {
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			if code := w.Header().Get("X-Amzn-Errortype"); code != "ThrottlingException" || w.Code == 400 {
				return code
			}
			return "a status that clients do not know"
		}
		ask := func(who string) string { return send(request(who, "ListKeys")) }
		for i, want := range []string{"", "", "", "ThrottlingException", "ThrottlingException"} {
			if got := ask("root"); got != want {
				t.Errorf("request %d: %q, not %q", i+1, got, want)
			}
		}
		if got := ask("other"); got != "" {
			t.Errorf("another principal: %q", got)
		}
		time.Sleep(time.Second/3 + time.Millisecond)
		if first, second := ask("root"), ask("root"); first != "" || second != "ThrottlingException" {
			t.Errorf("a third of a second later: %q, %q", first, second)
		}
		time.Sleep(time.Hour)
		for i, want := range []string{"", "", "", "ThrottlingException"} {
			if got := ask("root"); got != want {
				t.Errorf("an hour later, request %d: %q, not %q", i+1, got, want)
			}
		}
		if throttled != 4 {
			t.Errorf("%d were told of, not 4", throttled)
		}
		// Somebody repeats a request of root's, again and again.
		time.Sleep(time.Hour)
		r := request("root", "CreateAlias")
		send(r)
		for range 10 {
			again := r.Clone(t.Context())
			again.Body = httptest.NewRequest(http.MethodPost, "/", strings.NewReader("{}")).Body
			go send(again)
		}
		synctest.Wait()
		if got := ask("root"); got != "" {
			t.Errorf("after ten replays: %q", got)
		}
		time.Sleep(time.Minute)
	})
	store, err := localkms.Open(t.TempDir(), tenant.NewSecret(bytes.Repeat([]byte{1}, 32)))
	must(t, err)
	s, err := localkms.NewService(store, &events{}, nil)
	must(t, err)
	who, err := kmsserver.ParsePrincipals([]byte(principals))
	must(t, err)
	if h, err := kmsserver.New(s, who, &kmsserver.Options{Rate: -1}); !errors.Is(err, kmsserver.ErrConfig) || h != nil {
		t.Errorf("a negative rate: %v", err)
	}
}

func TestAccounts(t *testing.T) {
	t.Parallel()
	p, err := kmsserver.ParsePrincipals([]byte(strings.Replace(principals, account+"user", "arn:aws:iam::111111111111:user", 1)))
	must(t, err)
	if got := strings.Join(p.Accounts(), " "); got != "000000000000 111111111111" {
		t.Errorf("accounts %s", got)
	}
}
