package cloud

import (
	"encoding/base64"
	"encoding/xml"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// maxKeys is the most entries that one page of a list has.
const maxKeys = 1000

type listResult struct {
	XMLName               xml.Name `xml:"http://s3.amazonaws.com/doc/2006-03-01/ ListBucketResult"`
	Name                  string
	Prefix                string
	Delimiter             string `xml:",omitempty"`
	EncodingType          string `xml:",omitempty"`
	StartAfter            string `xml:",omitempty"`
	KeyCount              int
	MaxKeys               int
	IsTruncated           bool
	ContinuationToken     string `xml:",omitempty"`
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

func (s *Server) list(w http.ResponseWriter, q request) error {
	in := listQuery{prefix: q.query["prefix"], delimiter: q.query["delimiter"], after: q.query["start-after"], limit: maxKeys}
	if q.has("max-keys") {
		n, err := strconv.ParseUint(q.query["max-keys"], 10, 31)
		if err != nil {
			return errInvalid
		}
		in.limit = min(int(n), maxKeys)
	}
	if q.has("continuation-token") {
		var err error
		if in.after, in.rolledUp, err = parseToken(q.query["continuation-token"]); err != nil {
			return err
		}
	}
	show := func(s string) string { return s }
	switch q.query["encoding-type"] {
	case "":
	case "url":
		show = escapeKey
	default:
		return errInvalid
	}
	page, err := s.store.list(q.bucket, in)
	if err != nil {
		return err
	}
	res := listResult{Name: q.bucket, Prefix: show(in.prefix), Delimiter: show(in.delimiter), EncodingType: q.query["encoding-type"],
		StartAfter: show(q.query["start-after"]), MaxKeys: in.limit, ContinuationToken: q.query["continuation-token"],
		KeyCount: len(page.objects) + len(page.prefixes), IsTruncated: page.more}
	for _, o := range page.objects {
		res.Contents = append(res.Contents, listEntry{show(o.Key), o.Modified.Format("2006-01-02T15:04:05.000Z"), `"` + o.ETag + `"`, o.Size, "STANDARD"})
	}
	for _, p := range page.prefixes {
		res.CommonPrefixes = append(res.CommonPrefixes, commonPrefix{show(p)})
	}
	if page.more {
		res.NextContinuationToken = token(page.last, page.lastRolledUp)
	}
	writeXML(w, http.StatusOK, res)
	return nil
}

// A token says after which entry a list goes on: after one key, or after all
// keys that one common prefix stands for. It is a position and grants nothing.
func token(last string, rolledUp bool) string {
	kind := "k"
	if rolledUp {
		kind = "p"
	}
	return base64.RawURLEncoding.EncodeToString([]byte(kind + last))
}

func parseToken(s string) (after string, rolledUp bool, err error) {
	b, err := base64.RawURLEncoding.Strict().DecodeString(s)
	if err != nil || len(b) < 2 || b[0] != 'k' && b[0] != 'p' {
		return "", false, errInvalid
	}
	return string(b[1:]), b[0] == 'p', nil
}

// escapeKey is the encoding that clients ask for with encoding-type=url.
func escapeKey(s string) string {
	return strings.NewReplacer("+", "%20", "%2F", "/").Replace(url.QueryEscape(s))
}
