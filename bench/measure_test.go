package main

import (
	"context"
	"encoding/xml"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestReplaceSection(t *testing.T) {
	t.Parallel()
	const begin, end = "<!-- bench a -->\n", "<!-- /bench a -->\n"
	for name, c := range map[string]struct{ page, body string }{
		"no markers":        {"text\n", "new\n"},
		"no end":            {begin, "new\n"},
		"no beginning":      {end, "new\n"},
		"two beginnings":    {begin + begin + end, "new\n"},
		"two ends":          {begin + end + end, "new\n"},
		"end first":         {end + begin, "new\n"},
		"other section":     {"<!-- bench b -->\n<!-- /bench b -->\n", "new\n"},
		"marker in a line":  {"<!-- bench a --> x\n" + end, "new\n"},
		"marker in a body":  {begin + end, end},
		"comment in a body": {begin + end, "<!-- hidden -->"},
	} {
		if got, err := replaceSection(c.page, "a", c.body); !errors.Is(err, errMarkers) || got != "" {
			t.Errorf("%s: got %q, %v", name, got, err)
		}
	}
	other := "\n<!-- bench ab -->\nkept\n<!-- /bench ab -->\n"
	got, err := replaceSection("before\n"+begin+"old\n"+end+other, "a", "new\n")
	if want := "before\n" + begin + "new\n" + end + other; err != nil || got != want {
		t.Errorf("got %q, %v", got, err)
	}
	// It can be done again, and takes everything back.
	if again, err := replaceSection(got, "a", ""); err != nil || again != "before\n"+begin+end+other {
		t.Errorf("got %q, %v", again, err)
	}
}

func TestNewRow(t *testing.T) {
	t.Parallel()
	for _, bad := range []float64{0, math.Copysign(0, -1), -1, math.NaN(), math.Inf(1), math.Inf(-1)} {
		if _, err := newRow("n", "u", "ours", bad, "peer", 1); !errors.Is(err, errMeasurement) {
			t.Errorf("ours %v: %v", bad, err)
		}
		if _, err := newRow("n", "u", "ours", 1, "peer", bad); !errors.Is(err, errMeasurement) {
			t.Errorf("the peer's %v: %v", bad, err)
		}
	}
	got, err := newRow("n", "u", "ours", 3, "peer", 2)
	if want := (row{"n", "ours", "peer", 3, 2, "u", 1.5}); err != nil || got != want {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestRowsOf(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		names  []string
		values []float64
		want   error
	}{
		"nothing":       {nil, nil, errComparison},
		"no peer":       {[]string{"ours"}, []float64{1}, errComparison},
		"value missing": {[]string{"ours", "peer"}, []float64{1}, errComparison},
		"zero":          {[]string{"ours", "a", "b"}, []float64{1, 1, 0}, errMeasurement},
	} {
		if got, err := rowsOf("n", "u", c.names, c.values); !errors.Is(err, c.want) || got != nil {
			t.Errorf("%s: got %v, %v", name, got, err)
		}
	}
	got, err := rowsOf("n", "u", []string{"ours", "a", "b"}, []float64{1, 2, 4})
	want := []row{{"n", "ours", "a", 1, 2, "u", 0.5}, {"n", "ours", "b", 1, 4, "u", 0.25}}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("got %v, %v", got, err)
	}
}

func TestQuantile(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		values []float64
		q      float64
	}{{nil, 0.5}, {[]float64{1}, -0.1}, {[]float64{1}, 1.1}, {[]float64{1}, math.NaN()}} {
		if got := quantile(c.values, c.q); !math.IsNaN(got) {
			t.Errorf("quantile(%v, %v) = %v", c.values, c.q, got)
		}
	}
	values := []float64{5, 1, 4, 2, 3}
	for _, c := range []struct{ q, want float64 }{{0, 1}, {0.25, 2}, {0.5, 3}, {0.6, 3.4}, {0.99, 4.96}, {1, 5}} {
		if got := quantile(values, c.q); math.Abs(got-c.want) > 1e-9 {
			t.Errorf("quantile(%v) = %v, want %v", c.q, got, c.want)
		}
	}
	if got := median([]float64{4, 1}); got != 2.5 {
		t.Errorf("the median of two is %v", got)
	}
	if !slices.Equal(values, []float64{5, 1, 4, 2, 3}) {
		t.Error("the values were sorted in place")
	}
}

func TestTurns(t *testing.T) {
	t.Parallel()
	var order []int
	note := func(i int) error { order = append(order, i); return nil }
	if err := turns(t.Context(), 3, 4, note); err != nil {
		t.Fatal(err)
	}
	if want := []int{0, 1, 2, 1, 2, 0, 2, 0, 1, 0, 1, 2}; !slices.Equal(order, want) {
		t.Errorf("order %v, want %v", order, want)
	}
	ctx, cancel := context.WithCancel(t.Context())
	n := 0
	err := turns(ctx, 3, 4, func(int) error { n++; cancel(); return nil })
	if !errors.Is(err, context.Canceled) || n != 1 {
		t.Errorf("%d turns after a cancel: %v", n, err)
	}
	n = 0
	if err := turns(t.Context(), 3, 4, func(int) error { n++; return io.ErrUnexpectedEOF }); !errors.Is(err, io.ErrUnexpectedEOF) || n != 1 {
		t.Errorf("%d turns after an error: %v", n, err)
	}
}

func TestInterleave(t *testing.T) {
	t.Parallel()
	nothing := contender{"idle", func(int) error { return nil }}
	sleep := contender{"slow", func(n int) error { time.Sleep(time.Duration(n) * time.Millisecond); return nil }}
	broken := contender{"broken", func(int) error { return io.ErrUnexpectedEOF }}
	for name, c := range map[string]struct {
		cs     []contender
		rounds int
		slice  time.Duration
		want   error
	}{
		"alone":    {[]contender{sleep}, 1, time.Millisecond, errComparison},
		"no round": {[]contender{sleep, sleep}, 0, time.Millisecond, errComparison},
		"no time":  {[]contender{sleep, sleep}, 1, 0, errComparison},
		"broken":   {[]contender{sleep, broken}, 1, time.Millisecond, io.ErrUnexpectedEOF},
	} {
		if got, err := interleave(t.Context(), c.cs, c.rounds, c.slice); !errors.Is(err, c.want) || got != nil {
			t.Errorf("%s: got %v, %v", name, got, err)
		}
	}
	got, err := interleave(t.Context(), []contender{sleep, nothing}, 3, 4*time.Millisecond)
	if err != nil || len(got) != 2 || got[0] < 1e-3 || got[1] >= got[0] {
		t.Errorf("got %v seconds, %v", got, err)
	}
}

func TestNumber(t *testing.T) {
	t.Parallel()
	for v, want := range map[float64]string{1234.5: "1234", 12.34: "12.3", 1.234: "1.23", 0.12345: "0.123", 0.00012345: "0.000123"} {
		if got := number(v); got != want {
			t.Errorf("%v is printed %s, want %s", v, got, want)
		}
	}
}

func TestChart(t *testing.T) {
	t.Parallel()
	svg := fakeReport().charts[0].svg()
	type element struct {
		Class string  `xml:"class,attr"`
		Width float64 `xml:"width,attr"`
		Text  string  `xml:",chardata"`
	}
	var doc struct {
		XMLName xml.Name
		Label   string    `xml:"aria-label,attr"`
		Rects   []element `xml:"rect"`
		Texts   []element `xml:"text"`
	}
	if err := xml.Unmarshal([]byte(svg), &doc); err != nil {
		t.Fatalf("%v\n%s", err, svg)
	}
	if doc.XMLName.Space != "http://www.w3.org/2000/svg" || doc.Label != "Title & more" {
		t.Errorf("%v, %q", doc.XMLName, doc.Label)
	}
	var texts []string
	for _, e := range doc.Texts {
		texts = append(texts, e.Text)
	}
	want := []string{"Title & more", "ours", "peer <1>", "peer 2", "seal | open", "3.00 MB/s", "4.00 MB/s", "0.5 MB/s", "open", "30.0 ns", "20.0 ns"}
	if !slices.Equal(texts, want) {
		t.Errorf("texts are %q", texts)
	}
	// Ground, three of the legend, then the bars, to scale within a unit.
	full := float64(width - left - right)
	var widths []float64
	for _, r := range doc.Rects[4:] {
		widths = append(widths, r.Width)
	}
	if want := []float64{full * 3 / 4, full, full / 8, full, math.Floor(full * 2 / 3)}; !reflect.DeepEqual(widths, want) {
		t.Errorf("bars are %v wide, want %v", widths, want)
	}
	for i, class := range []string{"s0", "s1", "s2", "s0", "s1"} {
		if doc.Rects[4+i].Class != class {
			t.Errorf("bar %d is drawn as %s, want %s", i, doc.Rects[4+i].Class, class)
		}
	}
	if strings.Count(svg, "prefers-color-scheme:dark") != 1 {
		t.Error("no colours for the dark")
	}
}

func TestParts(t *testing.T) {
	t.Parallel()
	for _, bad := range []string{"", "decode", "decode;dur=", "decode;dur=x", "decode;dur=NaN", "decode;dur=Inf", "decode;dur=-1",
		"guess;dur=1", "decode;dur=1,query;dur=1", "decode;dur=1, "} {
		if got, err := parts(bad); !errors.Is(err, errMeasurement) || got != nil {
			t.Errorf("%q: got %v, %v", bad, got, err)
		}
	}
	got, err := parts("capture;dur=0.5, decode;dur=0.25, firewall;dur=2, firewall.verify;dur=9, open;dur=1, query;dur=3, lease;dur=0, complete;dur=4, encode;dur=7")
	want := map[string]float64{"admit": 2.75, "retrieve": 4, "complete": 4, "encode": 7}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, %v", got, err)
	}
}

// TestPlotsAreReadable looks at the plots that are committed: no name runs into
// a bar, and no value out of the picture, at a generous width of a letter.
func TestPlotsAreReadable(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob(filepath.Join("..", "doc", "plots", "*.svg"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no plots: %v", err)
	}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		var doc struct {
			Texts []struct {
				X     int    `xml:"x,attr"`
				Class string `xml:"class,attr"`
				Text  string `xml:",chardata"`
			} `xml:"text"`
		}
		if err := xml.Unmarshal(b, &doc); err != nil {
			t.Fatalf("%s: %v", f, err)
		}
		for _, e := range doc.Texts {
			limit := width
			if e.X < left && e.Class == "" {
				limit = left
			}
			if end := e.X + len([]rune(e.Text))*7; end > limit {
				t.Errorf("%s: %q ends at %d of %d", filepath.Base(f), e.Text, end, limit)
			}
		}
	}
}
