package transit_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/cloisterdev/cloister/kmsctx"
	"github.com/cloisterdev/cloister/kmsctx/kmstest"
	"github.com/cloisterdev/cloister/kmsctx/transit"
	"github.com/cloisterdev/cloister/tenant"
)

func secret(s string) tenant.Secret { return tenant.NewSecret([]byte(s)) }

func ec(t testing.TB) kmsctx.Context {
	t.Helper()
	c, err := kmsctx.NewContext(map[string]string{"tenant": "a"})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// peer is a real server with a transit engine of this test's own.
func peer(t *testing.T) (post func(path string, body any), ring func(t *testing.T, key string) *transit.Keyring) {
	t.Helper()
	addr, token := os.Getenv("BAO_ADDR"), os.Getenv("BAO_TOKEN")
	if addr == "" || token == "" {
		t.Skip("BAO_ADDR and BAO_TOKEN name no OpenBao or Vault server")
	}
	send := func(path string, body any) {
		t.Helper()
		b, err := json.Marshal(body)
		if err != nil {
			t.Fatal(err)
		}
		req, err := http.NewRequest(http.MethodPost, addr+"/v1/"+path, bytes.NewReader(b))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("X-Vault-Token", token)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode/100 != 2 {
			t.Fatalf("%s: %s", path, resp.Status)
		}
	}
	mount := fmt.Sprintf("cloister-%d", time.Now().UnixNano())
	send("sys/mounts/"+mount, map[string]string{"type": "transit"})
	return func(path string, body any) { t.Helper(); send(mount+"/"+path, body) },
		func(t *testing.T, key string) *transit.Keyring {
			t.Helper()
			r, err := transit.New(addr, secret(token), key, &transit.Options{Mount: mount})
			if err != nil {
				t.Fatal(err)
			}
			return r
		}
}

func TestConformance(t *testing.T) {
	t.Parallel()
	post, ring := peer(t)
	post("keys/mine", map[string]string{})
	post("keys/theirs", map[string]string{"type": "chacha20-poly1305"})
	kmstest.Run(t, func(t *testing.T) kmstest.Rings {
		return kmstest.Rings{Ring: ring(t, "mine"), Other: ring(t, "theirs")}
	})
}

// What the server refuses with, in classes.
func TestServerRefuses(t *testing.T) {
	t.Parallel()
	post, ring := peer(t)
	post("keys/mine", map[string]string{})
	mine, c := ring(t, "mine"), ec(t)
	dk, err := mine.GenerateDataKey(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	other, _ := kmsctx.NewContext(map[string]string{"tenant": "b"})
	_, err = mine.DecryptDataKey(t.Context(), other, dk.Encrypted)
	if !errors.Is(err, kmsctx.ErrNoMatchingKey) || !errors.Is(err, kmsctx.ErrInvalidCiphertext) {
		t.Errorf("another context: %v", err)
	}
	if _, err := ring(t, "none").WrapDataKey(t.Context(), c, dk.Plaintext); err != nil {
		t.Logf("encrypt with a key that does not exist: %v", err)
	}
	forged := []kmsctx.EncryptedDataKey{{Provider: transit.Provider, Info: bytes.Replace(dk.Encrypted[0].Info, []byte("mine"), []byte("gone"), 1), Ciphertext: dk.Encrypted[0].Ciphertext}}
	if _, err := ring(t, "gone").DecryptDataKey(t.Context(), c, forged); !errors.Is(err, kmsctx.ErrKeyNotFound) {
		t.Errorf("a key that does not exist: %v", err)
	}
	// A version that may not be opened any more is refused, a newer one opens.
	post("keys/mine/rotate", map[string]string{})
	if got, err := mine.DecryptDataKey(t.Context(), c, dk.Encrypted); err != nil || !bytes.Equal(got.Plaintext, dk.Plaintext) {
		t.Errorf("after a rotation: %v", err)
	}
	post("keys/mine/config", map[string]int{"min_decryption_version": 2})
	if _, err := mine.DecryptDataKey(t.Context(), c, dk.Encrypted); !errors.Is(err, kmsctx.ErrInvalidCiphertext) {
		t.Errorf("a version that was given up: %v", err)
	}
	bad, err := transit.New(os.Getenv("BAO_ADDR"), secret("no-such-token"), "mine", nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := bad.GenerateDataKey(t.Context(), c); !errors.Is(err, kmsctx.ErrNotAuthorized) {
		t.Errorf("another token: %v", err)
	}
}

func TestNewRefuses(t *testing.T) {
	t.Parallel()
	good := "https://bao.example:8200"
	for name, c := range map[string]struct {
		addr, token, key string
		o                *transit.Options
	}{
		"http to another machine": {"http://bao.example:8200", "t", "k", nil},
		"loopback in a name":      {"http://localhost.example:8200", "t", "k", nil},
		"no scheme":               {"bao.example:8200", "t", "k", nil},
		"no host":                 {"https://", "t", "k", nil},
		"user":                    {"https://me@bao.example", "t", "k", nil},
		"path":                    {"https://bao.example/x", "t", "k", nil},
		"query":                   {"https://bao.example?x=y", "t", "k", nil},
		"no key":                  {good, "t", "", nil},
		"key with a slash":        {good, "t", "a/b", nil},
		"key that climbs":         {good, "t", "..", nil},
		"mount that climbs":       {good, "t", "k", &transit.Options{Mount: "../sys"}},
		"no token":                {good, "", "k", nil},
		"token with a line":       {good, "t\r\nX: y", "k", nil},
		"namespace with a line":   {good, "t", "k", &transit.Options{Namespace: "a\nb"}},
		"time":                    {good, "t", "k", &transit.Options{Timeout: -1}},
	} {
		if r, err := transit.New(c.addr, secret(c.token), c.key, c.o); !errors.Is(err, kmsctx.ErrMalformed) || r != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, addr := range []string{good, good + "/", "http://127.0.0.1:8200", "http://[::1]:8200", "http://localhost:8200"} {
		if _, err := transit.New(addr, secret("t"), "k-1", nil); err != nil {
			t.Errorf("%s: %v", addr, err)
		}
	}
}

// Faults that a real server does not produce on demand.
func TestFaultyServer(t *testing.T) {
	t.Parallel()
	elsewhere := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		t.Errorf("a redirect was followed, token %q", r.Header.Get("X-Vault-Token"))
	}))
	t.Cleanup(elsewhere.Close)
	answer := func(plain, sealed string) string {
		return fmt.Sprintf(`{"data":{"plaintext":%q,"ciphertext":%q}}`, plain, sealed)
	}
	key := "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
	for name, c := range map[string]struct {
		status int
		body   string
		want   error
	}{
		"sealed":              {503, `{"errors":["Vault is sealed"]}`, kmsctx.ErrUnavailable},
		"broken":              {500, `x`, kmsctx.ErrUnavailable},
		"throttled":           {429, `{}`, kmsctx.ErrThrottled},
		"forbidden":           {403, `{}`, kmsctx.ErrNotAuthorized},
		"no mount":            {404, `{}`, kmsctx.ErrKeyNotFound},
		"redirected":          {307, ``, kmsctx.ErrUnavailable},
		"not JSON":            {200, `<html>`, kmsctx.ErrUnavailable},
		"empty":               {200, `{}`, kmsctx.ErrUnavailable},
		"short key":           {200, answer("AAAA", "vault:v1:AAAA"), kmsctx.ErrUnavailable},
		"no ciphertext":       {200, answer(key, ""), kmsctx.ErrUnavailable},
		"unsealed ciphertext": {200, answer(key, "AAAA"), kmsctx.ErrUnavailable},
		"version 0":           {200, answer(key, "vault:v0:AAAA"), kmsctx.ErrUnavailable},
		"too long":            {200, blanks(64<<10+1, answer(key, "vault:v1:AAAA")), kmsctx.ErrUnavailable},
		"much too long":       {200, blanks(1<<20, answer(key, "vault:v1:AAAA")), kmsctx.ErrUnavailable},
		"as long as may be":   {200, blanks(64<<10, answer(key, "vault:v1:AAAA")), nil},
		"the control":         {200, answer(key, "vault:v1:AAAA"), nil},
	} {
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Location", elsewhere.URL)
			w.WriteHeader(c.status)
			fmt.Fprint(w, c.body)
		}))
		r, err := transit.New(srv.URL, secret("t"), "k", nil)
		if err != nil {
			t.Fatal(err)
		}
		dk, err := r.GenerateDataKey(t.Context(), ec(t))
		if !errors.Is(err, c.want) || (err == nil) != (c.want == nil) || (dk != nil) != (c.want == nil) {
			t.Errorf("%s: %v", name, err)
		}
		srv.Close()
	}
	hang := make(chan struct{})
	slow := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-hang }))
	t.Cleanup(slow.Close)
	t.Cleanup(func() { close(hang) })
	r, err := transit.New(slow.URL, secret("t"), "k", &transit.Options{Timeout: 20 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.GenerateDataKey(t.Context(), ec(t)); !errors.Is(err, kmsctx.ErrUnavailable) {
		t.Errorf("a server that does not answer: %v", err)
	}
	over, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if _, err := r.GenerateDataKey(over, ec(t)); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a caller that does not wait: %v", err)
	}
}

// blanks makes a text n bytes long and changes nothing of its JSON.
func blanks(n int, s string) string { return strings.Repeat(" ", n-len(s)) + s }

type endless struct{ read int }

func (e *endless) Read(b []byte) (int, error) {
	if e.read += len(b); e.read > 1<<20 {
		return 0, io.ErrUnexpectedEOF
	}
	return copy(b, strings.Repeat(" ", len(b))), nil
}
func (e *endless) Close() error { return nil }
func (e *endless) RoundTrip(*http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: http.StatusOK, Body: e}, nil
}

// An answer without an end is not read to it.
func TestEndlessAnswer(t *testing.T) {
	t.Parallel()
	e := &endless{}
	r, err := transit.New("https://bao.example:8200", secret("t"), "k", &transit.Options{Transport: e})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.GenerateDataKey(t.Context(), ec(t)); !errors.Is(err, kmsctx.ErrUnavailable) || e.read > 1<<20 {
		t.Errorf("%d bytes were read: %v", e.read, err)
	}
}

// Only one text of a ciphertext reaches the server.
func FuzzRecord(f *testing.F) {
	var asked []string
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var in struct{ Ciphertext string }
		_ = json.NewDecoder(r.Body).Decode(&in)
		asked = append(asked, in.Ciphertext)
		w.WriteHeader(400)
	}))
	f.Cleanup(srv.Close)
	r, err := transit.New(srv.URL, secret("t"), "k", nil)
	if err != nil {
		f.Fatal(err)
	}
	c := ec(f)
	f.Add(transit.Provider, "transit/k", "vault:v1:AAAA")
	f.Add(transit.Provider, "transit/k", "vault:v1:AAB=")
	f.Add(transit.Provider, "transit/k", "vault:v01:AAAA\n")
	f.Fuzz(func(t *testing.T, provider, info, text string) {
		asked = nil
		dk, err := r.DecryptDataKey(t.Context(), c, []kmsctx.EncryptedDataKey{{Provider: provider, Info: []byte(info), Ciphertext: []byte(text)}})
		if dk != nil || !errors.Is(err, kmsctx.ErrNoMatchingKey) {
			t.Fatalf("%v", err)
		}
		if len(asked) > 0 && (provider != transit.Provider || info != "transit/k" || asked[0] != text || strings.ContainsAny(text, " \r\n\"\\")) {
			t.Fatalf("%q asked for %q", text, asked)
		}
	})
}

func ExampleNew() {
	_, err := transit.New("http://bao.example:8200", tenant.NewSecret([]byte("token")), "tenant-1", nil)
	fmt.Println(errors.Is(err, kmsctx.ErrMalformed)) // the token would cross the network in the open

	_, err = transit.New("https://bao.example:8200", tenant.NewSecret([]byte("token")), "tenant-1", nil)
	fmt.Println(err)
	// Output:
	// true
	// <nil>
}
