package browser_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/input"
	browserlog "github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	cdppage "github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"github.com/lethe-dev/lethe/hack/portaldemo/stand"
)

// newStand starts a portal of the test's own.
func newStand(t *testing.T, settings ...string) *stand.Stand {
	t.Helper()
	s, err := stand.Start(t.Context(), stand.Options{
		Program: shared.program, Dir: t.TempDir(), Certificate: shared.certificate,
		// The least that is allowed: journeys are not about how long a hash takes.
		Settings: append([]string{"--hash-memory=19", "--log-level=debug"}, settings...),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		checkLog(t, s.Log(), typed(t))
		if t.Failed() {
			t.Logf("the portal's log:\n%s", s.Log())
		}
	})
	return s
}

// allTyped are words that tests typed, by the test's name: none may be in a log.
var allTyped sync.Map

func typed(t *testing.T) []string {
	t.Helper()
	words, _ := allTyped.Load(t.Name())
	list, _ := words.([]string)
	return list
}

// types remembers a word. Six digits are left out: they also occur by chance.
func types(t *testing.T, word string) {
	t.Helper()
	if len(word) > 6 {
		allTyped.Store(t.Name(), append(typed(t), word))
	}
}

// page is a tab in a browser context of its own: cookies and all are apart from others.
type page struct {
	t      *testing.T
	ctx    context.Context //nolint:containedctx // chromedp's handle of a tab is a context
	portal *stand.Stand
	origin string
	// stores are origins that pages may send files to.
	stores []string
	// noScripts says that JavaScript is off.
	noScripts bool

	mu sync.Mutex
	// faults are what the browser complained about.
	faults []string
}

// newPage opens one.
func newPage(t *testing.T, portal *stand.Stand) *page {
	t.Helper()
	p := &page{t: t, portal: portal, origin: portal.URL}
	ctx, cancel := chromedp.NewContext(shared.browser, chromedp.WithNewBrowserContext(), chromedp.WithListener(p.listen))
	t.Cleanup(func() {
		cancel()
		p.mu.Lock()
		defer p.mu.Unlock()
		for _, fault := range p.faults {
			t.Errorf("the browser complained: %s", fault)
		}
	})
	p.ctx = ctx
	// The first use of a tab binds its life to the context that it is given: one without
	// an end.
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("open a tab: %v", err)
	}
	p.call(func(ctx context.Context) error {
		_, err := chromedp.Call(ctx, browserlog.Enable, cdp.Empty{})
		return err
	})
	p.look(wide, light)
	return p
}

// listen collects what no page of ours should cause: errors of scripts, what the Content
// Security Policy refused, and requests to others.
func (p *page) listen(event any) {
	switch e := event.(type) {
	case *cdppage.EventJavascriptDialogOpening:
		// A page that is left while it sends files asks first; listeners may not wait.
		go func() { p.leaving(e.Type == cdppage.DialogTypeBeforeunload) }()
	case *runtime.EventExceptionThrown:
		p.fault("exception: " + e.ExceptionDetails.Text)
	case *browserlog.EventEntryAdded:
		// The answer 4xx to a form that was filled in wrongly is a line of its own kind.
		if e.Entry.Level == browserlog.EntryLevelError && e.Entry.Source != browserlog.EntrySourceNetwork {
			p.fault(string(e.Entry.Source) + ": " + e.Entry.Text)
		}
	case *network.EventRequestWillBeSent:
		if to := e.Request.URL; !p.ours(to) && !strings.HasPrefix(to, "data:") && !strings.HasPrefix(to, "about:") && !strings.HasPrefix(to, "chrome") {
			p.fault("a request to " + to)
		}
	}
}

// leaving answers a question of the browser.
func (p *page) leaving(yes bool) {
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	if _, err := chromedp.Call(ctx, cdppage.HandleJavaScriptDialog, cdppage.HandleJavaScriptDialogParams{Accept: yes}); err != nil {
		p.fault("a question of the browser was not answered: " + err.Error())
	}
}

// ours reports whether an address is the portal's or a store's.
func (p *page) ours(to string) bool {
	return slices.ContainsFunc(append([]string{p.origin}, p.stores...), func(origin string) bool { return strings.HasPrefix(to, origin+"/") })
}

func (p *page) fault(text string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.faults = append(p.faults, text)
}

// do runs actions within patience.
func (p *page) do(actions ...chromedp.Action[chromedp.Void]) {
	p.t.Helper()
	p.call(func(ctx context.Context) error { return chromedp.Do(ctx, actions...) })
}

func (p *page) call(f func(context.Context) error) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	if err := f(ctx); err != nil {
		p.fail("%v", err)
	}
}

// fail ends the test with what a person would see.
func (p *page) fail(format string, args ...any) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, 10*time.Second)
	defer cancel()
	seen, _ := chromedp.Run(ctx, chromedp.Evaluate[string](`location.href + "\n" + document.body.innerText`))
	if shared.shots != "" {
		p.picture(filepath.Join(shared.shots, "FAILED-"+strings.ReplaceAll(p.t.Name(), "/", "-")+".png"))
	}
	p.t.Fatalf(format+"\nThe page:\n%s", append(args, seen)...)
}

// ask evaluates an expression; ok is false while a page is on its way.
func ask[T any](p *page, expression string) (answer T, ok bool) {
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	answer, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression))
	return answer, err == nil
}

// until waits for an expression to be true, over pages that come and go.
func (p *page) until(what, expression string) {
	p.t.Helper()
	p.poll(what, func() bool {
		is, ok := ask[bool](p, expression)
		return ok && is
	})
}

func (p *page) poll(what string, done func() bool) {
	p.t.Helper()
	p.pollFor(patience, what, done)
}

func (p *page) pollFor(limit time.Duration, what string, done func() bool) {
	p.t.Helper()
	deadline := time.Now().Add(limit)
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for {
		if done() {
			return
		}
		if time.Now().After(deadline) {
			p.fail("waited %s for %s", limit, what)
		}
		<-ticker.C
	}
}

// open goes to a path of the portal, or to a link of a mail.
func (p *page) open(path string) {
	p.t.Helper()
	if !strings.HasPrefix(path, "https://") {
		path = p.origin + path
	}
	p.do(chromedp.Navigate(path))
}

// heading waits for the page with this heading.
func (p *page) heading(text string) {
	p.t.Helper()
	p.until(fmt.Sprintf("the heading %q", text),
		`document.readyState === "complete" && document.querySelector("h1")?.innerText.trim() === `+quoted(text))
}

// sees waits for words on the page.
func (p *page) sees(text string) {
	p.t.Helper()
	p.until(fmt.Sprintf("the words %q", text),
		`document.readyState === "complete" && document.body.innerText.replace(/\s+/g, " ").includes(`+quoted(text)+`)`)
}

// fill types into the field with this label.
func (p *page) fill(label, value string) {
	p.t.Helper()
	p.until(fmt.Sprintf("a field labelled %q", label), `(() => {
		const named = [...document.querySelectorAll("label")].filter(l => l.innerText.trim() === `+quoted(label)+` && l.control && l.control.checkVisibility());
		if (named.length !== 1) return false;
		named[0].control.focus();
		named[0].control.select?.();
		return document.activeElement === named[0].control;
	})()`)
	types(p.t, value)
	p.call(func(ctx context.Context) error {
		_, err := chromedp.Call(ctx, input.InsertText, input.InsertTextParams{Text: value})
		return err
	})
}

// key presses a key of package kb.
func (p *page) key(key string) {
	p.t.Helper()
	p.do(chromedp.KeyEvent(key))
}

// press clicks the button, link or summary with this name, where it is. What stands in
// the page's main part, and buttons before links, is meant first.
func (p *page) press(name string) {
	p.t.Helper()
	at := fmt.Sprintf(`(() => {
		const named = [...document.querySelectorAll("button, a, summary, input[type=submit], label")].filter(e =>
			e.checkVisibility() && (e.innerText || e.value || "").replace(/\s+/g, " ").trim() === %s);
		if (named.length === 0) return null;
		const rank = e => (e.closest("main") ? 0 : 2) + (e.tagName === "BUTTON" ? 0 : 1);
		named.sort((a, b) => rank(a) - rank(b));
		named[0].scrollIntoView({block: "center", behavior: "instant"});
		const box = named[0].getBoundingClientRect();
		const x = box.x + box.width / 2, y = box.y + box.height / 2;
		const top = document.elementFromPoint(x, y);
		if (!top || !(named[0].contains(top) || top.contains(named[0]))) return null;
		return [x, y];
	})()`, quoted(name))
	p.until(fmt.Sprintf("something named %q to press", name), at+" !== null")
	where, ok := ask[[]float64](p, at)
	if !ok || len(where) != 2 {
		p.fail("%q went away before it could be pressed", name)
	}
	p.do(chromedp.MouseClickXY(where[0], where[1]))
}

// submit presses and waits until another page is there.
func (p *page) submit(name string) {
	p.t.Helper()
	if _, ok := ask[bool](p, `window.letheOldPage = true`); !ok {
		p.fail("the page can't be marked")
	}
	p.press(name)
	p.until("the page after "+name, `document.readyState === "complete" && window.letheOldPage === undefined`)
}

// path is where the page is.
func (p *page) path() string {
	p.t.Helper()
	where, ok := ask[string](p, `location.href`)
	if !ok {
		p.fail("the page has no address")
	}
	parsed, err := url.Parse(where)
	if err != nil {
		p.t.Fatal(err)
	}
	return parsed.Path
}

// text is what the elements of a CSS selector say.
func (p *page) text(selector string) []string {
	p.t.Helper()
	found, ok := ask[[]string](p, `[...document.querySelectorAll(`+quoted(selector)+`)].map(e => e.innerText.trim())`)
	if !ok {
		p.fail("the page can't be read")
	}
	return found
}

// withoutScripts turns JavaScript of pages off.
func (p *page) withoutScripts() {
	p.t.Helper()
	p.noScripts = true
	p.call(func(ctx context.Context) error {
		_, err := chromedp.Call(ctx, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true})
		return err
	})
}

func quoted(text string) string {
	encoded, err := json.Marshal(text)
	if err != nil {
		panic(err)
	}
	return string(encoded)
}
