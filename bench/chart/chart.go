// Package chart draws bar charts as SVG.
package chart

import (
	"fmt"
	"html"
	"math"
	"strings"
)

// Bars is groups of horizontal bars, one bar for each series in every group. Each group has a scale of its own, on
// which its longest bar takes the full width, so seconds and milliseconds fit into one chart.
type Bars struct {
	Title  string
	Series []string
	Groups []Group
}

// Group is bars that are compared with each other.
type Group struct {
	Label string
	Bars  []Bar // in the order of the series
}

// Bar has a length, NaN for no bar, and a text at its end.
type Bar struct {
	Value float64
	Label string
}

// Measures of a chart in pixels.
const (
	width    = 760
	left     = 230 // where bars begin
	longest  = 420
	barSize  = 13
	groupGap = 10
	top      = 56 // where groups begin
)

// colours are those of the series. Colour-blind people can tell them apart.
func colour(series int) string {
	return []string{"#999999", "#56b4e9", "#e69f00", "#009e73", "#cc79a7", "#0072b2"}[series%6]
}

// SVG returns the chart as a document.
func (b Bars) SVG() string {
	var out strings.Builder
	height := top
	for _, g := range b.Groups {
		height += len(g.Bars)*barSize + groupGap
	}
	fmt.Fprintf(&out, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" font-family="sans-serif" font-size="11">`+"\n", width, height)
	fmt.Fprintf(&out, `<rect width="%d" height="%d" fill="white"/>`+"\n", width, height)
	text(&out, 10, 18, "start", "bold", b.Title)
	for i, name := range b.Series {
		x := 10 + i*130
		fmt.Fprintf(&out, `<rect x="%d" y="29" width="10" height="10" fill="%s"/>`+"\n", x, colour(i))
		text(&out, x+14, 38, "start", "normal", name)
	}
	y := top
	for _, g := range b.Groups {
		g.draw(&out, y)
		y += len(g.Bars)*barSize + groupGap
	}
	out.WriteString("</svg>\n")
	return out.String()
}

// draw draws a group from y downwards.
func (g Group) draw(out *strings.Builder, y int) {
	text(out, left-8, y+len(g.Bars)*barSize/2+4, "end", "normal", g.Label)
	most := 0.0
	for _, bar := range g.Bars {
		if bar.Value > most {
			most = bar.Value
		}
	}
	for i, bar := range g.Bars {
		length := 0
		if most > 0 && !math.IsNaN(bar.Value) {
			length = max(1, int(math.Round(bar.Value/most*longest)))
		}
		fmt.Fprintf(out, `<rect x="%d" y="%d" width="%d" height="%d" fill="%s"/>`+"\n", left, y+i*barSize, length,
			barSize-2, colour(i))
		text(out, left+length+5, y+(i+1)*barSize-3, "start", "normal", bar.Label)
	}
}

func text(out *strings.Builder, x, y int, anchor, weight, content string) {
	fmt.Fprintf(out, `<text x="%d" y="%d" text-anchor="%s" font-weight="%s">%s</text>`+"\n", x, y, anchor, weight,
		html.EscapeString(content))
}
