package kmsserver_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/smithy-go"

	"github.com/cloisterdev/cloister/fas/sigv4"
	"github.com/cloisterdev/cloister/kmsctx/kmsserver"
	"github.com/cloisterdev/cloister/kmsctx/localkms"
	"github.com/cloisterdev/cloister/tenant"
)

const (
	account    = "arn:aws:iam::000000000000:"
	principals = `{"principals": [
	{"accessKeyId": "AKIDROOT", "secretAccessKey": "secret-0123456789-root", "arn": "` + account + `root"},
	{"accessKeyId": "AKIDUSER", "secretAccessKey": "secret-0123456789-user", "arn": "` + account + `user/user"},
	{"accessKeyId": "AKIDOTHER", "secretAccessKey": "secret-0123456789-other", "arn": "` + account + `role/other",
	 "policy": {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "kms:ListKeys", "Resource": "*"}]}}]}`
)

// events keeps what was recorded.
type events struct {
	sync.Mutex
	all  []localkms.Event
	fail error
}

func (e *events) Record(_ context.Context, ev localkms.Event) error {
	e.Lock()
	defer e.Unlock()
	e.all = append(e.all, ev)
	return e.fail
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// handle makes the handler of a new store.
func handle(t testing.TB, o *localkms.Options, so *kmsserver.Options) (http.Handler, *events) {
	t.Helper()
	store, err := localkms.Open(t.TempDir(), tenant.NewSecret(bytes.Repeat([]byte{1}, 32)))
	must(t, err)
	rec := &events{}
	s, err := localkms.NewService(store, rec, o)
	must(t, err)
	who, err := kmsserver.ParsePrincipals([]byte(principals))
	must(t, err)
	h, err := kmsserver.New(s, who, so)
	must(t, err)
	return h, rec
}

// serve runs a server until the test ends.
func serve(t testing.TB, o *localkms.Options) (url string, rec *events) {
	t.Helper()
	h, rec := handle(t, o, nil)
	l, err := kmsserver.Listen("127.0.0.1:0", nil)
	must(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- kmsserver.Serve(ctx, l, h) }()
	t.Cleanup(func() { cancel(); must(t, <-done) })
	return "http://" + l.Addr().String(), rec
}

func client(url, who string) *kms.Client {
	return kms.New(kms.Options{Region: "us-east-1", BaseEndpoint: aws.String(url), RetryMaxAttempts: 1,
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "AKID" + strings.ToUpper(who), SecretAccessKey: "secret-0123456789-" + who}, nil
		})})
}

func code(err error) string {
	if e := smithy.APIError(nil); errors.As(err, &e) {
		return e.ErrorCode()
	}
	return ""
}

// raw sends a request that no client would, signed by root.
func raw(t testing.TB, url string, change func(r *http.Request), target, body string) (int, string) {
	t.Helper()
	r, err := http.NewRequest(http.MethodPost, url+"/", strings.NewReader(body))
	must(t, err)
	r.Header.Set("Content-Type", "application/x-amz-json-1.1")
	r.Header.Set("X-Amz-Target", target)
	r.Header.Set("X-Amz-Test", rand.Text()) // as SDKs number their calls
	must(t, sign(r, body, "us-east-1", "kms", time.Now()))
	if change != nil {
		change(r)
	}
	resp, err := http.DefaultClient.Do(r)
	must(t, err)
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	must(t, err)
	var said struct {
		Type string `json:"__type"`
	}
	_ = json.Unmarshal(b, &said)
	if resp.Header.Get("X-Amzn-Requestid") == "" {
		t.Error("an answer without a request ID")
	}
	return resp.StatusCode, said.Type
}

func sign(r *http.Request, body, region, service string, at time.Time) error {
	return sigv4.SignRequest(r, []byte(body), sigv4.Credentials{AccessKeyID: "AKIDROOT", Secret: tenant.NewSecret([]byte("secret-0123456789-root")), Region: region, Service: service}, at)
}

// What is refused before it becomes a call.
func TestRequestRefused(t *testing.T) {
	t.Parallel()
	url, rec := serve(t, nil)
	again := func(region, service string, at time.Time) func(*http.Request) {
		return func(r *http.Request) {
			r.Header.Del("Authorization")
			must(t, sign(r, "{}", region, service, at))
		}
	}
	now := time.Now()
	for name, c := range map[string]struct {
		change       func(*http.Request)
		target, body string
		status       int
		code         string
	}{
		"unsigned":           {func(r *http.Request) { r.Header.Del("Authorization") }, "TrentService.ListKeys", "{}", 400, "MissingAuthenticationTokenException"},
		"another body":       {func(r *http.Request) { r.Body = io.NopCloser(strings.NewReader("{ }")); r.ContentLength = 3 }, "TrentService.ListKeys", "{}", 400, "InvalidSignatureException"},
		"another target":     {func(r *http.Request) { r.Header.Set("X-Amz-Target", "TrentService.CreateKey") }, "TrentService.ListKeys", "{}", 400, "InvalidSignatureException"},
		"another region":     {again("eu-west-1", "kms", now), "TrentService.ListKeys", "{}", 400, "InvalidSignatureException"},
		"another service":    {again("us-east-1", "s3", now), "TrentService.ListKeys", "{}", 400, "InvalidSignatureException"},
		"yesterday's":        {again("us-east-1", "kms", now.Add(-24*time.Hour)), "TrentService.ListKeys", "{}", 400, "InvalidSignatureException"},
		"tomorrow's":         {again("us-east-1", "kms", now.Add(24*time.Hour)), "TrentService.ListKeys", "{}", 400, "InvalidSignatureException"},
		"torn signature":     {func(r *http.Request) { r.Header.Set("Authorization", r.Header.Get("Authorization")[:60]) }, "TrentService.ListKeys", "{}", 400, "IncompleteSignatureException"},
		"GET":                {func(r *http.Request) { r.Method = http.MethodGet }, "TrentService.ListKeys", "{}", 400, "UnknownOperationException"},
		"another path":       {func(r *http.Request) { r.URL.Path = "/x" }, "TrentService.ListKeys", "{}", 400, "UnknownOperationException"},
		"query":              {func(r *http.Request) { r.URL.RawQuery = "a=b" }, "TrentService.ListKeys", "{}", 400, "UnknownOperationException"},
		"another type":       {func(r *http.Request) { r.Header.Set("Content-Type", "text/plain") }, "TrentService.ListKeys", "{}", 400, "UnknownOperationException"},
		"no such operation":  {nil, "TrentService.Sign", "{}", 400, "UnknownOperationException"},
		"another protocol":   {nil, "DynamoDB.ListKeys", "{}", 400, "UnknownOperationException"},
		"no body":            {nil, "TrentService.ListKeys", "", 400, "SerializationException"},
		"not JSON":           {nil, "TrentService.ListKeys", "{", 400, "SerializationException"},
		"a list":             {nil, "TrentService.ListKeys", "[]", 400, "SerializationException"},
		"two objects":        {nil, "TrentService.ListKeys", "{}{}", 400, "SerializationException"},
		"another JSON type":  {nil, "TrentService.ListKeys", `{"Limit":"1"}`, 400, "SerializationException"},
		"a member twice":     {nil, "TrentService.ListKeys", `{"Limit":1,"Limit":2}`, 400, "SerializationException"},
		"twice, other case":  {nil, "TrentService.ListKeys", `{"Limit":1,"limit":2}`, 400, "SerializationException"},
		"a pair twice":       {nil, "TrentService.Decrypt", `{"CiphertextBlob":"AAAA","EncryptionContext":{"a":"1","a":"2"}}`, 400, "SerializationException"},
		"a pair of nothing":  {nil, "TrentService.Decrypt", `{"CiphertextBlob":"AAAA","EncryptionContext":{"a":null}}`, 400, "SerializationException"},
		"the same, deep":     {nil, "TrentService.CreateGrant", `{"Constraints":{"EncryptionContextSubset":{"a":null}}}`, 400, "SerializationException"},
		"not UTF-8":          {nil, "TrentService.Decrypt", "{\"CiphertextBlob\":\"AAAA\",\"EncryptionContext\":{\"a\":\"\xff\"}}", 400, "SerializationException"},
		"half a character":   {nil, "TrentService.Decrypt", `{"CiphertextBlob":"AAAA","EncryptionContext":{"a":"\ud83d"}}`, 400, "SerializationException"},
		"half of a key":      {nil, "TrentService.Decrypt", `{"CiphertextBlob":"AAAA","EncryptionContext":{"\udd11\ud83d":"a"}}`, 400, "SerializationException"},
		"deep":               {nil, "TrentService.ListKeys", `{"x":` + strings.Repeat("[", 40) + strings.Repeat("]", 40) + `}`, 400, "SerializationException"},
		"unknown member":     {nil, "TrentService.ListKeys", `{"Recipient":{}}`, 400, "ValidationException"},
		"another case":       {nil, "TrentService.ListKeys", `{"limit":1}`, 400, "ValidationException"},
		"folded":             {nil, "TrentService.Decrypt", `{"CiphertextBlob":"AAAA","GrantTokens":[],"GrantToken\u017f":["x"]}`, 400, "ValidationException"},
		"another case, deep": {nil, "TrentService.CreateGrant", `{"Constraints":{"EncryptionContextEquals":{"a":"1"},"encryptioncontextequals":{"a":"2"}}}`, 400, "ValidationException"},
		"in a list":          {nil, "TrentService.TagResource", `{"Tags":[{"TagKey":"a","tagkey":"b","TagValue":"c"}]}`, 400, "ValidationException"},
		"too long":           {nil, "TrentService.ListKeys", `{"Marker":"` + strings.Repeat("x", 300_000) + `"}`, 413, "RequestEntityTooLargeException"},
		"limit out of range": {nil, "TrentService.ListKeys", `{"Limit":1001}`, 400, "ValidationException"},
		"the control":        {nil, "TrentService.ListKeys", `{"Limit":1000}`, 200, ""},
		"no limit":           {nil, "TrentService.ListKeys", `{"Limit":null,"Marker":"\ud83d\udd11\\ud83d\ufffd"}`, 200, ""},
	} {
		if status, code := raw(t, url, c.change, c.target, c.body); status != c.status || code != c.code {
			t.Errorf("%s: %d %s", name, status, code)
		}
	}
	if n := len(rec.all); n != 3 {
		t.Errorf("%d calls were recorded, not the three that became calls", n)
	}
}

func TestAccountPolicy(t *testing.T) {
	t.Parallel()
	url, _ := serve(t, nil)
	other := client(url, "other")
	if _, err := other.ListKeys(t.Context(), &kms.ListKeysInput{}); err != nil {
		t.Errorf("what the account allows: %v", err)
	}
	if _, err := other.CreateKey(t.Context(), &kms.CreateKeyInput{}); code(err) != "AccessDeniedException" {
		t.Errorf("what it does not: %v", err)
	}
}

// A call that cannot be recorded is refused, and changes nothing.
func TestUnrecorded(t *testing.T) {
	t.Parallel()
	url, rec := serve(t, nil)
	root := client(url, "root")
	made, err := root.CreateKey(t.Context(), &kms.CreateKeyInput{})
	must(t, err)
	rec.fail = errors.New("disk full")
	if _, err := root.GenerateRandom(t.Context(), &kms.GenerateRandomInput{NumberOfBytes: aws.Int32(1)}); code(err) != "KMSInternalException" || strings.Contains(err.Error(), "disk") {
		t.Errorf("a read: %v", err)
	}
	if _, err := root.DisableKey(t.Context(), &kms.DisableKeyInput{KeyId: made.KeyMetadata.KeyId}); code(err) != "KMSInternalException" {
		t.Errorf("a change: %v", err)
	}
	rec.fail = nil
	if d, err := root.DescribeKey(t.Context(), &kms.DescribeKeyInput{KeyId: made.KeyMetadata.KeyId}); err != nil || !d.KeyMetadata.Enabled {
		t.Errorf("the change was made: %v", err)
	}
}

func TestParsePrincipals(t *testing.T) {
	t.Parallel()
	for name, c := range map[string][2]string{
		"unknown member":    {`"arn"`, `"x": 1, "arn"`},
		"a member twice":    {`"arn"`, `"accessKeyId": "AKIDX", "arn"`},
		"another case":      {`"arn"`, `"ARN"`},
		"twice, folded":     {`"arn"`, `"\u017fecretAccessKey": "secret-0123456789-else", "arn"`},
		"a short secret":    {"secret-0123456789-root", "secret"},
		"a key twice":       {"AKIDUSER", "AKIDROOT"},
		"no key":            {`"AKIDUSER"`, `""`},
		"wildcard":          {"user/user", "user/*"},
		"no ARN":            {account + "user/user", "user"},
		"a bad policy":      {"kms:ListKeys", "*:*"},
		"a bad condition":   {`"Resource": "*"`, `"Resource": "*", "Condition": {"StringEquals": {"aws:SourceVpce": "x"}}`},
		"something follows": {principals, principals + "{}"},
		"nobody":            {principals, `{"principals": []}`},
		"nothing":           {principals, ``},
	} {
		bad := strings.Replace(principals, c[0], c[1], 1)
		if p, err := kmsserver.ParsePrincipals([]byte(bad)); !errors.Is(err, kmsserver.ErrConfig) || p != nil {
			t.Errorf("%s: %v", name, err)
		} else if strings.Contains(err.Error(), "0123456789") {
			t.Errorf("%s: the error holds a secret", name)
		}
	}
	if _, err := kmsserver.New(nil, nil, nil); !errors.Is(err, kmsserver.ErrConfig) {
		t.Errorf("New of nothing: %v", err)
	}
	for _, addr := range []string{"0.0.0.0:0", ":0", "localhost:0", "192.0.2.1:0", "127.0.0.1"} {
		if l, err := kmsserver.Listen(addr, nil); !errors.Is(err, kmsserver.ErrConfig) || l != nil {
			t.Errorf("%s: %v", addr, err)
		}
	}
}

// Calls under way end when the server is told to stop.
func TestStops(t *testing.T) {
	t.Parallel()
	url, _ := serve(t, nil)
	c := client(url, "root")
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 5 {
				if _, err := c.GenerateRandom(context.Background(), &kms.GenerateRandomInput{NumberOfBytes: aws.Int32(8)}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
}

func FuzzRequest(f *testing.F) {
	url, _ := serve(f, nil)
	f.Add("ListKeys", `{"Limit":1}`)
	f.Add("Decrypt", `{"CiphertextBlob":"AgAAAAA=","EncryptionContext":{"a":"b"},"GrantTokens":["x"]}`)
	f.Add("CreateGrant", `{"KeyId":"k","GranteePrincipal":"arn:aws:iam::000000000000:user/u","Operations":["Decrypt"],"Constraints":{"EncryptionContextEquals":{"a":"b"}}}`)
	f.Add("PutKeyPolicy", `{"KeyId":"k","Policy":"{}"}`)
	f.Add("Encrypt", `{"KeyId":"alias/x","Plaintext":"AA=="}`)
	f.Fuzz(func(t *testing.T, op, body string) {
		if strings.ContainsFunc(op, func(r rune) bool { return r < 0x21 || r > 0x7e }) {
			t.Skip()
		}
		status, code := raw(t, url, nil, "TrentService."+op, body)
		switch {
		case status == 200 && !json.Valid([]byte(body)):
			t.Fatalf("%s %q is served", op, body)
		case status == 500:
			t.Fatalf("%s %q: %s", op, body, code)
		case status != 200 && code == "":
			t.Fatalf("%s %q: %d without a code", op, body, status)
		}
	})
}

func ExampleListen() {
	_, err := kmsserver.Listen("0.0.0.0:7071", nil)
	fmt.Println(errors.Is(err, kmsserver.ErrConfig)) // anybody could read the data keys

	l, err := kmsserver.Listen("127.0.0.1:0", nil)
	fmt.Println(err)
	l.Close()
	// Output:
	// true
	// <nil>
}
