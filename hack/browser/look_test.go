package browser_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/chromedp/cdproto/emulation"
	cdppage "github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
)

// Widths and colours that pages are looked at in.
const (
	wide   = 1280
	narrow = 360
	light  = "light"
	dark   = "dark"
)

// look sets width and colours.
func (p *page) look(width int64, colours string) {
	p.t.Helper()
	p.call(func(ctx context.Context) error {
		_, err := chromedp.Call(ctx, emulation.SetDeviceMetricsOverride, emulation.SetDeviceMetricsOverrideParams{
			Width: width, Height: 900, DeviceScaleFactor: 1, Mobile: width < 600,
		})
		if err != nil {
			return err
		}
		_, err = chromedp.Call(ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: colours}, {Name: "prefers-reduced-motion", Value: "reduce"}},
		})
		return err
	})
}

// check looks at the page as it is, narrow and wide, in light and dark: nothing may be
// wider than the window, and axe-core may find nothing serious. Pictures are kept under
// the page's name. Without scripts there is no axe-core, and another journey has looked.
func (p *page) check(name string) {
	p.t.Helper()
	if p.noScripts {
		return
	}
	for _, width := range []int64{narrow, wide} {
		for _, colours := range []string{dark, light} {
			p.look(width, colours)
			p.fits(name, width)
			p.accessible(fmt.Sprintf("%s, %d px, %s", name, width, colours))
			if shared.shots != "" {
				p.picture(filepath.Join(shared.shots, fmt.Sprintf("%s-%d-%s.png", name, width, colours)))
			}
		}
	}
}

// fits fails for a page that has to be scrolled sideways (WCAG 2.2, 1.4.10).
func (p *page) fits(name string, width int64) {
	p.t.Helper()
	if is := p.width(); is > width {
		p.t.Errorf("%s: the page is %d px wide in a window of %d px", name, is, width)
	}
}

func (p *page) width() int64 {
	p.t.Helper()
	is, ok := ask[int64](p, `document.documentElement.scrollWidth`)
	if !ok {
		p.fail("the page has no width")
	}
	return is
}

// picture is of the whole page.
func (p *page) picture(path string) {
	p.t.Helper()
	size, _ := ask[[]float64](p, `[document.documentElement.clientWidth, document.documentElement.scrollHeight]`)
	if len(size) != 2 {
		p.t.Error("the page has no size")
		return
	}
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	beyond := true
	shot, err := chromedp.Call(ctx, cdppage.CaptureScreenshot, cdppage.CaptureScreenshotParams{
		CaptureBeyondViewport: &beyond, Clip: &cdppage.Viewport{Width: size[0], Height: max(size[1], 600), Scale: 1},
	})
	if err != nil {
		p.t.Errorf("take a picture: %v", err)
		return
	}
	if err := os.WriteFile(path, shot.Data, 0o644); err != nil {
		p.t.Error(err)
	}
}

// violation is what axe-core finds.
type violation struct {
	ID     string `json:"id"`
	Impact string `json:"impact"`
	Help   string `json:"help"`
	Nodes  []struct {
		HTML    string `json:"html"`
		Summary string `json:"failureSummary"`
	} `json:"nodes"`
}

func (v violation) serious() bool { return v.Impact == "serious" || v.Impact == "critical" }

// String says what is wrong and where.
func (v violation) String() string {
	var where []string
	for _, node := range v.Nodes {
		where = append(where, node.HTML+"\n    "+strings.ReplaceAll(node.Summary, "\n", "\n    "))
	}
	return fmt.Sprintf("%s (%s): %s\n  %s", v.ID, v.Impact, v.Help, strings.Join(where, "\n  "))
}

// accessible fails for what axe-core calls serious or critical, by all of its rules.
func (p *page) accessible(what string) {
	p.t.Helper()
	for _, v := range p.violations(what) {
		if v.serious() {
			p.t.Errorf("%s: %s", what, v)
		} else {
			p.t.Logf("%s: %s", what, v)
		}
	}
}

// violations has axe-core look at the page.
func (p *page) violations(what string) []violation {
	p.t.Helper()
	p.do(chromedp.Evaluate[chromedp.Void](shared.axe + "; undefined"))
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	found, err := chromedp.Run(ctx, chromedp.Evaluate[string](
		`axe.run(document, {resultTypes: ["violations"]}).then(r => JSON.stringify(r.violations))`, chromedp.EvalAwaitPromise))
	if err != nil {
		p.fail("%s: run axe-core: %v", what, err)
	}
	var violations []violation
	if err := json.Unmarshal([]byte(found), &violations); err != nil {
		p.t.Fatal(err)
	}
	return violations
}
