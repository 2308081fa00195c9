package browser_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/browser"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
)

// Sizes of what is uploaded beside the digits: the sample trainer does not look at it.
const (
	smallFiles = 200
	largeBytes = 300 << 20
)

// trainPatience bounds waits for the cluster.
const trainPatience = 5 * time.Minute

// TestTrainAndForget is what the portal is for, on a real cluster: upload with a network
// that fails and a page that is loaded again, Start Run, watch it, take the model, and the
// data is erased, with a receipt that the browser verifies and mails that tell of it.
func TestTrainAndForget(t *testing.T) {
	t.Parallel()
	t.Cleanup(func() { removeTenants(t) })
	portal := newStand(t, "--kubeconfig="+asPortal(t), "--store-url="+lab.store, "--images=lethe.dev/digits:dev", "--registries=lethe.dev/")
	p := newPage(t, portal)
	p.stores = []string{lab.store}
	who := p.signUp("train@people.example")
	p.signIn(who)
	folder := bigDataset(t)

	p.open("/datasets/new")
	p.heading("New dataset")
	p.fill("Name", "Digits and ballast")
	p.selects("after_training", "0s")
	p.check("dataset-new")
	p.submit("Make it and add files")
	p.heading("Digits and ballast")
	where := p.path()
	p.uploadBrokenOff(folder)
	p.open(where)
	p.heading("Digits and ballast")
	p.check("dataset-half")
	p.give("#pick-folder", folder)
	p.long("all files to be there", `document.getElementById("upload-state").innerText === "All files are there"`)
	p.check("dataset-uploaded")
	p.submit("Finish the upload")
	p.long("the dataset to be ready", `document.querySelector("#status .state")?.innerText === "Ready"`)
	p.check("dataset-ready")

	run := p.startRun()
	p.long("the chart to have points", `document.querySelectorAll("#chart canvas").length > 0`)
	p.long("the log to say something", `document.getElementById("log").innerText.trim() !== ""`)
	p.check("run-running")
	p.long("the run to succeed", `document.querySelector("h1 .state")?.innerText === "Finished"`)
	p.open(run)
	p.sees("Results")
	p.check("run-succeeded")
	p.download()

	p.open(where)
	p.long("the dataset to be erased", `document.querySelector("#status .state")?.innerText === "Erased"`)
	p.check("dataset-erased")
	p.submit("See the receipt")
	p.heading("Receipt for Digits and ballast")
	p.until("the browser to verify the receipt", `/your browser/i.test(document.querySelector("#verdict").innerText) && !/server has checked/i.test(document.querySelector("#verdict").innerText)`)
	p.check("receipt")
	for _, subject := range []string{"Your run has started", "Your run has finished", "A dataset was erased"} {
		mailTo(t, portal, who.email, subject)
	}
}

// bigDataset is the sample trainer's own dataset, with many small files and a large one
// beside it.
func bigDataset(t *testing.T) string {
	t.Helper()
	folder := filepath.Join(t.TempDir(), "digits")
	if out, err := exec.CommandContext(t.Context(), "digits", "export", folder).CombinedOutput(); err != nil {
		t.Fatalf("export the sample dataset: %v\n%s", err, out)
	}
	extra := filepath.Join(folder, "ballast")
	if err := os.Mkdir(extra, 0o755); err != nil {
		t.Fatal(err)
	}
	for i := range smallFiles {
		if err := os.WriteFile(filepath.Join(extra, fmt.Sprintf("%03d.txt", i)), []byte(strings.Repeat("small ", i+1)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	large, err := os.Create(filepath.Join(extra, "large.bin"))
	if err != nil {
		t.Fatal(err)
	}
	_, err = io.CopyN(large, rand.NewChaCha8([32]byte{}), largeBytes)
	if err := large.Close(); err != nil {
		t.Fatal(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return folder
}

// long is until with the patience that a cluster needs.
func (p *page) long(what, expression string) {
	p.t.Helper()
	p.pollFor(trainPatience, what, func() bool {
		is, ok := ask[bool](p, expression)
		return ok && is
	})
}

// selects sets a select by its name.
func (p *page) selects(name, value string) {
	p.t.Helper()
	p.until(fmt.Sprintf("a choice %q for %q", value, name), fmt.Sprintf(`(() => {
		const select = document.querySelector("select[name=" + %s + "]");
		if (!select) return false;
		select.value = %s;
		select.dispatchEvent(new Event("change", {bubbles: true}));
		return select.value === %s;
	})()`, quoted(name), quoted(value), quoted(value)))
}

// give hands files or a folder to a field, as the browser's own dialogue would.
func (p *page) give(selector string, files ...string) {
	p.t.Helper()
	p.do(chromedp.SetUploadFiles(selector, files))
}

// offline takes the network away, or gives it back.
func (p *page) offline(is bool) {
	p.t.Helper()
	p.call(func(ctx context.Context) error {
		_, err := chromedp.Call(ctx, network.EmulateNetworkConditionsByRule, network.EmulateNetworkConditionsByRuleParams{
			MatchedNetworkConditions: []*network.Conditions{{Offline: is, DownloadThroughput: -1, UploadThroughput: -1}},
		})
		if err != nil {
			return err
		}
		_, err = chromedp.Call(ctx, network.OverrideNetworkState, network.OverrideNetworkStateParams{Offline: is, DownloadThroughput: -1, UploadThroughput: -1})
		return err
	})
}

// uploadBrokenOff begins an upload, takes the network away in the middle of the large
// file and gives it back, and leaves while more is on its way.
func (p *page) uploadBrokenOff(folder string) {
	p.t.Helper()
	p.give("#pick-folder", folder)
	sent := `Number(document.getElementById("upload-total").value) > `
	p.long("a part of it to be sent", sent+fmt.Sprint(40<<20))
	p.offline(true)
	p.until("the page to notice", `document.getElementById("upload-state").innerText.startsWith("No connection")`)
	p.offline(false)
	p.long("more of it to be sent", sent+fmt.Sprint(90<<20))
}

// startRun fills the form in and presses twice.
func (p *page) startRun() string {
	p.t.Helper()
	p.open("/runs/new")
	p.heading("Start a run")
	p.fill("Name", "First try")
	p.until("the dataset to choose", `(() => {
		const select = document.querySelector("select[name=dataset]");
		if (!select || select.options.length < 2) return false;
		select.selectedIndex = 1;
		select.dispatchEvent(new Event("change", {bubbles: true}));
		return true;
	})()`)
	p.selects("image", "lethe.dev/digits:dev")
	p.fill("Environment", "DIGITS_EPOCHS=8\nDIGITS_SECONDS_PER_EPOCH_MIN=2")
	p.until("the estimate", `!document.querySelector(".htmx-request, .htmx-swapping, .htmx-settling, .htmx-added")`)
	p.check("run-new-filled")
	p.submit("Start Run")
	p.long("the page of the run", `document.querySelector("h1")?.innerText.startsWith("First try")`)
	return p.path()
}

// download takes a file of the results, and compares it with the digest on the page.
func (p *page) download() {
	p.t.Helper()
	to := p.t.TempDir()
	p.call(func(ctx context.Context) error {
		_, err := chromedp.Call(ctx, browser.SetDownloadBehavior, browser.SetDownloadBehaviorParams{
			Behavior: browser.SetDownloadBehaviorBehaviorAllow, DownloadPath: to, BrowserContextID: p.browserContext(ctx),
		})
		return err
	})
	p.until("a link to a file", `(() => {
		const link = document.querySelector("#run-results a[href*='/download']");
		link?.click();
		return link !== null;
	})()`)
	p.pollFor(patience, "the file", func() bool {
		files, err := filepath.Glob(filepath.Join(to, "*"))
		if err != nil || len(files) != 1 || strings.HasSuffix(files[0], ".crdownload") {
			return false
		}
		data, err := os.ReadFile(files[0])
		digest := sha256.Sum256(data)
		text, ok := ask[string](p, `document.getElementById("run-results").textContent + [...document.querySelectorAll("#run-results [title]")].map(e => e.title).join(" ")`)
		return err == nil && ok && strings.Contains(text, hex.EncodeToString(digest[:]))
	})
}

// browserContext is the one of this tab.
func (p *page) browserContext(ctx context.Context) cdp.BrowserContextID {
	return chromedp.FromContext(ctx).BrowserContextID
}
