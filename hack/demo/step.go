package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/lethe-dev/lethe/controllers/objectstore"
)

// stepLimit bounds one step; a step that takes longer hangs.
const stepLimit = 5 * time.Minute

type step struct {
	title string
	do    func(ctx context.Context) error
}

type demo struct {
	out   io.Writer
	cache string
	work  string
	store *objectstore.Client
	begun time.Time
	// colour is for terminals only.
	colour bool
	count  int
	// data is where the dataset lies; known once it is uploaded.
	data datasetFacts
}

// stepError is a step that failed, with what a person needs to find out why.
type stepError struct {
	title string
	err   error
	state string
}

func (e *stepError) Error() string { return e.title + ": " + e.err.Error() }
func (e *stepError) Unwrap() error { return e.err }

func (e *stepError) explain(w io.Writer) {
	fmt.Fprintf(w, "\nThe demo failed at: %s\nCause: %v\n", e.title, e.err)
	if e.state != "" {
		fmt.Fprintf(w, "\nThe cluster says:\n%s\n", e.state)
	}
	fmt.Fprintf(w, `Where to look (after: eval "$(.cache/bin/lab env)"):
  make lab-status
  kubectl -n %[1]s get trainingruns,datasetretentions,pods,events
  kubectl -n %[1]s describe trainingrun %[2]s
  kubectl -n lethe-system logs deploy/lethe-manager
`, namespace, runName)
}

func newDemo(env func(string) string, out *os.File) (*demo, error) {
	for _, name := range []string{"KUBECONFIG", "LETHE_CACHE", "LETHE_S3_ENDPOINT", "LETHE_S3_CA"} {
		if env(name) == "" {
			return nil, fmt.Errorf("%s is not set; run this as `make demo`", name)
		}
	}
	ca, err := os.ReadFile(env("LETHE_S3_CA"))
	if err != nil {
		return nil, fmt.Errorf("read the store's certificate: %w", err)
	}
	store, err := objectstore.New(objectstore.Config{
		Endpoint: env("LETHE_S3_ENDPOINT"),
		CABundle: ca,
		Credentials: objectstore.Static(objectstore.Credentials{
			AccessKeyID: env("LETHE_S3_ACCESS_KEY"), SecretAccessKey: env("LETHE_S3_SECRET_KEY"),
		}),
	})
	if err != nil {
		return nil, err
	}
	info, err := out.Stat()
	if err != nil {
		return nil, fmt.Errorf("look at the output: %w", err)
	}
	work, err := os.MkdirTemp("", "lethe-demo-")
	if err != nil {
		return nil, fmt.Errorf("make a folder to work in: %w", err)
	}
	return &demo{
		out: out, cache: env("LETHE_CACHE"), work: work, store: store, begun: time.Now(),
		colour: info.Mode()&os.ModeCharDevice != 0 && env("NO_COLOR") == "",
	}, nil
}

func (d *demo) close() {
	if err := os.RemoveAll(d.work); err != nil {
		fmt.Fprintln(os.Stderr, "demo: remove the folder that was worked in:", err)
	}
}

func (d *demo) do(ctx context.Context, s step) error {
	d.count++
	fmt.Fprintf(d.out, "\n%s\n", d.style(bold, fmt.Sprintf("%2d  %s", d.count, s.title)))
	limited, cancel := context.WithTimeout(ctx, stepLimit)
	defer cancel()
	err := s.do(limited)
	if err == nil {
		return nil
	}
	if errors.Is(limited.Err(), context.DeadlineExceeded) {
		err = fmt.Errorf("it took longer than %s: %w", stepLimit, err)
	}
	// What the cluster says is a help, not a step: its own failure is not told.
	state, _ := exec.CommandContext(ctx, "kubectl", "-n", namespace, "get", "trainingruns,datasetretentions,pods", "-o", "wide").CombinedOutput()
	return &stepError{title: s.title, err: err, state: string(state)}
}

// show prints a command and runs it, with its output going to the terminal.
func (d *demo) show(ctx context.Context, name string, args ...string) error {
	shown := strings.ReplaceAll(strings.Join(append([]string{filepath.Base(name)}, args...), " "), d.work, "$WORK")
	shown = strings.Replace(shown, "kubectl-lethe", "kubectl lethe", 1)
	fmt.Fprintf(d.out, "    %s\n", d.style(dim, "$ "+shown))
	cmd := exec.CommandContext(ctx, name, args...) //nolint:gosec // the demo's own commands
	cmd.Stdout, cmd.Stderr = d.out, d.out
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s: %w", shown, err)
	}
	return nil
}

// kubectl runs without a word and gives what it prints.
func (d *demo) kubectl(ctx context.Context, args ...string) (string, error) {
	var out, errOut bytes.Buffer
	cmd := exec.CommandContext(ctx, "kubectl", args...) //nolint:gosec // the demo's own commands
	cmd.Stdout, cmd.Stderr = &out, &errOut
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("kubectl %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(errOut.String()))
	}
	return strings.TrimSpace(out.String()), nil
}

// Styles of a terminal (ECMA-48, SGR).
const (
	bold = "\x1b[1m"
	dim  = "\x1b[2m"
)

func (d *demo) style(style, text string) string {
	if !d.colour {
		return text
	}
	return style + text + "\x1b[0m"
}

func (d *demo) tool(name string) string { return filepath.Join(d.cache, "bin", name) }

func (d *demo) say(format string, args ...any) { fmt.Fprintf(d.out, "    "+format+"\n", args...) }
