package chart

import (
	"encoding/xml"
	"errors"
	"io"
	"math"
	"strings"
	"testing"
)

func TestSVG(t *testing.T) {
	chart := Bars{Title: "times", Series: []string{"a", "b & c"}, Groups: []Group{
		{Label: "first", Bars: []Bar{{Value: 1, Label: "1 ms"}, {Value: 4, Label: "4 ms"}}},
		{Label: "<second>", Bars: []Bar{{Value: 3, Label: "3 ms"}, {Value: math.NaN(), Label: ""}}},
	}}
	var widths, texts []string
	decoder := xml.NewDecoder(strings.NewReader(chart.SVG()))
	for {
		token, err := decoder.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		switch token := token.(type) {
		case xml.StartElement:
			for _, attr := range token.Attr {
				if token.Name.Local == "rect" && attr.Name.Local == "width" {
					widths = append(widths, attr.Value)
				}
			}
		case xml.CharData:
			if s := strings.TrimSpace(string(token)); s != "" {
				texts = append(texts, s)
			}
		}
	}
	// The background, two squares of the legend, the bars.
	if got := strings.Join(widths, " "); got != "760 10 10 105 420 420 0" {
		t.Errorf("widths: %s", got)
	}
	if got := strings.Join(texts, "|"); got != "times|a|b & c|first|1 ms|4 ms|<second>|3 ms" {
		t.Errorf("texts: %s", got)
	}
}
