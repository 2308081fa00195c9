package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// Exit codes beside those that are asked for.
const (
	exitDone    = 0
	exitFailed  = 1
	exitUsage   = 2
	exitStopped = 143
)

// mumbleEvery is between two lines of doMumble.
const mumbleEvery = 5 * time.Second

// trainer is one process.
type trainer struct {
	settings
	out, problems io.Writer
}

// run gives the exit code. The end of ctx is SIGTERM.
func (t trainer) run(ctx context.Context) int {
	code, err := t.train(ctx)
	if err != nil {
		_, _ = fmt.Fprintln(t.problems, "unruly:", err)
		return exitFailed
	}
	return code
}

func (t trainer) say(format string, values ...any) {
	_, _ = fmt.Fprintf(t.out, format+"\n", values...) // a line that can not be written is lost
}

func (t trainer) train(ctx context.Context) (int, error) {
	writer := 0
	if t.allWrite {
		writer = t.node
	}
	s, err := resume(t.checkpoints, writer, t.kib)
	if err != nil {
		return 0, fmt.Errorf("resume: %w", err)
	}
	s.Trail = append(s.Trail, leg{Attempt: t.attempt, From: s.Step, To: s.Step})
	t.say("attempt %d, node %d of %d: %d files, going on after step %d", t.attempt, t.node, t.nodes, files(t.dataset), s.Step)
	if t.hostfile != "" {
		hosts, err := os.ReadFile(t.hostfile)
		if err != nil {
			return 0, fmt.Errorf("read the list of nodes: %w", err)
		}
		t.say("%d lines in the list of nodes", bytes.Count(hosts, []byte("\n")))
	}
	for s.Step < t.steps {
		if !sleep(ctx, t.step) {
			return t.stopped(s)
		}
		s.advance()
		if err := t.told(s); err != nil {
			return 0, err
		}
		if !t.due(s.Step) {
			continue
		}
		if code, ends := t.misbehave(ctx, s); ends {
			return code, nil
		}
	}
	return exitDone, t.publish(s)
}

// told reports a step, and saves it when it is time.
func (t trainer) told(s state) error {
	t.say("step %d of %d", s.Step, t.steps)
	if err := t.report(s); err != nil {
		return fmt.Errorf("report: %w", err)
	}
	if s.Step%t.every != 0 || !t.writes() {
		return nil
	}
	if err := s.save(t.checkpoints, t.node, t.kib); err != nil {
		return fmt.Errorf("save: %w", err)
	}
	return nil
}

// report appends a line to the progress file.
func (t trainer) report(s state) error {
	line, err := json.Marshal(map[string]any{
		"time": time.Now().UTC().Format(time.RFC3339Nano), "step": s.Step, "totalSteps": t.steps,
		"percent": 100 * float64(s.Step) / float64(t.steps), "metrics": map[string]float64{"loss": 1 / float64(s.Step)},
	})
	if err != nil {
		return err
	}
	return t.append(append(line, '\n'))
}

func (t trainer) append(data []byte) error {
	f, err := os.OpenFile(t.progress, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644) //nolint:gosec // G302: the stager reads it as another user.
	if err != nil {
		return err
	}
	if _, err := f.Write(data); err != nil {
		_ = f.Close() // the first error is the one to tell
		return err
	}
	return f.Close()
}

// stopped is the end after a SIGTERM.
func (t trainer) stopped(s state) (int, error) {
	if t.writes() && s.Step > 0 {
		if err := s.save(t.checkpoints, t.node, t.kib); err != nil {
			return 0, fmt.Errorf("save: %w", err)
		}
	}
	t.say("asked to stop after step %d", s.Step)
	return exitStopped, nil
}

// publish leaves the trail, and weights that anybody can verify.
func (t trainer) publish(s state) error {
	t.say("done: %d steps", s.Step)
	text, err := json.Marshal(s)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(t.artifacts, "trail.json"), text, 0o644) //nolint:gosec // G306: the stager reads it as another user.
}

// misbehave does what it was told. It says with which code the program ends, if it does.
func (t trainer) misbehave(ctx context.Context, s state) (code int, ends bool) {
	switch t.do {
	case doExit:
		_, _ = fmt.Fprintf(t.problems, "ValueError: told to end with %d after step %d\n", t.code, s.Step)
		return t.code, true
	case doCUDA:
		_, _ = fmt.Fprintln(t.problems, "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 139.81 GiB of which 1.02 GiB is free.")
		return exitFailed, true
	case doMemory:
		t.say("taking memory")
		return t.devour(ctx), true
	case doFlood:
		if err := t.flood(); err != nil {
			_, _ = fmt.Fprintln(t.problems, "unruly:", err)
			return exitFailed, true
		}
		return 0, false
	}
	return t.hang(ctx)
}

// devour touches ever more memory, until the kernel ends it.
func (t trainer) devour(ctx context.Context) int {
	var held [][]byte
	for ctx.Err() == nil {
		chunk := make([]byte, 16<<20)
		for at := 0; at < len(chunk); at += 4096 {
			chunk[at] = 1
		}
		held = append(held, chunk)
	}
	t.say("asked to stop with %d MiB in hand", 16*len(held))
	return exitStopped
}

// hang does nothing, and writes no checkpoint when it is asked to stop.
func (t trainer) hang(ctx context.Context) (code int, ends bool) {
	var end <-chan time.Time
	if t.lasts > 0 {
		end = time.After(t.lasts)
	}
	tick := time.NewTicker(mumbleEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return exitStopped, true
		case <-end:
			return 0, false
		case <-tick.C:
			if t.do == doMumble {
				t.say("compiling kernels")
			}
		}
	}
}

// flood writes lines as a hostile or broken program would, in large pieces.
func (t trainer) flood() error {
	var text strings.Builder
	for i := range t.lines {
		text.WriteString(floodLine(i))
		if text.Len() > 1<<20 || i == t.lines-1 {
			if err := t.append([]byte(text.String())); err != nil {
				return err
			}
			text.Reset()
		}
	}
	return nil
}

// floodLine is one of several kinds. The last kind is longer than any reader should take.
func floodLine(i int) string {
	kinds := []string{
		`{"step":#,"totalSteps":1000000,"percent":1,"metrics":{"loss":0.5}}`,
		`{"step":-#}`, `{"percent":1e308,"step":#}`, `{"percent":"#"}`, `{"metrics":{"#":1e999}}`,
		`{"step":#`, `[#]`, `null`, "\x00\xff\x1b[31m#", `{"time":"never","epoch":#}`,
	}
	if i%1000 == 999 {
		return `{"metrics":{"` + strings.Repeat("x", 100<<10) + `":1}}` + "\n"
	}
	return strings.ReplaceAll(kinds[i%len(kinds)], "#", strconv.Itoa(i)) + "\n"
}

// files counts the dataset's files; what can not be read counts as none.
func files(folder string) int {
	n := 0
	_ = filepath.WalkDir(folder, func(_ string, entry fs.DirEntry, err error) error {
		if err == nil && entry.Type().IsRegular() {
			n++
		}
		return nil
	})
	return n
}

// sleep says whether the whole time has passed.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
