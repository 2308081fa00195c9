package web

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	browserlog "github.com/chromedp/cdproto/log"
	cdppage "github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"github.com/lethe-dev/lethe/portal"
)

// setting and now are the environment's and the clock's own: a browser is not faked.
var (
	setting = os.Getenv //nolint:forbidigo // The stage of the tests is set from outside.
	now     = time.Now  //nolint:forbidigo // A browser's patience is real.
)

// TestHowTheRunPageLooks opens the page of a run in each state in a real browser, narrow
// and wide, light and dark: nothing may be wider than the window, the browser may complain
// of nothing, and axe-core may find nothing serious. Pictures go to LETHE_TEST_SHOTS.
func TestHowTheRunPageLooks(t *testing.T) {
	t.Parallel()
	if setting("LETHE_TEST_SYSTEM") != "1" {
		t.Skip("the page of a run is not looked at: that needs a browser and is part of the system tests (LETHE_TEST_SYSTEM=1)")
	}
	browser := startChromium(t)
	cache := setting("LETHE_CACHE")
	if cache == "" {
		cache = filepath.Join("..", "..", ".cache")
	}
	axe, err := os.ReadFile(filepath.Join(cache, "bin", "axe.min.js"))
	if err != nil {
		t.Fatalf("%v; `lab tools axe` brings it", err)
	}
	for name, view := range runsInAllStates() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := fullLive(view)
			if !view.Run.Seen.StartedAt.IsZero() {
				part := portal.LogPart{Skipped: 1204}
				for i := range 60 {
					part.Lines = append(part.Lines, portal.LogLine{Position: portal.LogPosition{At: start, Same: i + 1}, Text: fmt.Sprintf("step %d  loss %.4f  lr 3.0e-04  1.93 it/s", 4090+i, 0.47-float64(i)/1500)})
				}
				f.parts <- part
			}
			l := &looker{t: t, axe: string(axe), origin: stoodUp(t, f)}
			l.open(browser, "/runs/"+string(view.Run.ID), len(f.points) > 1)
			l.look("run-" + name)
		})
	}
}

// stoodUp serves the pages to a browser that is signed in, whatever it sends.
func stoodUp(t *testing.T, f *fakeLive) string {
	t.Helper()
	s, _ := liveServer(t, f)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.AddCookie(&http.Cookie{Name: cookieSession, Value: secretOf("ada")})
		flusher, _ := w.(http.Flusher)
		// The clock of the test stands still, so that a deadline would have passed.
		s.ServeHTTP(withoutDeadline{w, flusher}, r)
	}))
	t.Cleanup(server.Close)
	t.Cleanup(s.Drain)
	return server.URL
}

type withoutDeadline struct {
	http.ResponseWriter
	http.Flusher
}

func startChromium(t *testing.T) context.Context {
	t.Helper()
	path, err := exec.LookPath("chromium")
	if err != nil {
		t.Fatalf("%v; `lab tools chromium` installs it", err)
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.UserDataDir(t.TempDir()), chromedp.Flag("lang", "en-GB"))
	if os.Geteuid() == 0 {
		options = append(options, chromedp.NoSandbox) // chromium's own does not work for root
	}
	allocator, stop := chromedp.NewExecAllocator(context.Background(), options...)
	ctx, _ := chromedp.NewContext(allocator)
	if err := chromedp.Do(ctx); err != nil {
		stop()
		t.Fatalf("start chromium: %v", err)
	}
	t.Cleanup(func() {
		if err := chromedp.Cancel(ctx); err != nil {
			t.Error(err)
		}
		stop()
	})
	return ctx
}

// looker is a tab.
type looker struct {
	t      *testing.T
	ctx    context.Context //nolint:containedctx // chromedp's handle of a tab is a context
	axe    string
	origin string
	mutex  sync.Mutex
	faults []string
}

const lookPatience = time.Minute

func (l *looker) call(f func(context.Context) error) {
	l.t.Helper()
	ctx, cancel := context.WithTimeout(l.ctx, lookPatience)
	defer cancel()
	if err := f(ctx); err != nil {
		l.t.Fatal(err)
	}
}

func (l *looker) truth(script string) bool {
	l.t.Helper()
	var is bool
	l.call(func(ctx context.Context) error {
		var err error
		is, err = chromedp.Run(ctx, chromedp.Evaluate[bool](script))
		return err
	})
	return is
}

func (l *looker) open(browser context.Context, path string, curves bool) {
	l.t.Helper()
	ctx, cancel := chromedp.NewContext(browser, chromedp.WithNewBrowserContext(), chromedp.WithListener(l.listen))
	l.t.Cleanup(cancel)
	l.ctx = ctx
	if err := chromedp.Do(ctx); err != nil {
		l.t.Fatal(err)
	}
	l.call(func(ctx context.Context) error {
		_, err := chromedp.Call(ctx, browserlog.Enable, cdp.Empty{})
		return err
	})
	l.call(func(ctx context.Context) error { return chromedp.Do(ctx, chromedp.Navigate(l.origin+path)) })
	want := `document.title.includes(" · ") && document.querySelector("#run-state h1") !== null`
	if curves {
		want += ` && document.querySelectorAll("#chart canvas").length === 2 && document.getElementById("log").textContent.includes("step 4149")`
	}
	for end := now().Add(lookPatience); !l.truth(want); {
		if now().After(end) {
			l.t.Fatalf("the page does not come to life: %v", l.faults)
		}
		select {
		case <-l.ctx.Done():
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func (l *looker) listen(event any) {
	fault := ""
	switch e := event.(type) {
	case *runtime.EventExceptionThrown:
		fault = "exception: " + e.ExceptionDetails.Text
	case *browserlog.EventEntryAdded:
		if e.Entry.Level == browserlog.EntryLevelError {
			fault = string(e.Entry.Source) + ": " + e.Entry.Text
		}
	}
	if fault != "" {
		l.mutex.Lock()
		defer l.mutex.Unlock()
		l.faults = append(l.faults, fault)
	}
}

func (l *looker) look(name string) {
	l.t.Helper()
	for _, width := range []int64{360, 1280} {
		for _, colours := range []string{"dark", "light"} {
			l.call(func(ctx context.Context) error {
				_, err := chromedp.Call(ctx, emulation.SetDeviceMetricsOverride, emulation.SetDeviceMetricsOverrideParams{Width: width, Height: 900, DeviceScaleFactor: 1, Mobile: width < 600})
				if err != nil {
					return err
				}
				_, err = chromedp.Call(ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: colours}, {Name: "prefers-reduced-motion", Value: "reduce"}}})
				return err
			})
			// Two frames later the curves have their new width and colours.
			l.call(func(ctx context.Context) error {
				_, err := chromedp.Run(ctx, chromedp.Evaluate[bool](`new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(() => done(true), 50))))`, chromedp.EvalAwaitPromise))
				return err
			})
			if !l.truth(fmt.Sprintf(`document.documentElement.scrollWidth <= %d`, width)) {
				l.t.Errorf("%s: the page is wider than %d px", name, width)
			}
			l.accessible(fmt.Sprintf("%s, %d px, %s", name, width, colours))
			l.picture(fmt.Sprintf("%s-%d-%s.png", name, width, colours))
		}
	}
	l.mutex.Lock()
	defer l.mutex.Unlock()
	for _, fault := range l.faults {
		l.t.Errorf("%s: the browser complained: %s", name, fault)
	}
}

func (l *looker) accessible(what string) {
	l.t.Helper()
	found := ""
	l.call(func(ctx context.Context) error {
		if err := chromedp.Do(ctx, chromedp.Evaluate[chromedp.Void](l.axe+"; undefined")); err != nil {
			return err
		}
		var err error
		found, err = chromedp.Run(ctx, chromedp.Evaluate[string](`axe.run(document, {resultTypes: ["violations"]}).then(r => JSON.stringify(r.violations.map(v => ({id: v.id, impact: v.impact, help: v.help, where: v.nodes.map(n => n.html + " " + n.failureSummary).join("\n")}))))`, chromedp.EvalAwaitPromise))
		return err
	})
	var violations []struct{ ID, Impact, Help, Where string }
	if err := json.Unmarshal([]byte(found), &violations); err != nil {
		l.t.Fatal(err)
	}
	for _, v := range violations {
		text := fmt.Sprintf("%s: %s (%s): %s\n%s", what, v.ID, v.Impact, v.Help, v.Where)
		if strings.Contains("serious critical", v.Impact) {
			l.t.Error(text)
		} else {
			l.t.Log(text)
		}
	}
}

func (l *looker) picture(name string) {
	l.t.Helper()
	folder := setting("LETHE_TEST_SHOTS")
	if folder == "" {
		return
	}
	l.call(func(ctx context.Context) error {
		size, err := chromedp.Run(ctx, chromedp.Evaluate[[]float64](`[document.documentElement.clientWidth, document.documentElement.scrollHeight]`))
		if err != nil {
			return err
		}
		beyond := true
		shot, err := chromedp.Call(ctx, cdppage.CaptureScreenshot, cdppage.CaptureScreenshotParams{
			CaptureBeyondViewport: &beyond, Clip: &cdppage.Viewport{Width: size[0], Height: max(size[1], 600), Scale: 1},
		})
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(folder, name), shot.Data, 0o600)
	})
}
