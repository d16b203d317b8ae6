package cloud

import (
	"encoding/xml"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/cloisterdev/cloister/audit"
	"github.com/cloisterdev/cloister/tenant"
)

// Server is the object store's HTTP face. It is safe for concurrent use.
type Server struct {
	store *store
	auth  *authenticator
	rec   audit.Recorder
}

// Open opens the cloud at dir. Sessions of the identity firewall are checked
// with the verifier, which can check sessions and cannot mint them. The
// recorder gets every request: this is the customers' own log, apart from the
// service's.
func Open(dir string, sessions SessionVerifier, rec audit.Recorder) (*Server, error) {
	if sessions == nil || rec == nil {
		return nil, errors.New("cloud: a session verifier and a recorder are required")
	}
	keys, err := OpenKeys(dir)
	if err != nil {
		return nil, err
	}
	st, err := openStore(dir)
	if err != nil {
		return nil, err
	}
	return &Server{st, &authenticator{keys: keys, sessions: sessions}, rec}, nil
}

// Close closes the store.
func (s *Server) Close() error { return s.store.db.Close() }

type s3Error struct {
	XMLName xml.Name `xml:"Error"`
	Code    string
	Message string
	status  int
}

func (e *s3Error) Error() string { return e.Code }

var (
	errAccessDenied = &s3Error{Code: "AccessDenied", Message: "Access Denied", status: 403}
	errSignature    = &s3Error{Code: "SignatureDoesNotMatch", Message: "The request signature does not match.", status: 403}
	errNoSuchKey    = &s3Error{Code: "NoSuchKey", Message: "The specified key does not exist.", status: 404}
	errMethod       = &s3Error{Code: "NotImplemented", Message: "This operation is not implemented here.", status: 501}
	errTooLarge     = &s3Error{Code: "EntityTooLarge", Message: "The object exceeds the limit of 32 MiB.", status: 400}
	errS3Internal   = &s3Error{Code: "InternalError", Message: "An internal error occurred.", status: 500}
)

// ServeHTTP answers path-style S3 requests: /bucket/key.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if err := s.serve(w, r); err != nil {
		var e *s3Error
		if errors.Is(err, ErrNoObject) {
			e = errNoSuchKey
		} else if !errors.As(err, &e) {
			e = errS3Internal
		}
		writeXML(w, e.status, e)
	}
}

func (s *Server) serve(w http.ResponseWriter, r *http.Request) error {
	rawPath, rawQuery, _ := strings.Cut(r.RequestURI, "?")
	path, err := url.PathUnescape(strings.TrimPrefix(rawPath, "/"))
	if err != nil {
		return errAccessDenied
	}
	bucket, key, _ := strings.Cut(path, "/")
	query, err := url.ParseQuery(rawQuery)
	if err != nil {
		return errAccessDenied
	}
	e := audit.Event{Time: time.Now(), Kind: "s3." + verbOf(r.Method, key), Decision: audit.Deny}
	deny := func(reason string, err error) error {
		e.Reason = reason
		_ = s.rec.Append(r.Context(), e) // a refusal that cannot be recorded is a refusal
		return err
	}
	who, body, err := s.auth.authenticate(r)
	if err != nil {
		return deny("bad-signature", err)
	}
	e.Tenant = who.tenant
	if who.session != nil {
		e.Session, e.User = who.session.Session, who.session.User
	}
	if err := s.authorize(who, r.Method, bucket, key, query); err != nil {
		return deny("not-authorized", err)
	}
	e.Decision, e.Reason = audit.Allow, "allowed"
	if err := s.rec.Append(r.Context(), e); err != nil {
		return err
	}
	if bucket == "" {
		return s.listBuckets(w, r, who)
	}
	switch {
	case key == "" && r.Method == http.MethodGet && query.Has("location"):
		writeXML(w, 200, struct {
			XMLName xml.Name `xml:"LocationConstraint"`
		}{})
		return nil
	case key == "" && r.Method == http.MethodGet:
		return s.list(w, bucket, query)
	case key == "" && r.Method == http.MethodHead:
		return nil
	case key != "" && r.Method == http.MethodPut && len(query) <= 1 && !query.Has("uploadId"):
		etag, err := s.store.put(bucket, key, body, time.Now())
		if err == nil {
			w.Header().Set("ETag", `"`+etag+`"`)
		}
		return err
	case key != "" && (r.Method == http.MethodGet || r.Method == http.MethodHead):
		o, b, err := s.store.get(bucket, key)
		if err != nil {
			return err
		}
		w.Header().Set("ETag", `"`+o.ETag+`"`)
		w.Header().Set("Last-Modified", o.Modified.Format(http.TimeFormat))
		w.Header().Set("Content-Length", strconv.Itoa(len(b)))
		w.Header().Set("Content-Type", "application/octet-stream")
		if r.Method == http.MethodGet {
			_, _ = w.Write(b)
		}
		return nil
	case key != "" && r.Method == http.MethodDelete:
		if err := s.store.remove(bucket, key); err != nil {
			return err
		}
		w.WriteHeader(http.StatusNoContent)
		return nil
	}
	return errMethod
}

// verbOf names a request in the log.
func verbOf(method, key string) string {
	switch {
	case method == http.MethodPut:
		return "put"
	case method == http.MethodDelete:
		return "delete"
	case key == "":
		return "list"
	}
	return "get"
}

// authorize decides by who asks: a customer's own key reaches the customer's
// own buckets; a session reaches what every layer of its policy allows, in a
// bucket of the tenant that it acts for.
func (s *Server) authorize(who caller, method, bucket, key string, query url.Values) error {
	if bucket == "" {
		// The names of the own buckets are for users, not for sessions.
		if who.session != nil {
			return errAccessDenied
		}
		return nil
	}
	if who.session == nil {
		// A tenant's first use of its own bucket makes it.
		if bucket == who.bucket {
			return s.store.ensure(bucket, who.tenant)
		}
	}
	owner, err := s.store.owner(bucket)
	if err != nil || owner != who.tenant {
		return errAccessDenied
	}
	if who.session == nil {
		return nil
	}
	action, resource := "s3:GetObject", "arn:aws:s3:::"+bucket+"/"+key
	switch {
	case key == "":
		// Listing is asked for the prefix that is listed, so that a session
		// for one prefix cannot see the names of another.
		action, resource = "s3:ListBucket", "arn:aws:s3:::"+bucket+"/"+query.Get("prefix")
	case method == http.MethodPut:
		action = "s3:PutObject"
	case method == http.MethodDelete:
		action = "s3:DeleteObject"
	}
	if !who.session.Allows(action, resource, time.Now()) {
		return errAccessDenied
	}
	return nil
}

type listResult struct {
	XMLName               xml.Name `xml:"http://s3.amazonaws.com/doc/2006-03-01/ ListBucketResult"`
	Name                  string
	Prefix                string
	KeyCount              int
	MaxKeys               int
	IsTruncated           bool
	NextContinuationToken string `xml:",omitempty"`
	Contents              []listEntry
	CommonPrefixes        []commonPrefix
}

type listEntry struct {
	Key          string
	LastModified string
	ETag         string
	Size         int64
	StorageClass string
}

type commonPrefix struct{ Prefix string }

func (s *Server) list(w http.ResponseWriter, bucket string, q url.Values) error {
	limit := 1000
	if v, err := strconv.Atoi(q.Get("max-keys")); err == nil && v > 0 && v < limit {
		limit = v
	}
	after := q.Get("continuation-token")
	if after == "" {
		after = q.Get("start-after")
	}
	objects, more, err := s.store.list(bucket, q.Get("prefix"), after, limit)
	if err != nil {
		return err
	}
	res := listResult{Name: bucket, Prefix: q.Get("prefix"), MaxKeys: limit, IsTruncated: more}
	seen := map[string]bool{}
	for _, o := range objects {
		if d := q.Get("delimiter"); d != "" {
			rest := strings.TrimPrefix(o.Key, res.Prefix)
			if i := strings.Index(rest, d); i >= 0 {
				if p := res.Prefix + rest[:i+len(d)]; !seen[p] {
					seen[p] = true
					res.CommonPrefixes = append(res.CommonPrefixes, commonPrefix{p})
				}
				continue
			}
		}
		res.Contents = append(res.Contents, listEntry{o.Key, o.Modified.Format("2006-01-02T15:04:05.000Z"), `"` + o.ETag + `"`, o.Size, "STANDARD"})
	}
	res.KeyCount = len(res.Contents) + len(res.CommonPrefixes)
	if more {
		res.NextContinuationToken = objects[len(objects)-1].Key
	}
	writeXML(w, 200, res)
	return nil
}

func (s *Server) listBuckets(w http.ResponseWriter, r *http.Request, who caller) error {
	if r.Method != http.MethodGet {
		return errMethod
	}
	names, err := s.store.bucketsOf(who.tenant)
	if err != nil {
		return err
	}
	type bucket struct{ Name, CreationDate string }
	res := struct {
		XMLName xml.Name `xml:"http://s3.amazonaws.com/doc/2006-03-01/ ListAllMyBucketsResult"`
		Buckets struct{ Bucket []bucket }
	}{}
	for _, n := range names {
		res.Buckets.Bucket = append(res.Buckets.Bucket, bucket{n, "2026-01-01T00:00:00.000Z"})
	}
	writeXML(w, 200, res)
	return nil
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
