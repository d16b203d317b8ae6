package sigv4

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/textproto"
	"net/url"
	"strings"
)

// Checker decides whether evidence counts. A [Verifier] is one; a client of
// another process that holds the keys is the better one.
type Checker interface {
	Check(context.Context, Evidence) error
}

// HandlerOptions changes what [NewHandler] expects. The zero value is the safe
// one.
type HandlerOptions struct {
	Capture CaptureOptions
	// MaxBody is the largest body accepted, in bytes. Zero means 1 MiB, less
	// than zero none.
	MaxBody int64
	// WithBody gives the checker evidence at [LevelBody]; a body above the
	// constant [MaxBody] is refused then.
	WithBody bool
	// Refused is told why a request was refused, for records: the caller is
	// never told. It must be safe for concurrent use.
	Refused func(*http.Request, error)
}

const defaultMaxBody = 1 << 20

type handler struct {
	next  http.Handler
	check Checker
	o     HandlerOptions
}

// NewHandler returns a handler that passes on what was signed, and nothing
// else: a request reaches next after check accepted its evidence, with its
// signed headers only, with its query as it was signed (sorted, and of a
// presigned request without the signature), and with the whole body in memory.
// With S3's rules the path is escaped as it was signed too. The evidence is in
// its context, see [FromContext]. A body that nobody signed is refused, even
// with [CaptureOptions.UnsignedPayload].
//
// Whatever is refused is answered 403 and one constant text, and a body that is
// too large 413. A nil next or check is refused with [ErrConfig].
func NewHandler(next http.Handler, check Checker, o HandlerOptions) (http.Handler, error) {
	if next == nil || check == nil {
		return nil, ErrConfig
	}
	if o.MaxBody == 0 {
		o.MaxBody = defaultMaxBody
	}
	return &handler{next, check, o}, nil
}

type contextKey struct{}

// FromContext returns the evidence that the handler of [NewHandler] accepted.
func FromContext(ctx context.Context) (Evidence, bool) {
	e, ok := ctx.Value(contextKey{}).(Evidence)
	return e, ok
}

func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	e, body, err := CaptureWith(r, h.o.MaxBody, h.o.Capture)
	if err == nil && len(body) > 0 && !e.PayloadSigned() {
		err = refuse("body", ErrUnsignedPayload)
	}
	if err == nil && h.o.WithBody {
		e, err = e.WithBody(body)
	}
	if err == nil {
		err = h.check.Check(r.Context(), e)
	}
	if err != nil {
		h.refuse(w, r, err)
		return
	}
	h.next.ServeHTTP(w, h.signedOnly(r, e, body))
}

func (h *handler) refuse(w http.ResponseWriter, r *http.Request, err error) {
	if h.o.Refused != nil {
		h.o.Refused(r, err)
	}
	// What is left of the body is not worth reading.
	w.Header().Set("Connection", "close")
	if errors.Is(err, ErrTooLarge) {
		http.Error(w, "The body is too large.", http.StatusRequestEntityTooLarge)
		return
	}
	http.Error(w, "The request is not signed as it must be.", http.StatusForbidden)
}

// signedOnly is the request without what nobody signed.
func (h *handler) signedOnly(r *http.Request, e Evidence, body []byte) *http.Request {
	out := r.WithContext(context.WithValue(r.Context(), contextKey{}, e))
	out.Header = http.Header{}
	for rest := e.headers; rest != ""; {
		var line string
		line, rest, _ = strings.Cut(rest, "\n")
		k, v, _ := strings.Cut(line, ":")
		if k != "host" {
			out.Header[textproto.CanonicalMIMEHeaderKey(k)] = []string{v}
		}
	}
	out.URL, out.RequestURI = h.target(r, e)
	out.Body, out.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	out.TransferEncoding, out.Trailer, out.Form, out.PostForm, out.MultipartForm = nil, nil, nil, nil, nil
	if len(body) == 0 {
		out.Body = http.NoBody
	}
	return out
}

// target is what the request line says in the form that was signed. Of two
// values of one parameter the signature does not say which was the first, and
// with S3's rules not which slash was escaped: whoever is on the way could
// choose. What was stripped from the path before stays stripped.
func (h *handler) target(r *http.Request, e Evidence) (u *url.URL, uri string) {
	out := *r.URL
	out.RawQuery, out.ForceQuery = e.query, false
	uri, _, _ = strings.Cut(r.RequestURI, "?")
	if h.o.Capture.S3 {
		uri, out.RawPath = e.path, string(escapeAll(nil, out.Path, true))
	}
	if e.query != "" {
		uri += "?" + e.query
	}
	return &out, uri
}
