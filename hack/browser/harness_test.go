package browser_test

import (
	"slices"
	"strings"
	"testing"
)

// TestFaultsAreSeen: the journeys would notice what no page of ours should do. A page is
// made to do it.
func TestFaultsAreSeen(t *testing.T) {
	t.Parallel()
	p := newPage(t, newStand(t))
	p.open("/sign-in")
	p.heading("Sign in")
	ask[bool](p, `setTimeout(() => { throw new Error("a fault of a script") }), true`)
	ask[bool](p, `document.body.append(Object.assign(document.createElement("img"), {src: "https://elsewhere.example/x.png", alt: ""})), true`)
	ask[bool](p, `document.body.setAttribute("style", "color: red"), true`)
	for _, fault := range []string{"exception", "elsewhere.example"} {
		p.awaitFault(fault)
	}
	p.mu.Lock()
	p.faults = nil
	p.mu.Unlock()

	ask[bool](p, `(() => {
		const wide = Object.assign(document.createElement("div"), {textContent: "wide"});
		wide.style.width = "3000px";
		document.querySelector("main").append(document.createElement("input"), wide);
		return true;
	})()`)
	found := p.violations("a page with a field without a label")
	if !slices.ContainsFunc(found, func(v violation) bool { return v.ID == "label" && v.serious() }) {
		t.Errorf("axe-core does not find a field without a label: %v", found)
	}
	if p.width() <= wide {
		t.Errorf("a page that is too wide is %d px wide", p.width())
	}
	p.mu.Lock()
	p.faults = nil
	p.mu.Unlock()
}

// awaitFault waits until the browser has complained of something.
func (p *page) awaitFault(words string) {
	p.t.Helper()
	p.poll("a complaint about "+words, func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		return slices.ContainsFunc(p.faults, func(fault string) bool { return strings.Contains(fault, words) })
	})
}
