package cloud

import (
	"bytes"
	"encoding/xml"
	"errors"
	"net/http"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/cloisterdev/cloister/audit"
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

// ServeHTTP answers path-style S3 requests: /bucket/key.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if err := s.serve(w, r); err != nil {
		writeError(w, err)
	}
}

func (s *Server) serve(w http.ResponseWriter, r *http.Request) error {
	q, err := parse(r)
	if err != nil {
		return err
	}
	e := audit.Event{Time: time.Now(), Kind: "s3." + verbOf(r.Method, q.key), Decision: audit.Deny}
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
	if err := s.authorize(who, q); err != nil {
		return deny("not-authorized", err)
	}
	e.Decision, e.Reason = audit.Allow, "allowed"
	if err := s.rec.Append(r.Context(), e); err != nil {
		return err
	}
	switch q.op.name {
	case "ListBuckets":
		return s.listBuckets(w, who)
	case "GetBucketLocation":
		writeXML(w, http.StatusOK, struct {
			XMLName xml.Name `xml:"LocationConstraint"`
		}{})
		return nil
	case "HeadBucket":
		return nil
	case "ListObjectsV2":
		return s.list(w, q)
	case "PutObject":
		return s.put(w, r, q, body)
	case "GetObject", "HeadObject":
		return s.get(w, r, q)
	case "DeleteObject":
		if err := s.store.remove(q.bucket, q.key); err != nil {
			return err
		}
		w.WriteHeader(http.StatusNoContent)
		return nil
	}
	return errNotImplemented
}

func (s *Server) put(w http.ResponseWriter, r *http.Request, q request, body []byte) error {
	if err := checkKey(q.key); err != nil {
		return err
	}
	if err := checkDigests(r.Header, body); err != nil {
		return err
	}
	etag, err := s.store.put(q.bucket, q.key, body, time.Now())
	if err == nil {
		w.Header().Set("ETag", `"`+etag+`"`)
	}
	return err
}

// checkKey refuses keys that a list could not show. Dots and slashes mean
// nothing: the store is flat, so a key such as a/../b is only itself.
func checkKey(key string) error {
	if len(key) > maxKey {
		return errKeyTooLong
	}
	if !utf8.ValidString(key) || strings.ContainsFunc(key, func(r rune) bool { return unicode.IsControl(r) || r >= 0xfffe && r <= 0xffff }) {
		return errKeyNotText
	}
	return nil
}

// get answers ranges too, since clients fetch large objects in parts.
func (s *Server) get(w http.ResponseWriter, r *http.Request, q request) error {
	o, b, err := s.store.get(q.bucket, q.key)
	if err != nil {
		return err
	}
	w.Header().Set("ETag", `"`+o.ETag+`"`)
	w.Header().Set("Content-Type", "application/octet-stream")
	http.ServeContent(w, r, "", o.Modified, bytes.NewReader(b))
	return nil
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
func (s *Server) authorize(who caller, q request) error {
	if q.bucket == "" {
		// The names of the own buckets are for users, not for sessions.
		if who.session != nil {
			return errAccessDenied
		}
		return nil
	}
	if who.session == nil && q.bucket == who.bucket {
		// A tenant's first use of its own bucket makes it.
		err := s.store.ensure(q.bucket, who.tenant)
		if errors.Is(err, errForeign) {
			return errAccessDenied
		}
		return err
	}
	owner, err := s.store.owner(q.bucket)
	if err != nil || owner != who.tenant {
		return errAccessDenied
	}
	if who.session == nil {
		return nil
	}
	resource := "arn:aws:s3:::" + q.bucket + "/" + q.key
	if q.key == "" {
		// Listing is asked for the prefix that is listed, so that a session
		// for one prefix cannot see the names of another.
		resource = "arn:aws:s3:::" + q.bucket + "/" + q.query["prefix"]
	}
	if q.op.action == "" || !who.session.Allows(q.op.action, resource, time.Now()) {
		return errAccessDenied
	}
	return nil
}

func (s *Server) listBuckets(w http.ResponseWriter, who caller) error {
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
	writeXML(w, http.StatusOK, res)
	return nil
}
