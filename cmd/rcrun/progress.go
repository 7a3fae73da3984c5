package main

import (
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/docker/go-units"
	"github.com/opencontainers/go-digest"
	"github.com/rcrun/rcrun/layers/progress"
	"golang.org/x/term"
)

// layerLines shows how the layers of an image get on, a line for each, as docker does it. On a terminal the lines
// change in place; elsewhere each is written once its layer is there, and so it is for more lines than a terminal has.
type layerLines struct {
	out    io.Writer
	width  int                            // of the terminal in columns, 0 for none
	height int                            // of the terminal in lines
	title  func(name string) string       // what comes before the lines
	states map[progress.LayerState]string // the words for the states of a layer
	lines  []string                       // as shown
	places map[digest.Digest][]int        // a layer's lines: an image may have one several times
}

// pullProgress shows a pull on a file, and nowhere with --quiet.
func pullProgress(file *os.File, quiet bool) progress.Reporter {
	if quiet {
		return nil
	}
	return newLayerLines(file, func(name string) string {
		repository, version := splitName(name)
		return fmt.Sprintf("%s: Pulling from %s", version, repository)
	}, map[progress.LayerState]string{
		progress.LayerWaiting: "Waiting", progress.LayerTransfer: "Downloading",
		progress.LayerTransferred: "Extracting",
		progress.LayerDone:        "Pull complete", progress.LayerExists: "Already exists",
	})
}

// pushProgress shows a push on a file, and nowhere with --quiet.
func pushProgress(file *os.File, quiet bool) progress.Reporter {
	if quiet {
		return nil
	}
	return newLayerLines(file, func(name string) string {
		return fmt.Sprintf("The push refers to repository [%s]", name[:strings.LastIndexByte(name, ':')])
	}, map[progress.LayerState]string{
		progress.LayerWaiting: "Preparing", progress.LayerTransfer: "Pushing", progress.LayerTransferred: "Pushing",
		progress.LayerDone: "Pushed", progress.LayerExists: "Layer already exists",
	})
}

// loadProgress shows a load on a terminal, and nowhere else.
func loadProgress(file *os.File, quiet bool) progress.Reporter {
	if quiet || !term.IsTerminal(int(file.Fd())) {
		return nil
	}
	return newLayerLines(file, func(name string) string { return clearLine + "Loading " + name },
		map[progress.LayerState]string{
			progress.LayerWaiting: "Waiting", progress.LayerTransfer: "Loading layer",
			progress.LayerTransferred: "Loading layer",
			progress.LayerDone:        "Loaded layer", progress.LayerExists: "Layer already exists",
		})
}

func newLayerLines(file *os.File, title func(string) string, states map[progress.LayerState]string) *layerLines {
	l := &layerLines{out: file, title: title, states: states}
	if term.IsTerminal(int(file.Fd())) {
		l.width, l.height = 80, 24
		if width, height, err := term.GetSize(int(file.Fd())); err == nil && width > 0 && height > 0 {
			l.width, l.height = width, height
		}
	}
	return l
}

// splitName parts the full name of an image into repository, without the registry, and tag or digest.
func splitName(name string) (repository, version string) {
	_, repository, _ = strings.Cut(name, "/")
	if repository, version, ok := strings.Cut(repository, "@"); ok {
		return repository, version
	}
	colon := strings.LastIndexByte(repository, ':')
	return repository[:colon], repository[colon+1:]
}

// Begin writes the title, and on a terminal a line for each layer.
func (l *layerLines) Begin(name string, all []digest.Digest) {
	fmt.Fprintln(l.out, l.title(name))
	l.lines, l.places = make([]string, len(all)), map[digest.Digest][]int{}
	if len(all) >= l.height {
		l.width = 0
	}
	for i, layer := range all {
		l.places[layer] = append(l.places[layer], i)
		l.lines[i] = l.line(layer, "Waiting")
		if l.width > 0 {
			fmt.Fprintln(l.out, l.lines[i])
		}
	}
}

// Layer shows the state of a layer.
func (l *layerLines) Layer(layer digest.Digest, state progress.LayerState, done, total int64) {
	text := l.states[state]
	if state == progress.LayerTransfer {
		text += " " + bar(done, total)
	}
	for _, i := range l.places[layer] {
		l.lines[i] = l.line(layer, text)
		switch {
		case l.width > 0:
			up := len(l.lines) - i
			fmt.Fprintf(l.out, "\x1b[%dA"+clearLine+"%s\x1b[%dB\r", up, l.lines[i], up)
		case state >= progress.LayerDone:
			fmt.Fprintln(l.out, l.lines[i])
		}
	}
}

// line returns a layer's line, no longer than the terminal is wide: it is to stay one.
func (l *layerLines) line(layer digest.Digest, text string) string {
	line := layer.Encoded()[:12] + ": " + text
	if l.width > 0 && len(line) >= l.width {
		line = line[:l.width-1]
	}
	return line
}

// clearLine has a terminal forget the line that it is at.
const clearLine = "\r\x1b[K"

// progressLine shows on standard error, if that is a terminal, how far something is that may take long. end removes
// the line; until then nothing else may be printed there.
func progressLine(what string, quiet bool) (show progress.Func, end func()) {
	if quiet || !term.IsTerminal(int(os.Stderr.Fd())) {
		return nil, func() {}
	}
	shown := false
	show = func(done, total int64) {
		shown = true
		fmt.Fprintf(os.Stderr, clearLine+"%s %s", what, bar(done, total))
	}
	return show, func() {
		if shown {
			fmt.Fprint(os.Stderr, clearLine)
		}
	}
}

const barWidth = 25

// bar shows how much of something is done.
func bar(done, total int64) string {
	if total <= 0 {
		return units.HumanSize(float64(done))
	}
	filled := int(barWidth * min(done, total) / total)
	return fmt.Sprintf("[%s>%s] %s/%s", strings.Repeat("=", filled), strings.Repeat(" ", barWidth-filled),
		units.HumanSize(float64(done)), units.HumanSize(float64(total)))
}
