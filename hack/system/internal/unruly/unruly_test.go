package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lethe-dev/lethe/controllers/staging"
)

// pod is a folder laid out as in a run's pod, and the environment in it.
type pod map[string]string

func newPod(t *testing.T, env map[string]string) pod {
	t.Helper()
	dir := t.TempDir()
	p := pod{
		staging.EnvDatasetDir: dir, staging.EnvArtifactsDir: dir,
		staging.EnvCheckpointDir: filepath.Join(dir, "checkpoints"), staging.EnvProgressFile: filepath.Join(dir, "progress.jsonl"),
		envStep: "1ms",
	}
	for name, value := range env {
		p[name] = value
	}
	return p
}

// run starts the program once. whenSaid, if it is not empty, is a line after which it
// is asked to stop.
func (p pod) run(t *testing.T, whenSaid string) (code int, out, problems string) {
	t.Helper()
	s, err := parse(func(name string) string { return p[name] })
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	said, complaints := &listener{text: whenSaid, heard: cancel}, &bytes.Buffer{}
	code = trainer{settings: s, out: said, problems: complaints}.run(ctx)
	return code, said.String(), complaints.String()
}

// listener calls heard when a line is said.
type listener struct {
	bytes.Buffer
	text  string
	heard func()
}

func (l *listener) Write(p []byte) (int, error) {
	if l.text != "" && strings.Contains(string(p), l.text) {
		l.heard()
	}
	return l.Buffer.Write(p)
}

func trail(t *testing.T, p pod) []leg {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(p[staging.EnvArtifactsDir], "trail.json"))
	if err != nil {
		t.Fatal(err)
	}
	var s state
	if err := json.Unmarshal(text, &s); err != nil {
		t.Fatal(err)
	}
	return s.Trail
}

func TestTrailTellsWhatEachAttemptDid(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		env  map[string]string
		stop string
		code int
		want []leg
	}{
		"asked to stop: nothing is repeated":          {nil, "step 7 of 20", exitStopped, []leg{{1, 0, 7}, {2, 7, 20}}},
		"failed: goes on after the last checkpoint":   {map[string]string{envDo: doExit, envAt: "12", envAttempt: "1", envCode: "3"}, "", 3, []leg{{1, 0, 10}, {2, 10, 20}}},
		"failed before the first one: it begins anew": {map[string]string{envDo: doCUDA, envAt: "4", envAttempt: "1"}, "", exitFailed, []leg{{2, 0, 20}}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPod(t, test.env)
			if code, out, problems := p.run(t, test.stop); code != test.code {
				t.Fatalf("exit %d, want %d\n%s%s", code, test.code, out, problems)
			}
			p[staging.EnvAttempt] = "2"
			if code, out, problems := p.run(t, ""); code != exitDone {
				t.Fatalf("exit %d\n%s%s", code, out, problems)
			}
			if diff := cmp.Diff(test.want, trail(t, p)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestMisbehavesOnlyWhereItIsTold(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		env  map[string]string
		code int
	}{
		"each attempt and node":     {nil, 1},
		"this attempt":              {map[string]string{envAttempt: "2"}, 1},
		"another attempt":           {map[string]string{envAttempt: "1"}, exitDone},
		"this node":                 {map[string]string{envNode: "1"}, 1},
		"another node":              {map[string]string{envNode: "0"}, exitDone},
		"a step that never comes":   {map[string]string{envAt: "21"}, exitDone},
		"a hang that has an end":    {map[string]string{envDo: doHang, envFor: "1ms"}, exitDone},
		"a flood is no end":         {map[string]string{envDo: doFlood, envLines: "10"}, exitDone},
		"a memory of a GPU is full": {map[string]string{envDo: doCUDA}, 1},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPod(t, map[string]string{envDo: doExit, staging.EnvAttempt: "2", staging.EnvNodeIndex: "1", staging.EnvNodeCount: "2"})
			for name, value := range test.env {
				p[name] = value
			}
			if code, out, problems := p.run(t, ""); code != test.code {
				t.Errorf("exit %d, want %d\n%s%s", code, test.code, out, problems)
			}
			if left, err := steps(p[staging.EnvCheckpointDir]); err != nil || len(left) > 0 {
				t.Errorf("node 1 wrote checkpoints: %v, %v", left, err)
			}
		})
	}
}

func TestHungProgramSavesNothingWhenItIsAskedToStop(t *testing.T) {
	t.Parallel()
	for _, do := range []string{doHang, doMumble, doMemory} {
		t.Run(do, func(t *testing.T) {
			t.Parallel()
			p := newPod(t, map[string]string{envDo: do, envAt: "7"})
			// Memory is taken until the stop, which comes before the first piece here.
			if code, out, _ := p.run(t, "step 7 of 20"); code != exitStopped {
				t.Errorf("exit %d, want %d\n%s", code, exitStopped, out)
			}
			if left, err := steps(p[staging.EnvCheckpointDir]); err != nil || cmp.Diff([]int{5}, left) != "" {
				t.Errorf("checkpoints %v, want that of step 5 only (%v)", left, err)
			}
		})
	}
}

func TestDamagedOrExchangedCheckpointIsFoundOut(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		spoil func(folder string) error
		says  string
	}{
		"one byte":           {func(f string) error { return os.WriteFile(filepath.Join(f, weightsFile), []byte("x"), 0o600) }, errDamaged.Error()},
		"no state":           {func(f string) error { return os.Remove(filepath.Join(f, stateFile)) }, "no such file"},
		"under another name": {func(f string) error { return os.Rename(f, filepath.Join(filepath.Dir(f), "step-000021")) }, errDamaged.Error()},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPod(t, map[string]string{envKiB: "1"})
			p.run(t, "")
			if err := test.spoil(filepath.Join(p[staging.EnvCheckpointDir], "step-000020")); err != nil {
				t.Fatal(err)
			}
			if code, _, problems := p.run(t, ""); code != exitFailed || !strings.Contains(problems, test.says) {
				t.Errorf("exit %d, %q; want %d and %q", code, problems, exitFailed, test.says)
			}
		})
	}
}

func TestEveryNodeResumesFromItsOwnPart(t *testing.T) {
	t.Parallel()
	p := newPod(t, map[string]string{envAllWrite: "true", staging.EnvNodeIndex: "1", staging.EnvNodeCount: "2"})
	p.run(t, "step 7 of 20")
	if code, out, problems := p.run(t, ""); code != exitDone || !strings.Contains(out, "going on after step 7") {
		t.Errorf("exit %d\n%s%s", code, out, problems)
	}
	p[staging.EnvNodeIndex] = "0" // The part of another node is not taken for one's own.
	if code, _, problems := p.run(t, ""); code != exitFailed || !strings.Contains(problems, errDamaged.Error()) {
		t.Errorf("exit %d, %q", code, problems)
	}
}

func TestFloodIsHostile(t *testing.T) {
	t.Parallel()
	p := newPod(t, map[string]string{envDo: doFlood, envLines: "2000", envSteps: "11"})
	p.run(t, "")
	text, err := os.ReadFile(p[staging.EnvProgressFile])
	if err != nil {
		t.Fatal(err)
	}
	good, bad, long := 0, 0, 0
	for line := range bytes.Lines(text) {
		switch {
		case len(line) > 64<<10:
			long++
		case json.Valid(line):
			good++
		default:
			bad++
		}
	}
	if good < 500 || bad < 300 || long != 2 {
		t.Errorf("%d good lines, %d bad ones, %d long ones", good, bad, long)
	}
}

func TestSettingsThatMakeNoSense(t *testing.T) {
	t.Parallel()
	for name, value := range map[string]string{envSteps: "0", envStep: "fast", envAt: "ten", envDo: "dance", envEvery: "0"} {
		if _, err := parse(func(asked string) string { return pod{name: value}[asked] }); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s=%s: %v, want an error that names it", name, value, err)
		}
	}
}
