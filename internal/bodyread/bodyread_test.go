package bodyread

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
)

type source struct {
	io.Reader
	closed   int
	closeErr error
}

func (s *source) Close() error { s.closed++; return s.closeErr }

func TestClone(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	for name, c := range map[string]struct {
		body *source
		want string
		err  error
	}{
		"cannot be read":   {&source{Reader: io.MultiReader(strings.NewReader("a"), failing{broken})}, "", broken},
		"cannot be closed": {&source{Reader: strings.NewReader("a"), closeErr: broken}, "", broken},
		"empty":            {&source{Reader: strings.NewReader("")}, "", nil},
		"a body":           {&source{Reader: strings.NewReader("abc")}, "abc", nil},
	} {
		r, err := http.NewRequest(http.MethodPost, "http://x/", c.body)
		if err != nil {
			t.Fatal(err)
		}
		r.GetBody = func() (io.ReadCloser, error) { return nil, broken }
		got, body, err := Clone(r)
		if !errors.Is(err, c.err) || string(body) != c.want || c.body.closed != 1 {
			t.Errorf("%s: %q, %v, closed %d times", name, body, err, c.body.closed)
			continue
		}
		if err != nil {
			continue
		}
		sent, err := io.ReadAll(got.Body)
		if err != nil || string(sent) != c.want || got.ContentLength != int64(len(c.want)) || got.GetBody != nil || r.GetBody == nil || got == r {
			t.Errorf("%s: %q of %d is sent, %v", name, sent, got.ContentLength, err)
		}
		if c.want == "" && got.Body != http.NoBody {
			t.Errorf("%s: not the body of a request without one", name)
		}
	}
	none, err := http.NewRequest(http.MethodGet, "http://x/", nil)
	if err != nil {
		t.Fatal(err)
	}
	if got, body, err := Clone(none); err != nil || len(body) > 0 || got.Body != http.NoBody {
		t.Errorf("no body: %q, %v", body, err)
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

// A body that ended early is not the body that was meant.
func TestLengthsThatDiffer(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		length int64
		ok     bool
	}{"longer": {10, false}, "shorter": {2, false}, "as long": {5, true}, "not said": {-1, true}, "left at zero": {0, true}} {
		r, err := http.NewRequest(http.MethodPost, "http://x/", io.NopCloser(strings.NewReader("short")))
		if err != nil {
			t.Fatal(err)
		}
		r.ContentLength = c.length
		if _, body, err := Clone(r); (err == nil) != c.ok || c.ok != (string(body) == "short") {
			t.Errorf("%s: %q, %v", name, body, err)
		}
	}
}
