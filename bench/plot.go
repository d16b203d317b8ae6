package main

import (
	"fmt"
	"html"
	"strings"
)

// chart is a bar chart of rows: one group a name, ours first, then each peer.
// Bars start at zero and carry their values, so no axis is needed.
type chart struct {
	file, title string
	rows        []row
}

type group struct {
	name, unit string
	bars       []bar
}

type bar struct {
	who   string
	value float64
}

// groups gathers rows that follow one another with the same name and unit.
func (c chart) groups() (out []group) {
	for _, r := range c.rows {
		if n := len(out); n == 0 || out[n-1].name != r.Name || out[n-1].unit != r.Unit {
			out = append(out, group{r.Name, r.Unit, []bar{{r.Ours, r.OursV}}})
		}
		g := &out[len(out)-1]
		g.bars = append(g.bars, bar{r.Peer, r.PeerV})
	}
	return out
}

const (
	width     = 760
	left      = 160 // where bars start
	right     = 120 // room for a value after the longest bar
	barHeight = 14
	barStep   = 17
	groupGap  = 14
	rowHeight = 20
)

// A picture in a page does not know the page's colours, only the reader's
// preference: it brings its own ground with it.
const style = `<style>
text{font:12px system-ui,sans-serif;fill:#1f2328}.t{font-size:14px;font-weight:600}.g{fill:#fff}
.s0{fill:#0969da}.s1{fill:#8c959f}.s2{fill:#bc8c3c}.s3{fill:#8250df}.s4{fill:#1a7f37}.s5{fill:#cf222e}.s6{fill:#1b7c83}
@media(prefers-color-scheme:dark){text{fill:#e6edf3}.g{fill:#0d1117}
.s0{fill:#58a6ff}.s1{fill:#6e7681}.s2{fill:#c69a4c}.s3{fill:#a371f7}.s4{fill:#3fb950}.s5{fill:#f85149}.s6{fill:#39c5cf}}
</style>
`

// svg draws the chart. Series are told apart by place and legend, not by
// colour alone.
func (c chart) svg() string {
	groups := c.groups()
	var who []string
	series := map[string]int{}
	longest := map[string]float64{} // by unit: bars of two units do not compare
	for _, g := range groups {
		for _, b := range g.bars {
			if _, ok := series[b.who]; !ok {
				series[b.who] = len(who)
				who = append(who, b.who)
			}
			longest[g.unit] = max(longest[g.unit], b.value)
		}
	}
	var b strings.Builder
	y := 24
	text := func(x, y int, class, s string) {
		if class != "" {
			class = ` class="` + class + `"`
		}
		fmt.Fprintf(&b, `<text x="%d" y="%d"%s>%s</text>`+"\n", x, y, class, html.EscapeString(s))
	}
	rect := func(x, y, w, h, s int) {
		fmt.Fprintf(&b, `<rect x="%d" y="%d" width="%d" height="%d" rx="2" class="s%d"/>`+"\n", x, y, w, h, s%7)
	}
	text(12, y, "t", c.title)
	for i, w := range who {
		y += rowHeight
		rect(left, y-10, 12, 12, i)
		text(left+18, y, "", w)
	}
	y += groupGap
	for _, g := range groups {
		text(12, y+len(g.bars)*barStep/2+2, "", g.name)
		for _, x := range g.bars {
			w := max(1, int(x.value/longest[g.unit]*(width-left-right)))
			rect(left, y, w, barHeight, series[x.who])
			text(left+w+6, y+barHeight-3, "", number(x.value)+" "+g.unit)
			y += barStep
		}
		y += groupGap
	}
	return fmt.Sprintf(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d" role="img" aria-label="%s">`+"\n",
		width, y, width, y, html.EscapeString(c.title)) + style +
		fmt.Sprintf(`<rect width="%d" height="%d" class="g"/>`+"\n", width, y) + b.String() + "</svg>\n"
}
