package awskms_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/cloisterdev/cloister/kmsctx"
)

// kinds are the sentinels that say what to do about a refusal.
var kinds = []error{kmsctx.ErrInvalidCiphertext, kmsctx.ErrNotAuthorized, kmsctx.ErrGrantPending, kmsctx.ErrKeyDisabled,
	kmsctx.ErrKeyPendingDeletion, kmsctx.ErrKeyNotFound, kmsctx.ErrThrottled, kmsctx.ErrUnavailable, kmsctx.ErrContext}

// only reports an error that is of another kind than want, or of more; a want
// of nil is none.
func only(t *testing.T, what string, err, want error) {
	t.Helper()
	if err == nil {
		t.Errorf("%s: not refused", what)
	}
	for _, k := range kinds {
		if errors.Is(err, k) != (k == want) { //nolint:errorlint // sentinels
			t.Errorf("%s: %v; %q is %v", what, err, k, errors.Is(err, k))
		}
	}
}

// What the service refuses for good is never said to succeed later.
func TestClasses(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		status     int
		code, text string
		want       error
	}{
		{400, "ValidationException", "", nil},
		{400, "InvalidArnException", "", nil},
		{400, "InvalidKeyUsageException", "", nil},
		{400, "UnsupportedOperationException", "", nil},
		{400, "SerializationException", "", nil},
		{404, "UnknownOperationException", "", nil},
		{400, "SomethingNewException", "", nil},
		{413, "", "", nil},
		{403, "SomethingNewException", "", kmsctx.ErrNotAuthorized},
		{401, "AuthFailure", "", kmsctx.ErrNotAuthorized},
		{403, "InvalidClientTokenId", "", kmsctx.ErrNotAuthorized},
		{400, "AccessDeniedException", "", kmsctx.ErrNotAuthorized},
		{400, "InvalidGrantTokenException", "", kmsctx.ErrNotAuthorized},
		{400, "ExpiredTokenException", "", kmsctx.ErrNotAuthorized},
		{400, "IncorrectKeyException", "", kmsctx.ErrInvalidCiphertext},
		{400, "DisabledException", "", kmsctx.ErrKeyDisabled},
		{400, "KMSInvalidStateException", "the key is pending deletion.", kmsctx.ErrKeyPendingDeletion},
		{400, "KMSInvalidStateException", "the key is pending import.", kmsctx.ErrUnavailable},
		{400, "NotFoundException", "", kmsctx.ErrKeyNotFound},
		{400, "ThrottlingException", "", kmsctx.ErrThrottled},
		{400, "ThrottledException", "", kmsctx.ErrThrottled},
		{400, "LimitExceededException", "", kmsctx.ErrThrottled},
		{429, "", "", kmsctx.ErrThrottled},
		{408, "", "", kmsctx.ErrUnavailable},
		{500, "KMSInternalException", "", kmsctx.ErrUnavailable},
		{503, "DependencyTimeoutException", "", kmsctx.ErrUnavailable},
		{502, "", "", kmsctx.ErrUnavailable},
		{302, "", "", kmsctx.ErrUnavailable},
		{200, "", "", kmsctx.ErrUnavailable},
	} {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(c.status)
			if c.code == "" {
				fmt.Fprint(w, "<html>")
				return
			}
			fmt.Fprintf(w, `{"__type":%q,"message":%q}`, c.code, c.text)
		}))
		r, what := ring(t, client(s.URL, "id", "secret"), good), fmt.Sprint(c.status, " ", c.code, " ", c.text)
		context := ec(t, "tenant", "a")
		_, err := r.GenerateDataKey(t.Context(), context)
		only(t, what, err, c.want)
		_, err = r.WrapDataKey(t.Context(), context, make([]byte, kmsctx.DataKeyLen))
		only(t, what, err, c.want)
		only(t, what, r.Probe(t.Context(), context), c.want)
		keys := []kmsctx.EncryptedDataKey{{Provider: "aws-kms", Info: []byte(good), Ciphertext: []byte("x")}}
		_, err = r.DecryptDataKey(t.Context(), context, keys)
		for name, err := range map[string]error{"decrypt": err, "probe": r.ProbeDecrypt(t.Context(), context, keys)} {
			only(t, name+" "+what, err, c.want)
			if !errors.Is(err, kmsctx.ErrNoMatchingKey) {
				t.Errorf("%s %s: %v", name, what, err)
			}
		}
		if e := smithy.APIError(nil); c.code != "" && (!errors.As(err, &e) || e.ErrorCode() != c.code) {
			t.Errorf("%s: the code is lost: %v", what, err)
		}
		s.Close()
	}
}

// A service of our own refuses what no policy can decide, and will again.
func TestRefusedForGood(t *testing.T) {
	t.Parallel()
	root, _ := service(t, 0)
	c, err := kmsctx.ForeignContext(map[string]string{"Tenant": "a", "tenant": "b"})
	must(t, err)
	_, err = ring(t, root, createKey(t, root)).GenerateDataKey(t.Context(), c)
	only(t, "two keys that are one", err, nil)
	if e := smithy.APIError(nil); !errors.As(err, &e) || e.ErrorCode() != "ValidationException" {
		t.Errorf("not the refusal that was meant: %v", err)
	}
}

// Credentials that cannot be had are no outage of the service, unless they are
// had over a network that is.
func TestCredentialsThatCannotBeHad(t *testing.T) {
	t.Parallel()
	answered := func(status int, cause error) error {
		return &smithy.OperationError{ServiceID: "STS", OperationName: "AssumeRole",
			Err: &smithyhttp.ResponseError{Response: &smithyhttp.Response{Response: &http.Response{StatusCode: status}}, Err: cause}}
	}
	for name, c := range map[string]struct{ said, want error }{
		"none":         {errors.New("no role, no file, no variable"), kmsctx.ErrNotAuthorized},
		"no metadata":  {&smithy.OperationError{ServiceID: "ec2imds", Err: &smithyhttp.RequestSendError{Err: errors.New("refused")}}, kmsctx.ErrNotAuthorized},
		"denied":       {answered(403, &smithy.GenericAPIError{Code: "AccessDenied"}), kmsctx.ErrNotAuthorized},
		"expired":      {answered(400, &smithy.GenericAPIError{Code: "ExpiredToken"}), kmsctx.ErrNotAuthorized},
		"no answer":    {answered(0, errors.New("request send failed")), kmsctx.ErrUnavailable},
		"out of order": {answered(500, &smithy.GenericAPIError{Code: "InternalFailure"}), kmsctx.ErrUnavailable},
		"throttled":    {answered(400, &smithy.GenericAPIError{Code: "Throttling"}), kmsctx.ErrThrottled},
	} {
		api := kms.New(kms.Options{Region: "us-east-1", BaseEndpoint: aws.String("http://127.0.0.1:1"), RetryMaxAttempts: 1,
			Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) { return aws.Credentials{}, c.said })})
		_, err := ring(t, api, good).GenerateDataKey(t.Context(), ec(t, "tenant", "a"))
		only(t, name, err, c.want)
	}
}

// The text of a refusal says once which operation and which key it is about.
func TestRefusalSaysItOnce(t *testing.T) {
	t.Parallel()
	root, granted := service(t, 0)
	key, c := createKey(t, root), ec(t, "tenant", "a")
	dk, err := ring(t, root, key).GenerateDataKey(t.Context(), c)
	must(t, err)
	_, denied := ring(t, granted, key).DecryptDataKey(t.Context(), c, dk.Encrypted)
	_, other := ring(t, root, key).DecryptDataKey(t.Context(), ec(t, "tenant", "b"), dk.Encrypted)
	_, answer := ring(t, liar{root, key, []byte{1}}, key).DecryptDataKey(t.Context(), c, dk.Encrypted)
	probe := ring(t, granted, key).ProbeDecrypt(t.Context(), c, dk.Encrypted)
	for name, err := range map[string]error{"denied": denied, "another context": other, "answer": answer, "probe": probe} {
		if !errors.Is(err, kmsctx.ErrNoMatchingKey) {
			t.Fatalf("%s: %v", name, err)
		}
		if s := err.Error(); strings.Count(s, "kmsctx: ") != 1 || strings.Count(s, key) != 1 {
			t.Errorf("%s: %s", name, s)
		}
	}
}
