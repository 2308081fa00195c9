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

// add writes lines that are all new.
func (w *lineWriter) add(data []byte) error {
	for line := range bytes.Lines(data) {
		if err := w.line(line, time.Time{}); err != nil {
			return err
		}
	}
	return nil
}

func (w *lineWriter) line(line []byte, behind time.Time) error {
	if stamp, rest, ok := bytes.Cut(line, []byte(" ")); ok {
		if at, err := time.Parse(time.RFC3339Nano, string(stamp)); err == nil {
			if !at.After(behind) {
				return nil
			}
			w.last, line = at, rest
		}
	}
	w.count++
	if _, err := w.out.Write(line); err != nil {
		return fmt.Errorf("%w: %w", errOutput, err)
	}
	return nil
}
