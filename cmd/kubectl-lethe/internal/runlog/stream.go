package runlog

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func (r Reader) stream(ctx context.Context, namespace, pod, container string, lines *lineWriter) error {
	options := &corev1.PodLogOptions{Container: container, Follow: true, Timestamps: true}
	if !lines.last.IsZero() {
		options.SinceTime = &metav1.Time{Time: lines.last}
	}
	body, err := r.Open(ctx, namespace, pod, options)
	if err != nil {
		return fmt.Errorf("open the log of %s: %w", container, err)
	}
	defer func() { _ = body.Close() }() // It was only read.
	return lines.copy(body)
}

func permanent(err error) bool {
	return apierrors.IsForbidden(err) || apierrors.IsUnauthorized(err)
}

// errOutput marks errors of the output; a pipe that was closed ends the reading.
var errOutput = errors.New("write log")

// lineWriter writes lines without their times, and those that were written
// before not again.
type lineWriter struct {
	out   io.Writer
	last  time.Time
	count int
}

func (w *lineWriter) copy(in io.Reader) error {
	lines := bufio.NewReader(in)
	behind := w.last
	for {
		line, err := lines.ReadBytes('\n')
		if len(line) > 0 && (err == nil || errors.Is(err, io.EOF)) {
			if errWrite := w.line(line, behind); errWrite != nil {
				return errWrite
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read log: %w", err)
		}
	}
}

// add writes a piece of a log, which begins behind the last one, or repeats it in part:
// then what is not newer was written before.
func (w *lineWriter) add(piece []byte) error {
	var behind time.Time
	if at, _, ok := stamped(piece); ok && at.Before(w.last) {
		behind = w.last
	}
	for line := range bytes.Lines(piece) {
		if err := w.line(line, behind); err != nil {
			return err
		}
	}
	return nil
}

// stamped parts a line from the time before it.
func stamped(line []byte) (at time.Time, text []byte, ok bool) {
	stamp, text, ok := bytes.Cut(line, []byte(" "))
	if !ok {
		return time.Time{}, line, false
	}
	at, err := time.Parse(time.RFC3339Nano, string(stamp))
	return at, text, err == nil
}

func (w *lineWriter) line(line []byte, behind time.Time) error {
	if at, text, ok := stamped(line); ok {
		if !at.After(behind) {
			return nil
		}
		w.last, line = at, text
	}
	w.count++
	if _, err := w.out.Write(line); err != nil {
		return fmt.Errorf("%w: %w", errOutput, err)
	}
	return nil
}
