// This file, and the one of the verifier beside it, are laid over the source of
// somebody else's verifier when it is measured; see bench/fas_verifiers.go.
package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
)

// question is one request as it came over the wire, and how often it is to be
// verified. Its body is read anew each time.
type question struct {
	Request string
	Times   int
}

// answer says why, where the request is not accepted.
type answer struct{ Refused string }

// serve answers a question a line until there are no more.
func serve(verify func(*http.Request) error) {
	in, out := bufio.NewReader(os.Stdin), json.NewEncoder(os.Stdout)
	for dec := json.NewDecoder(in); ; {
		var q question
		if err := dec.Decode(&q); err == io.EOF {
			return
		} else if err != nil {
			fatal(err)
		}
		a, err := q.answer(verify)
		if err != nil {
			fatal(err)
		}
		if err := out.Encode(a); err != nil {
			fatal(err)
		}
	}
}

func (q question) answer(verify func(*http.Request) error) (answer, error) {
	r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(q.Request)))
	if err != nil {
		return answer{}, err
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return answer{}, err
	}
	if err := r.ParseForm(); err != nil {
		return answer{}, err
	}
	rd := bytes.NewReader(body)
	for range q.Times {
		rd.Reset(body)
		r.Body = io.NopCloser(rd)
		if err := verify(r); err != nil {
			return answer{Refused: err.Error()}, nil
		}
	}
	return answer{}, nil
}

func fatal(err error) {
	fmt.Fprintln(os.Stderr, "verifier:", err)
	os.Exit(1)
}
