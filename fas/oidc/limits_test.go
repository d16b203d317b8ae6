package oidc

import (
	"errors"
	"math"
	"net/http"
	"strings"
	"testing"
	"time"
)

// The largest limit there is does not leave the body, signed as empty, to
// whoever reads it next.
func TestBodyLimits(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	token := p.acme.token(bind(t, p.key))
	for _, c := range []struct {
		name         string
		limit        int64
		signed, sent string
		want         error
	}{
		{"no limit to speak of, another body", math.MaxInt64, "", testBody, ErrPayload},
		{"no limit to speak of", math.MaxInt64, testBody, testBody, nil},
		{"at the limit", int64(len(testBody)), testBody, testBody, nil},
		{"above", int64(len(testBody)) - 1, testBody, testBody, ErrTooLarge},
		{"the least limit there is", math.MinInt64, "", testBody, ErrTooLarge},
	} {
		r, err := http.NewRequest(http.MethodPost, origin+"/Op", strings.NewReader(c.sent))
		if err != nil {
			t.Fatal(err)
		}
		if err := SignRequest(r, []byte(c.signed), token, p.key, time.Now()); err != nil {
			t.Fatal(err)
		}
		r.RequestURI = "/Op"
		_, got, err := Capture(r, c.limit)
		if !errors.Is(err, c.want) || (err == nil) != (c.want == nil) || err == nil && string(got) != c.sent {
			t.Errorf("%s: %q, %v, want %v", c.name, got, err, c.want)
		}
	}
}
