package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"testing"
)

// script lets what was written for tests be used by a program: a failure ends the
// function that runs under it with an error.
type script struct {
	testing.TB // Only for its unexported method; nothing else of it may be called.

	ctx      context.Context //nolint:containedctx // A test has one too, and this stands in for it.
	cleanups []func()
}

// failed is what a failure panics with.
type failed struct{ error }

// under calls f with a script, cleans up, and gives the failure.
func under(ctx context.Context, f func(*script) error) (err error) {
	s := &script{ctx: ctx}
	defer func() {
		for i := len(s.cleanups) - 1; i >= 0; i-- {
			s.cleanups[i]()
		}
	}()
	defer func() {
		cause := recover()
		if cause == nil {
			return
		}
		f, ok := cause.(failed)
		if !ok {
			panic(cause)
		}
		err = f.error
	}()
	return f(s)
}

func (s *script) Helper() {}

func (s *script) Context() context.Context { return s.ctx }

func (s *script) Cleanup(f func()) { s.cleanups = append(s.cleanups, f) }

func (s *script) Fatal(args ...any) { panic(failed{errors.New(fmt.Sprint(args...))}) }

func (s *script) Fatalf(format string, args ...any) { panic(failed{fmt.Errorf(format, args...)}) }

// Skip of what is missing is a failure here.
func (s *script) Skip(args ...any) { s.Fatal(args...) }

func (s *script) TempDir() string {
	dir, err := os.MkdirTemp("", "lethe-bench-")
	if err != nil {
		s.Fatalf("make a folder: %v", err)
	}
	s.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}
