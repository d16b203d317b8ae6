package cloud

import (
	"encoding/xml"
	"errors"
	"fmt"
	"net/http"

	"github.com/cloisterdev/cloister/tenant"
)

// s3Error is a refusal in S3's words. It never repeats what the caller sent,
// and it names no resource: a foreign bucket and one that never was give the
// same bytes.
type s3Error struct {
	XMLName xml.Name `xml:"Error"`
	Code    string
	Message string
	status  int
}

func (e *s3Error) Error() string { return e.Code }

var (
	errAccessDenied   = &s3Error{Code: "AccessDenied", Message: "Access Denied", status: 403}
	errSignature      = &s3Error{Code: "SignatureDoesNotMatch", Message: "The request signature does not match.", status: 403}
	errPayload        = &s3Error{Code: "XAmzContentSHA256Mismatch", Message: "The body is not the signed one. Unsigned and streaming payloads are not accepted.", status: 400}
	errIncomplete     = &s3Error{Code: "IncompleteBody", Message: "The body is shorter than its Content-Length.", status: 400}
	errBadDigest      = &s3Error{Code: "BadDigest", Message: "The body does not have the digest that was sent with it.", status: 400}
	errInvalidDigest  = &s3Error{Code: "InvalidDigest", Message: "The digest is not valid.", status: 400}
	errInvalid        = &s3Error{Code: "InvalidArgument", Message: "An argument of the request is not valid.", status: 400}
	errKeyTooLong     = &s3Error{Code: "KeyTooLongError", Message: "A key has at most 1024 bytes.", status: 400}
	errKeyNotText     = &s3Error{Code: "InvalidURI", Message: "A key is UTF-8 without control characters.", status: 400}
	errNoSuchKey      = &s3Error{Code: "NoSuchKey", Message: "The specified key does not exist.", status: 404}
	errNotImplemented = &s3Error{Code: "NotImplemented", Message: "This operation, or a header or parameter of it, is not implemented here.", status: 501}
	errTooLarge       = &s3Error{Code: "EntityTooLarge", Message: "The object exceeds the limit of 32 MiB.", status: 400}
	errS3Internal     = &s3Error{Code: "InternalError", Message: "An internal error occurred.", status: 500}
)

func writeError(w http.ResponseWriter, err error) {
	var e *s3Error
	if errors.Is(err, ErrNoObject) {
		e = errNoSuchKey
	} else if !errors.As(err, &e) {
		e = errS3Internal
	}
	writeXML(w, e.status, e)
}

func writeXML(w http.ResponseWriter, status int, v any) {
	b, err := xml.Marshal(v)
	if err != nil {
		status, b = 500, []byte("<Error><Code>InternalError</Code></Error>")
	}
	w.Header().Set("Content-Type", "application/xml")
	w.Header().Set("X-Amz-Request-Id", tenant.NewRequestID().String())
	w.WriteHeader(status)
	_, _ = fmt.Fprintf(w, "%s%s", xml.Header, b)
}
