package web

import (
	"math"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// contrasts are the pairs of colours that lie on each other, with the least contrast of
// WCAG 2.2: 4.5 for text (1.4.3), 3 for edges of what can be used (1.4.11).
var contrasts = map[float64][][2]string{
	4.5: {
		{"ink", "paper"},
		{"ink", "glow"},
		{"ink", "surface"},
		{"ink", "sunk"},
		{"ink", "bad-soft"},
		{"ink", "accent-soft"},
		{"ink-soft", "paper"},
		{"ink-soft", "glow"},
		{"ink-soft", "surface"},
		{"ink-soft", "sunk"},
		{"accent", "paper"},
		{"accent", "glow"},
		{"accent", "surface"},
		{"accent", "sunk"},
		{"accent", "accent-soft"},
		{"accent-strong", "surface"},
		{"accent-strong", "accent-soft"},
		{"accent-strong", "paper"},
		{"on-accent", "accent"},
		{"on-accent", "accent-strong"},
		{"good", "good-soft"},
		{"bad", "bad-soft"},
		{"bad", "surface"},
		{"bad", "paper"},
		{"bad", "glow"},
		{"surface", "bad"},
		{"warn", "warn-soft"},
	},
	3: {{"edge", "surface"}, {"edge", "paper"}, {"accent", "glow"}, {"bad", "surface"}},
}

func TestColoursCanBeToldApart(t *testing.T) {
	t.Parallel()
	css, err := staticFiles.ReadFile("static/lethe.css")
	if err != nil {
		t.Fatal(err)
	}
	light, rest, _ := strings.Cut(string(css), "prefers-color-scheme: dark")
	dark, _, _ := strings.Cut(rest, "Ground")
	for name, block := range map[string]string{"light": light, "dark": dark} {
		colours := coloursOf(t, block)
		for least, pairs := range contrasts {
			for _, pair := range pairs {
				front, okFront := colours[pair[0]]
				back, okBack := colours[pair[1]]
				if !okFront || !okBack {
					t.Errorf("%s: no colour %v", name, pair)
					continue
				}
				if got := (max(front, back) + .05) / (min(front, back) + .05); got < least {
					t.Errorf("%s: %s on %s has the contrast %.2f, want %.1f", name, pair[0], pair[1], got, least)
				}
			}
		}
	}
}

var colour = regexp.MustCompile(`--([a-z-]+): #([0-9a-f]{6});`)

// coloursOf gives the relative luminance of each custom property that is a colour.
func coloursOf(t *testing.T, css string) map[string]float64 {
	t.Helper()
	colours := map[string]float64{}
	for _, match := range colour.FindAllStringSubmatch(css, -1) {
		rgb, err := strconv.ParseUint(match[2], 16, 32)
		if err != nil {
			t.Fatal(err)
		}
		colours[match[1]] = .2126*linear(rgb>>16) + .7152*linear(rgb>>8&255) + .0722*linear(rgb&255)
	}
	return colours
}

func linear(channel uint64) float64 {
	c := float64(channel) / 255
	if c <= .04045 {
		return c / 12.92
	}
	return math.Pow((c+.055)/1.055, 2.4)
}
