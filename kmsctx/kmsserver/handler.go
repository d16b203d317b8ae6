package kmsserver

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/cloisterdev/cloister/fas"
	"github.com/cloisterdev/cloister/fas/sigv4"
	"github.com/cloisterdev/cloister/internal/strictjson"
	"github.com/cloisterdev/cloister/kmsctx/localkms"
)

// maxBody is the largest request body, in bytes: a key policy, in JSON in JSON.
const maxBody = 256 << 10

// Options changes what a handler does. The zero value is the safe one.
type Options struct {
	// Refused is told why a request was refused before it became a call: calls
	// are the service's to record. It must be safe for concurrent use.
	Refused func(Refusal)
	// Replay remembers which signatures were used. Nil means a store of this
	// process for [ReplayEntries]; servers of one store need one that they share,
	// and one that outlives them lets them take what was signed before they began.
	Replay fas.ReplayStore
	// Rate is how many requests a second each principal may make, in whatever
	// operations; more are refused with ThrottlingException. Zero means as many as
	// it likes.
	Rate int
}

// Refusal is a request that did not become a call.
type Refusal struct {
	Request   *http.Request // its body is read
	RequestID string
	// AccessKeyID is what the request claims, at most 128 bytes of whatever it
	// is; empty without a claim.
	AccessKeyID string
	// Principal is the ARN of who signed the request, where that is no replay and
	// not one too many. Empty means that anybody may have sent it, or often.
	Principal string
	Err       error
}

type handler struct {
	service    *localkms.Service
	principals *Principals
	verifier   *sigv4.Verifier
	used       *used
	rates      *rates
	o          Options
}

// New returns the handler of a service. It is safe for concurrent use. Errors
// wrap [ErrConfig].
func New(s *localkms.Service, p *Principals, opts *Options) (http.Handler, error) {
	if s == nil || p == nil {
		return nil, fmt.Errorf("%w: a server needs a service and principals", ErrConfig)
	}
	v, err := sigv4.NewVerifier(p.key, sigv4.Options{Region: s.Region(), Service: "kms", MaxPast: signatureLife})
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrConfig, err)
	}
	h := &handler{service: s, principals: p, verifier: v}
	if opts != nil {
		h.o = *opts
	}
	if h.o.Rate < 0 {
		return nil, fmt.Errorf("%w: a negative rate", ErrConfig)
	}
	h.rates = &rates{perSecond: float64(h.o.Rate), of: map[string]*bucket{}}
	if h.used, err = newUsed(h.o.Replay, time.Now()); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrConfig, err)
	}
	return h, nil
}

// ServeHTTP answers one call.
func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	id := requestID()
	w.Header().Set("X-Amzn-Requestid", id)
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	w.Header().Set("Cache-Control", "no-store")
	body, err := h.serve(r, id)
	if err == nil {
		_, _ = w.Write(body)
		clear(body)
		return
	}
	status, code, text := answer(err)
	out, _ := json.Marshal(map[string]string{"__type": code, "message": text})
	w.Header().Set("X-Amzn-Errortype", code)
	w.WriteHeader(status)
	_, _ = w.Write(out)
}

var errRequest = errors.New("a call is POST / with one JSON object and X-Amz-Target: TrentService.NAME")

func (h *handler) serve(r *http.Request, id string) ([]byte, error) {
	var who localkms.Principal
	refuse := func(err error) ([]byte, error) {
		if h.o.Refused != nil {
			h.o.Refused(Refusal{r, id, claimed(r), who.ARN, err})
		}
		return nil, err
	}
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if r.Method != http.MethodPost || r.RequestURI != "/" || err != nil || kind != "application/x-amz-json-1.1" {
		return refuse(errRequest)
	}
	evidence, body, err := sigv4.Capture(r, maxBody)
	if err != nil {
		return refuse(err)
	}
	defer clear(body)
	now := time.Now()
	if err := h.verifier.Verify(evidence, now); err != nil {
		return refuse(err)
	}
	if _, ok := evidence.Header("X-Amz-Security-Token"); ok {
		return refuse(sigv4.ErrSignature) // nobody here has one
	}
	target, _ := evidence.Header("X-Amz-Target")
	name, ok := strings.CutPrefix(target, "TrentService.")
	if !ok {
		return refuse(errRequest)
	}
	op, ok := operations[name]
	if !ok {
		return refuse(errOperation)
	}
	p := h.principals.byKey[evidence.AccessKeyID()].who
	if !h.rates.take(p.ARN, now) {
		return refuse(ErrThrottled)
	}
	if wait, err := h.used.claim(r.Context(), evidence, now, op.once); err != nil {
		h.rates.back(p.ARN)
		select {
		case <-time.After(wait):
		case <-r.Context().Done():
		}
		return refuse(err)
	}
	who, who.RequestID, who.Peer = p, id, peer(r)
	out, err := op.run(r.Context(), h.service, who, body)
	if errors.Is(err, errSerialization) || errors.As(err, new(strictjson.UnknownMember)) {
		return refuse(err)
	}
	return out, err
}

// peer is the other end of the connection. What headers say of it is whatever
// the caller likes.
func peer(r *http.Request) *localkms.Peer {
	p := &localkms.Peer{Secure: r.TLS != nil}
	if a, err := netip.ParseAddrPort(r.RemoteAddr); err == nil {
		p.Addr = a.Addr()
	}
	return p
}

// claimed is the access key ID that a request says it is signed with.
func claimed(r *http.Request) string {
	_, id, _ := strings.Cut(r.Header.Get("Authorization"), "Credential=")
	id, _, _ = strings.Cut(id, "/")
	return id[:min(len(id), 128)]
}

var errOperation = errors.New("no such operation here")

// answer gives a refusal its status, code and text. What went wrong inside is
// not the caller's to know.
func answer(err error) (int, string, string) {
	var refused *localkms.Error
	switch {
	case errors.As(err, new(strictjson.UnknownMember)):
		return 400, "ValidationException", err.Error()
	case errors.As(err, &refused):
		if refused.Code() == "KMSInternalException" {
			return 500, refused.Code(), refused.Error()
		}
		return 400, refused.Code(), err.Error()
	case errors.Is(err, errSerialization):
		return 400, "SerializationException", err.Error()
	case errors.Is(err, errOperation), errors.Is(err, errRequest):
		return 400, "UnknownOperationException", err.Error()
	case errors.Is(err, ErrThrottled):
		return 400, "ThrottlingException", "rate exceeded"
	case errors.Is(err, errAgain):
		return 400, "ThrottlingException", "this very request was made before within the second: sign it again"
	case errors.Is(err, ErrReplayed):
		return 400, "InvalidSignatureException", "the signature was used before, or made before the server began: sign the request again"
	case errors.Is(err, sigv4.ErrNoSignature):
		return 400, "MissingAuthenticationTokenException", "the request is not signed"
	case errors.Is(err, sigv4.ErrTooLarge):
		return 413, "RequestEntityTooLargeException", "the body is too large"
	case errors.Is(err, sigv4.ErrSignature), errors.Is(err, sigv4.ErrScope), errors.Is(err, sigv4.ErrSkew), errors.Is(err, sigv4.ErrPayload):
		return 400, "InvalidSignatureException", "the signature is not one for this service, region, time and body, or nobody's"
	case errors.Is(err, sigv4.ErrMalformed), errors.Is(err, sigv4.ErrNotSigned), errors.Is(err, sigv4.ErrAmbiguousPath):
		return 400, "IncompleteSignatureException", "the signature is not in the accepted form"
	}
	return 500, "KMSInternalException", "the call failed"
}

func requestID() string {
	b := make([]byte, 16)
	_, _ = rand.Read(b)
	s := hex.EncodeToString(b)
	return strings.Join([]string{s[:8], s[8:12], s[12:16], s[16:20], s[20:]}, "-")
}
