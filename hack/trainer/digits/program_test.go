package main

import (
	"bytes"
	"context"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/lethe-dev/lethe/hack/trainer/digits/internal/contract"
	"github.com/lethe-dev/lethe/hack/trainer/digits/internal/training"
)

// asMain makes this test binary behave as the command, so that a test can send it real signals.
const asMain = "DIGITS_TEST_AS_MAIN"

func TestMain(m *testing.M) {
	if os.Getenv(asMain) != "" {
		os.Exit(start())
	}
	os.Exit(m.Run())
}

// pod is a folder laid out as in a run's pod.
type pod struct {
	dir string
	env map[string]string
}

func newPod(t *testing.T) pod {
	t.Helper()
	dir := t.TempDir()
	return pod{dir: dir, env: map[string]string{
		contract.EnvVersion:       contract.Version,
		contract.EnvDatasetDir:    filepath.Join(dir, "dataset"),
		contract.EnvArtifactsDir:  filepath.Join(dir, "artifacts"),
		contract.EnvCheckpointDir: filepath.Join(dir, "artifacts", "checkpoints"),
		contract.EnvProgressFile:  filepath.Join(dir, "progress.jsonl"),
		"DIGITS_EPOCHS":           "2",
		"DIGITS_HIDDEN":           "32",
	}}
}

func (p pod) path(parts ...string) string { return filepath.Join(append([]string{p.dir}, parts...)...) }

// digits runs the command in this process.
func (p pod) digits(ctx context.Context, args ...string) (code int, out, problems string) {
	var stdout, stderr bytes.Buffer
	code = program{
		env: func(name string) string { return p.env[name] }, out: &stdout, problems: &stderr, clock: wallClock{},
	}.run(ctx, args)
	return code, stdout.String(), stderr.String()
}

// command is the command as a process of its own.
func (p pod) command(ctx context.Context, args ...string) *exec.Cmd {
	command := exec.CommandContext(ctx, os.Args[0], args...) // #nosec G204 -- this test binary itself.
	command.Env = append(os.Environ(), asMain+"=1")
	for name, value := range p.env {
		command.Env = append(command.Env, name+"="+value)
	}
	return command
}

func (p pod) mustExport(t *testing.T) {
	t.Helper()
	if code, _, problems := p.digits(t.Context(), "export", p.path("dataset")); code != exitDone {
		t.Fatalf("export: exit %d: %s", code, problems)
	}
}

func TestExportTrainEvaluate(t *testing.T) {
	t.Parallel()
	p := newPod(t)
	p.mustExport(t)
	p.mustExport(t) // a second time is no error
	code, out, problems := p.digits(t.Context())
	if code != exitDone {
		t.Fatalf("train: exit %d: %s", code, problems)
	}
	if !strings.Contains(out, "epoch 2/2 [########################] 100 %") {
		t.Errorf("no line for the last epoch in:\n%s", out)
	}
	for _, name := range []string{training.ModelFile, training.MetricsFile} {
		if _, err := os.Stat(p.path("artifacts", name)); err != nil {
			t.Errorf("artifact: %v", err)
		}
	}
	evaluate := []string{"evaluate", "-model", p.path("artifacts", training.ModelFile), "-show", "1"}
	code, fromFolder, problems := p.digits(t.Context(), append(evaluate, "-data", p.path("dataset"), "-min", "0.85")...)
	if code != exitDone {
		t.Fatalf("evaluate: exit %d: %s", code, problems)
	}
	if !strings.Contains(fromFolder, "of 1000 held-out images read right") || !strings.Contains(fromFolder, ", read as ") {
		t.Errorf("evaluate printed:\n%s", fromFolder)
	}
	if _, shipped, _ := p.digits(t.Context(), evaluate...); shipped != fromFolder {
		t.Errorf("the shipped dataset gave another result:\n%s", shipped)
	}
	code, _, problems = p.digits(t.Context(), append(evaluate, "-min", "0.999")...)
	if code != exitFailed || !strings.Contains(problems, "below the bar") {
		t.Errorf("exit %d, %q; want 1 and the reason", code, problems)
	}
}

func TestTrainingDoesNotNeedHeldoutRows(t *testing.T) {
	t.Parallel()
	p := newPod(t)
	p.mustExport(t)
	if err := os.RemoveAll(p.path("dataset", "heldout")); err != nil {
		t.Fatal(err)
	}
	p.env["DIGITS_EPOCHS"] = "1"
	if code, _, problems := p.digits(t.Context()); code != exitDone {
		t.Errorf("exit %d: %s", code, problems)
	}
}

func TestExitCodes(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		args []string
		env  map[string]string
		code int
		text string
	}{
		"help":                         {[]string{"help"}, nil, exitDone, ""},
		"help of a command":            {[]string{"train", "-h"}, nil, exitDone, "$DIGITS_SECONDS_PER_EPOCH_MIN"},
		"an unknown command":           {[]string{"learn"}, nil, exitUsage, `no command "learn"`},
		"an unknown flag":              {[]string{"train", "-x"}, nil, exitUsage, "-x"},
		"an argument too many":         {[]string{"train", "now"}, nil, exitUsage, `"now"`},
		"a flag out of range":          {[]string{"train", "-epochs", "0"}, nil, exitUsage, "epochs must be"},
		"a variable that is no number": {[]string{"train"}, map[string]string{"DIGITS_BATCH": "many"}, exitUsage, "DIGITS_BATCH"},
		"nothing, and no contract":     {nil, map[string]string{contract.EnvVersion: ""}, exitUsage, "no command"},
		"another contract":             {nil, map[string]string{contract.EnvVersion: "2"}, exitFailed, contract.EnvVersion},
		"a dataset that is not there":  {nil, nil, exitFailed, "no rows found"},
		"a model that is not there":    {[]string{"evaluate", "-model", "/absent"}, nil, exitFailed, "open model"},
		"export without a folder":      {[]string{"export"}, nil, exitUsage, "name the folder"},
		"export into a file":           {[]string{"export", "/dev/null"}, nil, exitFailed, "export dataset"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPod(t)
			for variable, value := range test.env {
				p.env[variable] = value
			}
			code, _, problems := p.digits(t.Context(), test.args...)
			if code != test.code || !strings.Contains(problems, test.text) {
				t.Errorf("exit %d, %q; want %d and %q", code, problems, test.code, test.text)
			}
		})
	}
}

func TestFlagsWinOverVariables(t *testing.T) {
	t.Parallel()
	p := program{problems: &bytes.Buffer{}, env: func(name string) string {
		return map[string]string{"DIGITS_EPOCHS": "7", "DIGITS_SEED": "9", "DIGITS_SECONDS_PER_EPOCH_MIN": "0.5"}[name]
	}}
	got, err := p.trainOptions([]string{"-epochs", "8"})
	if err != nil {
		t.Fatal(err)
	}
	if got.Epochs != 8 || got.Model.Seed != 9 || got.MinEpoch != 500*time.Millisecond {
		t.Errorf("options %+v, want epochs 8 (flag), seed 9 and 500ms (variables)", got)
	}
}

func TestTerminatedProcessLeavesACheckpointAndGoesOn(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	whole, broken := newPod(t), newPod(t)
	for _, p := range []pod{whole, broken} {
		p.mustExport(t)
	}
	if code, _, problems := whole.digits(ctx); code != exitDone {
		t.Fatalf("exit %d: %s", code, problems)
	}

	broken.env["DIGITS_SECONDS_PER_EPOCH_MIN"] = "60"
	command := broken.command(ctx)
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	awaitFile(ctx, t, broken.env[contract.EnvProgressFile])
	if err := command.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	var exit *exec.ExitError
	if err := command.Wait(); !errors.As(err, &exit) || exit.ExitCode() != contract.ExitStopped {
		t.Fatalf("%v, want exit %d", err, contract.ExitStopped)
	}

	delete(broken.env, "DIGITS_SECONDS_PER_EPOCH_MIN")
	out, err := broken.command(ctx).CombinedOutput()
	if err != nil || !strings.Contains(string(out), "going on from checkpoint-") {
		t.Fatalf("%v:\n%s", err, out)
	}
	want, err := os.ReadFile(whole.path("artifacts", training.ModelFile))
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(broken.path("artifacts", training.ModelFile))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(want, got) {
		t.Error("the model differs from the one of a training that was never stopped")
	}
}

// twoNodes are pods of one run on this machine; each has its own folders.
func twoNodes(t *testing.T) [2]pod {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	host, port, err := net.SplitHostPort(listener.Addr().String())
	if err := errors.Join(err, listener.Close()); err != nil {
		t.Fatal(err)
	}
	pods := [2]pod{newPod(t), newPod(t)}
	for i, p := range pods {
		p.mustExport(t)
		p.env[contract.EnvNodeCount], p.env[contract.EnvNodeIndex] = "2", strconv.Itoa(i)
		p.env[contract.EnvMasterAddr], p.env[contract.EnvMasterPort] = host, port
		p.env["DIGITS_SECONDS_PER_EPOCH_MIN"] = "60"
	}
	return pods
}

func TestTwoProcessesStopTogetherAndFailTogether(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		signal syscall.Signal
		// code is how node 0 ends when node 1 gets the signal.
		code int
		says string
	}{
		"one is asked to stop": {syscall.SIGTERM, contract.ExitStopped, "asked to stop: wrote checkpoint-"},
		"one is killed":        {syscall.SIGKILL, exitFailed, "another node of the run is lost: node 1"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			pods := twoNodes(t)
			first, second := pods[0].command(ctx), pods[1].command(ctx)
			var out bytes.Buffer
			first.Stdout, first.Stderr = &out, &out
			for _, command := range []*exec.Cmd{first, second} {
				if err := command.Start(); err != nil {
					t.Fatal(err)
				}
			}
			awaitFile(ctx, t, pods[0].env[contract.EnvProgressFile])
			if err := second.Process.Signal(test.signal); err != nil {
				t.Fatal(err)
			}
			_ = second.Wait() // how it ends is the signal's affair
			var exit *exec.ExitError
			if err := first.Wait(); !errors.As(err, &exit) || exit.ExitCode() != test.code || !strings.Contains(out.String(), test.says) {
				t.Fatalf("%v, want exit %d and %q:\n%s", err, test.code, test.says, out.String())
			}
			left, err := contract.Checkpoints(pods[0].env[contract.EnvCheckpointDir])
			if err != nil || len(left) == 0 {
				t.Errorf("node 0 left no checkpoint: %v", err)
			}
		})
	}
}

// awaitFile returns when the file exists; ctx bounds the wait.
func awaitFile(ctx context.Context, t *testing.T, name string) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		if _, err := os.Stat(name); err == nil {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("no %s in time", filepath.Base(name))
		case <-tick.C:
		}
	}
}
