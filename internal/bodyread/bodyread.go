// Package bodyread is for round trippers that sign the body of a request. It
// holds the whole body in memory: it is not for uploads without a bound.
package bodyread

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
)

// Clone reads and closes the body, as a RoundTripper must, and returns a copy of
// the request with a body of its own that can be sent once. r itself is not
// changed otherwise. An error is the body's, or says that the body has not the
// length that the request gives: what was cut off is not signed as the whole.
func Clone(r *http.Request) (clone *http.Request, body []byte, err error) {
	if r.Body != nil {
		body, err = io.ReadAll(r.Body)
		if cerr := r.Body.Close(); err == nil {
			err = cerr
		}
		if err != nil {
			return nil, nil, err
		}
		if r.ContentLength > 0 && r.ContentLength != int64(len(body)) {
			return nil, nil, fmt.Errorf("the request gives ContentLength %d, and its body has %d bytes", r.ContentLength, len(body))
		}
	}
	clone = r.Clone(r.Context())
	clone.Body, clone.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	if len(body) == 0 {
		clone.Body = http.NoBody
	}
	clone.GetBody = nil
	return clone, body, nil
}
