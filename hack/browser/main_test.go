// Package browser_test walks through the portal as people do: in a real browser, with the
// real program, its database, and a mail server that it speaks TLS to.
//
// The journeys belong to the system stage: they run with LETHE_TEST_SYSTEM=1, and then
// want chromium and axe-core ("lab tools chromium axe") and fail without them. Pictures of
// all pages go to the folder that LETHE_TEST_SHOTS names, for a person to look at.
//
// Each journey has a portal and a browser context of its own, so they run side by side.
package browser_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/lethe-dev/lethe/hack/portaldemo/stand"
)

// patience bounds every wait: a machine that runs other tests is slow.
const patience = time.Minute

// shared is what all journeys use; set once by TestMain.
var shared struct {
	// program is the portal, built from this tree.
	program     string
	certificate *stand.Certificate
	// browser is a context of the browser that runs.
	browser context.Context //nolint:containedctx // chromedp's handle of a browser is a context
	// axe is the text of axe-core.
	axe string
	// shots is where pictures go; "" for nowhere.
	shots string
}

func TestMain(m *testing.M) {
	becomeQuiet()
	if os.Getenv("LETHE_TEST_SYSTEM") != "1" {
		fmt.Println("SKIPPED: the portal's journeys in a browser are part of the system tests; run `make test-system`")
		os.Exit(0)
	}
	code, err := prepareAndRun(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "journeys in a browser:", err)
		os.Exit(1)
	}
	os.Exit(code)
}

func prepareAndRun(m *testing.M) (code int, err error) {
	work, err := os.MkdirTemp("", "lethe-browser-")
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(work)) }()
	if shared.axe, err = readAxe(); err != nil {
		return 0, err
	}
	if shared.shots = os.Getenv("LETHE_TEST_SHOTS"); shared.shots != "" {
		if err := os.MkdirAll(shared.shots, 0o755); err != nil {
			return 0, err
		}
	}
	shared.program = filepath.Join(work, "portal")
	build := exec.Command("go", "build", "-o", shared.program, "../../cmd/portal")
	if out, err := build.CombinedOutput(); err != nil {
		return 0, fmt.Errorf("build the portal: %w: %s", err, out)
	}
	if shared.certificate, err = stand.NewCertificate(work); err != nil {
		return 0, err
	}
	if err := findLab(); err != nil {
		return 0, err
	}
	ctx, stop, err := startBrowser(work)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, stop()) }()
	shared.browser = ctx
	return m.Run(), nil
}

// readAxe finds axe-core where "lab tools axe" puts it.
func readAxe() (string, error) {
	cache := os.Getenv("LETHE_CACHE")
	if cache == "" {
		cache = filepath.Join("..", "..", ".cache")
	}
	text, err := os.ReadFile(filepath.Join(cache, "bin", "axe.min.js"))
	if err != nil {
		return "", fmt.Errorf("%w; `lab tools axe` brings it", err)
	}
	return string(text), nil
}

// startBrowser starts one chromium for all journeys. It trusts the certificate of our
// portals, and no other that it would not trust anyway.
func startBrowser(work string) (context.Context, func() error, error) {
	path, err := exec.LookPath("chromium")
	if err != nil {
		return nil, nil, fmt.Errorf("%w; `lab tools chromium` installs it", err)
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(path),
		chromedp.UserDataDir(filepath.Join(work, "profile")),
		chromedp.Flag("ignore-certificate-errors-spki-list", shared.certificate.SPKI+","+lab.spki),
		chromedp.Flag("lang", "en-GB"),
		chromedp.ModifyCmdFunc(quietly),
	)
	if os.Geteuid() == 0 {
		options = append(options, chromedp.NoSandbox) // chromium's own does not work for root
	}
	allocator, stopAllocator := chromedp.NewExecAllocator(context.Background(), options...)
	ctx, _ := chromedp.NewContext(allocator)
	if err := chromedp.Do(ctx); err != nil {
		stopAllocator()
		return nil, nil, fmt.Errorf("start chromium: %w", err)
	}
	stop := func() error {
		err := chromedp.Cancel(ctx)
		stopAllocator()
		return err
	}
	return ctx, stop, nil
}
