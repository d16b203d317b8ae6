package kmsserver_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"github.com/cloisterdev/cloister/fas"
	"github.com/cloisterdev/cloister/kmsctx/kmsserver"
)

// tap sends requests on, and keeps the last of them.
type tap struct {
	header http.Header
	body   string
}

func (p *tap) Do(r *http.Request) (*http.Response, error) {
	b, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	p.header, p.body = r.Header.Clone(), string(b)
	r.Body = io.NopCloser(strings.NewReader(p.body))
	return http.DefaultClient.Do(r)
}

// again repeats the request that was kept, to the byte.
func (p *tap) again(t testing.TB, url string, change func(http.Header)) (int, string) {
	t.Helper()
	r, err := http.NewRequest(http.MethodPost, url+"/", strings.NewReader(p.body))
	must(t, err)
	r.Header = p.header.Clone()
	if change != nil {
		change(r.Header)
	}
	resp, err := http.DefaultClient.Do(r)
	must(t, err)
	must(t, resp.Body.Close())
	return resp.StatusCode, resp.Header.Get("X-Amzn-Errortype")
}

// What was revoked, disabled or refused once stays so, whoever repeats what
// brought it about.
func TestReplay(t *testing.T) {
	t.Parallel()
	url, rec := serve(t, nil)
	line := &tap{}
	root := client(url, "root")
	tapped := func(o *kms.Options) { o.HTTPClient = line }
	made, err := root.CreateKey(t.Context(), &kms.CreateKeyInput{})
	must(t, err)
	key := made.KeyMetadata.KeyId
	create := &kms.CreateGrantInput{KeyId: key, GranteePrincipal: aws.String(account + "user/user"), Operations: []types.GrantOperation{types.GrantOperationEncrypt}}
	g, err := root.CreateGrant(t.Context(), create, tapped)
	must(t, err)
	user := client(url, "user")
	encrypt := func() error {
		_, err := user.Encrypt(t.Context(), &kms.EncryptInput{KeyId: key, Plaintext: []byte("x")})
		return err
	}
	must(t, encrypt())
	_, err = root.RevokeGrant(t.Context(), &kms.RevokeGrantInput{KeyId: key, GrantId: g.GrantId})
	must(t, err)
	before := len(rec.all)
	for name, change := range map[string]func(http.Header){
		"to the byte":          nil,
		"another agent":        func(h http.Header) { h.Set("User-Agent", "x") },
		"signature in capital": func(h http.Header) { h.Set("Authorization", upper(h.Get("Authorization"))) },
		"another spelling":     func(h http.Header) { h.Set("Authorization", strings.ReplaceAll(h.Get("Authorization"), ", ", ",")) },
	} {
		if status, code := line.again(t, url, change); status != 400 || code != "ThrottlingException" && code != "IncompleteSignatureException" {
			t.Errorf("%s: %d %s", name, status, code)
		}
	}
	if c := code(encrypt()); c != "AccessDeniedException" {
		t.Errorf("a grant that was revoked came back: %q", c)
	}
	if n := len(rec.all) - before; n != 1 {
		t.Errorf("%d calls were recorded, not the one that was made", n)
	}
	// The control: the same call, made again, is another.
	_, err = root.CreateGrant(t.Context(), create)
	must(t, err)
	must(t, encrypt())
}

// Every operation that changes a key is once, and none that only reads.
func TestOnce(t *testing.T) {
	t.Parallel()
	url, _ := serve(t, nil)
	var wg sync.WaitGroup
	for op, once := range map[string]bool{"CreateGrant": true, "EnableKey": true, "DisableKey": true, "PutKeyPolicy": true, "CancelKeyDeletion": true, "ScheduleKeyDeletion": true,
		"CreateAlias": true, "UpdateAlias": true, "DeleteAlias": true, "TagResource": true, "UntagResource": true, "RetireGrant": true, "RevokeGrant": true,
		"EnableKeyRotation": true, "DisableKeyRotation": true, "RotateKeyOnDemand": true,
		"CreateKey": false, "DescribeKey": false, "Encrypt": false, "Decrypt": false, "ReEncrypt": false, "GenerateDataKey": false, "GenerateDataKeyWithoutPlaintext": false,
		"GenerateRandom": false, "GetKeyPolicy": false, "GetKeyRotationStatus": false, "ListAliases": false, "ListGrants": false, "ListKeyRotations": false, "ListKeys": false,
		"ListResourceTags": false, "ListRetirableGrants": false} {
		wg.Go(func() {
			line := &tap{}
			r, err := http.NewRequest(http.MethodPost, url+"/", nil)
			must(t, err)
			r.Header.Set("Content-Type", "application/x-amz-json-1.1")
			r.Header.Set("X-Amz-Target", "TrentService."+op)
			must(t, sign(r, "{}", "us-east-1", "kms", time.Now()))
			line.header, line.body = r.Header, "{}"
			_, first := line.again(t, url, nil)
			if _, second := line.again(t, url, nil); (second == "ThrottlingException") != once || !once && first != second {
				t.Errorf("%s: %q, then %q", op, first, second)
			}
		})
	}
	wg.Wait()
}

// What reads is not served again for as long as its signature would be good.
func TestReplayOfReads(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var last error
		h, rec := handle(t, nil, &kmsserver.Options{Refused: func(r kmsserver.Refusal) { last = r.Err }})
		r := httptest.NewRequest(http.MethodPost, "/", nil)
		r.Header.Set("Content-Type", "application/x-amz-json-1.1")
		r.Header.Set("X-Amz-Target", "TrentService.ListKeys")
		must(t, sign(r, "{}", "us-east-1", "kms", time.Now()))
		for i, c := range []struct {
			wait time.Duration
			code string
		}{{0, ""}, {time.Second, ""}, {10 * time.Second, "InvalidSignatureException"}, {4 * time.Minute, "InvalidSignatureException"}, {10 * time.Minute, "InvalidSignatureException"}} {
			time.Sleep(c.wait)
			last = nil
			r.Body = io.NopCloser(strings.NewReader("{}"))
			r.ContentLength = 2
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			if code := w.Header().Get("X-Amzn-Errortype"); code != c.code || errors.Is(last, kmsserver.ErrReplayed) != (i == 2 || i == 3) {
				t.Errorf("%d: %q, %v", i, code, last)
			}
		}
		if len(rec.all) != 2 {
			t.Errorf("%d calls, not 2", len(rec.all))
		}
	})
}

func upper(authorization string) string {
	head, sig, _ := strings.Cut(authorization, "Signature=")
	return head + "Signature=" + strings.ToUpper(sig)
}

// Of many at once, one is served.
func TestReplayAtOnce(t *testing.T) {
	t.Parallel()
	url, rec := serve(t, nil)
	line := &tap{}
	root := client(url, "root")
	made, err := root.CreateKey(t.Context(), &kms.CreateKeyInput{})
	must(t, err)
	_, err = root.DisableKey(t.Context(), &kms.DisableKeyInput{KeyId: made.KeyMetadata.KeyId}, func(o *kms.Options) { o.HTTPClient = line })
	must(t, err)
	line.header.Del("Authorization") // sign another one, which nobody served
	line.header.Set("X-Amz-Test", "1")
	r, err := http.NewRequest(http.MethodPost, url+"/", strings.NewReader(line.body))
	must(t, err)
	r.Header = line.header
	must(t, sign(r, line.body, "us-east-1", "kms", time.Now()))
	var wg sync.WaitGroup
	served := make(chan int, 16)
	for range 16 {
		wg.Go(func() {
			status, _ := line.again(t, url, nil)
			served <- status
		})
	}
	wg.Wait()
	close(served)
	n := 0
	for status := range served {
		if status == 200 {
			n++
		}
	}
	if n != 1 || len(rec.all) != 3 {
		t.Errorf("%d of 16 were served; %d calls were recorded, not 3", n, len(rec.all))
	}
}

// failing is a store that cannot remember.
type failing struct{}

func (failing) Durable() bool { return true }
func (failing) Claim(context.Context, [32]byte, time.Time, time.Time) (time.Time, bool, error) {
	return time.Time{}, false, errors.New("disk full")
}

// durable is a store that remembers what was before the server.
type durable struct{ fas.ReplayStore }

func (durable) Durable() bool { return true }

// A server that may have forgotten refuses what is older than it; one that
// cannot remember refuses all.
func TestReplayStore(t *testing.T) {
	t.Parallel()
	memory, err := fas.MemoryReplay(100)
	must(t, err)
	one, err := fas.MemoryReplay(1)
	must(t, err)
	for name, c := range map[string]struct {
		store fas.ReplayStore
		age   time.Duration
		code  string
	}{
		"signed before the server began":  {nil, time.Minute, "InvalidSignatureException"},
		"the same, a store of its own":    {memory, time.Minute, "InvalidSignatureException"},
		"signed now":                      {nil, 0, ""},
		"before, and it would be known":   {durable{memory}, time.Minute, ""},
		"a store that cannot remember":    {failing{}, 0, "KMSInternalException"},
		"a store with room, until it has": {one, 0, ""},
	} {
		var seen []kmsserver.Refusal
		h, _ := handle(t, nil, &kmsserver.Options{Replay: c.store, Refused: func(r kmsserver.Refusal) { seen = append(seen, r) }})
		srv := httptest.NewServer(h)
		again := func(r *http.Request) {
			r.Header.Del("Authorization")
			must(t, sign(r, "{}", "us-east-1", "kms", time.Now().Add(-c.age)))
		}
		if _, code := raw(t, srv.URL, again, "TrentService.ListKeys", "{}"); code != c.code {
			t.Errorf("%s: %q, not %q", name, code, c.code)
		}
		if c.store == one {
			if _, code := raw(t, srv.URL, again, "TrentService.ListKeys", "{}"); code != "KMSInternalException" {
				t.Errorf("a full store: %q", code)
			}
		}
		srv.Close()
		replayed := len(seen) == 1 && errors.Is(seen[0].Err, kmsserver.ErrReplayed)
		if replayed != (c.code == "InvalidSignatureException") {
			t.Errorf("%s: %+v", name, seen)
		}
		for _, r := range seen {
			if r.Principal != "" || r.AccessKeyID != "AKIDROOT" || r.RequestID == "" || r.Request.RemoteAddr == "" {
				t.Errorf("%s: %+v", name, r)
			}
		}
	}
}
