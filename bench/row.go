package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"text/tabwriter"
)

// row compares one of ours with one peer. Values are medians unless the name
// says another quantile; Ratio is ours over the peer's.
type row struct {
	Name  string  `json:"name"`
	Ours  string  `json:"ours"`
	Peer  string  `json:"peer"`
	OursV float64 `json:"ours_value"`
	PeerV float64 `json:"peer_value"`
	Unit  string  `json:"unit"`
	Ratio float64 `json:"ratio"`
}

var (
	errMeasurement = errors.New("not a measurement")
	errComparison  = errors.New("nothing to compare")
)

// newRow refuses values that no measurement has: a table with a zero or a NaN
// in it hides that something did not run.
func newRow(name, unit, ours string, oursV float64, peer string, peerV float64) (row, error) {
	for _, v := range []float64{oursV, peerV} {
		if !(v > 0) || math.IsInf(v, 0) {
			return row{}, fmt.Errorf("%s: %w: %v", name, errMeasurement, v)
		}
	}
	return row{name, ours, peer, oursV, peerV, unit, oursV / peerV}, nil
}

// rowsOf compares the first value with each of the others.
func rowsOf(name, unit string, names []string, values []float64) ([]row, error) {
	if len(names) < 2 || len(names) != len(values) {
		return nil, fmt.Errorf("%w: %s needs ours, a peer and a value for each", errComparison, name)
	}
	var out []row
	for i := 1; i < len(names); i++ {
		r, err := newRow(name, unit, names[0], values[0], names[i], values[i])
		if err != nil {
			return nil, err
		}
		out = append(out, r)
	}
	return out, nil
}

var columns = []string{"name", "ours", "peer", "ours_value", "peer_value", "unit", "ratio"}

func (r row) cells() []string {
	return []string{r.Name, r.Ours, r.Peer, number(r.OursV), number(r.PeerV), r.Unit, number(r.Ratio)}
}

// number keeps three digits, which is more than a shared machine repeats.
func number(v float64) string {
	switch {
	case v >= 100:
		return fmt.Sprintf("%.0f", v)
	case v >= 10:
		return fmt.Sprintf("%.1f", v)
	case v >= 1:
		return fmt.Sprintf("%.2f", v)
	}
	return fmt.Sprintf("%.3g", v)
}

func writeTable(w io.Writer, rows []row) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, strings.Join(columns, "\t"))
	for _, r := range rows {
		fmt.Fprintln(t, strings.Join(r.cells(), "\t"))
	}
	return t.Flush()
}

func writeJSON(w io.Writer, rows []row) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	for _, r := range rows {
		if err := e.Encode(r); err != nil {
			return err
		}
	}
	return nil
}

func markdown(rows []row) string {
	var b strings.Builder
	line := func(cells []string) {
		for i, c := range cells {
			cells[i] = strings.ReplaceAll(c, "|", `\|`)
		}
		b.WriteString("| " + strings.Join(cells, " | ") + " |\n")
	}
	line(slices.Clone(columns))
	b.WriteString("|---|---|---|---:|---:|---|---:|\n")
	for _, r := range rows {
		line(r.cells())
	}
	return b.String()
}

// quantile returns the value below which q of the values lie, between two
// values where q falls between them. It is NaN without values,
// and for a q that is no share.
func quantile(values []float64, q float64) float64 {
	if len(values) == 0 || !(q >= 0 && q <= 1) {
		return math.NaN()
	}
	s := slices.Sorted(slices.Values(values))
	at := q * float64(len(s)-1)
	lo := int(at)
	hi := min(lo+1, len(s)-1)
	return s[lo] + (s[hi]-s[lo])*(at-float64(lo))
}

func median(values []float64) float64 { return quantile(values, 0.5) }
