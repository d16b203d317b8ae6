package cloud

import (
	"net/http"
	"net/url"
	"strings"
)

// request is what a request line asks for, path-style: /bucket/key.
type request struct {
	bucket, key string
	query       map[string]string
	op          operation
}

// operation is one thing that the store can do. Action is what a session must
// be allowed for it; without one it is for users only.
type operation struct {
	name   string
	action string
	params string // the parameters that it knows, besides x-id
}

// The operations, by method and by what the path names. S3 has many more that
// differ in a parameter only; answering those with the plain operation would
// store an ACL as an object, or delete an object for an aborted upload, so an
// unknown parameter makes an unknown operation.
var (
	serviceOps = map[string]operation{
		http.MethodGet: {"ListBuckets", "", "max-buckets"},
	}
	bucketOps = map[string]operation{
		http.MethodGet:  {"ListObjectsV2", "s3:ListBucket", "list-type prefix delimiter max-keys continuation-token start-after encoding-type fetch-owner"},
		http.MethodHead: {"HeadBucket", "s3:ListBucket", ""},
	}
	location  = operation{"GetBucketLocation", "", "location"}
	objectOps = map[string]operation{
		http.MethodGet:    {"GetObject", "s3:GetObject", ""},
		http.MethodHead:   {"HeadObject", "s3:GetObject", ""},
		http.MethodPut:    {"PutObject", "s3:PutObject", ""},
		http.MethodDelete: {"DeleteObject", "s3:DeleteObject", ""},
	}
)

// parse reads the request line as the signature's canonical form does, so that
// what is authorized is what was signed: escapes once, a plus is a plus, and a
// parameter occurs once. An operation that is not supported has no name.
func parse(r *http.Request) (request, error) {
	rawPath, rawQuery, _ := strings.Cut(r.RequestURI, "?")
	path, err := url.PathUnescape(strings.TrimPrefix(rawPath, "/"))
	if err != nil {
		return request{}, errInvalid
	}
	q := request{query: map[string]string{}}
	q.bucket, q.key, _ = strings.Cut(path, "/")
	for pair := range strings.SplitSeq(rawQuery, "&") {
		if pair == "" {
			continue
		}
		k, v, _ := strings.Cut(pair, "=")
		k, err1 := url.PathUnescape(k)
		v, err2 := url.PathUnescape(v)
		if _, twice := q.query[k]; twice || err1 != nil || err2 != nil {
			return request{}, errInvalid
		}
		q.query[k] = v
	}
	q.op = q.operation(r)
	return q, nil
}

func (q *request) has(param string) bool {
	_, ok := q.query[param]
	return ok
}

func (q *request) operation(r *http.Request) operation {
	var op operation
	switch {
	case q.bucket == "" && q.key == "":
		op = serviceOps[r.Method]
	case q.bucket == "":
	case q.key != "":
		op = objectOps[r.Method]
	case r.Method == http.MethodGet && q.has("location"):
		op = location
	case r.Method == http.MethodGet && q.query["list-type"] != "2":
		// The first version of the list pages by other parameters.
	default:
		op = bucketOps[r.Method]
	}
	for k := range q.query {
		if k != "x-id" && !knows(op.params, k) {
			return operation{}
		}
	}
	for k, v := range r.Header {
		if !understood(strings.ToLower(k), v[0], op) {
			return operation{}
		}
	}
	return op
}

func knows(list, name string) bool {
	for have := range strings.FieldsSeq(list) {
		if have == name {
			return true
		}
	}
	return false
}

// understood reports whether a header may be ignored or is honoured. Those of
// S3 that change what a request means, such as the source of a copy, a
// condition on a write or a key to encrypt with, must not be ignored.
func understood(name, value string, op operation) bool {
	rest, amz := strings.CutPrefix(name, "x-amz-")
	switch {
	case !amz:
		return op.name != "PutObject" && op.name != "DeleteObject" || !strings.HasPrefix(name, "if-")
	case rest == "acl":
		return value == "private"
	case strings.HasPrefix(rest, "checksum-") && op.name == "PutObject":
		return checksums[rest] != nil || rest == "checksum-type" || rest == "checksum-algorithm"
	case strings.HasPrefix(rest, "meta-"):
		return true
	}
	return knows("date content-sha256 security-token user-agent storage-class sdk-checksum-algorithm checksum-mode", rest)
}
