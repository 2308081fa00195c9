package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/lethe-dev/lethe/hack/lab/console"
	"github.com/lethe-dev/lethe/hack/lab/deploy"
	"github.com/lethe-dev/lethe/hack/lab/images"
	"github.com/lethe-dev/lethe/hack/lab/lifecycle"
	"github.com/lethe-dev/lethe/hack/lab/site"
	"github.com/lethe-dev/lethe/hack/lab/teardown"
	"github.com/lethe-dev/lethe/hack/lab/toolchain"
)

const usage = `usage: lab COMMAND

  tools [NAME...]     build what is missing: all tools, or the named ones
  up                  bring the lab up, or repair it; does nothing twice
  deploy              build the project's images, load them, roll out the operator
  load NAME=PATH      put one static program into containerd as image NAME
  status              show every component; fails unless all are healthy
  env                 print "export ..." lines to reach the lab
  stop COMPONENT      stop one component, to see what its absence does
  start COMPONENT     start it again
  down                remove the lab without a trace, also after a crash`

// errUnwell ends the program with an error after the table has said it all.
var errUnwell = errors.New("not everything is healthy")

type command struct {
	// args is the number of arguments, or -1 for any.
	args int
	// locks says that no other command may work beside it.
	locks bool
	do    func(ctx context.Context, l *lifecycle.Lab, args []string) error
}

var commands = map[string]command{
	"tools":  {args: -1, do: tools},
	"up":     {locks: true, do: up},
	"deploy": {locks: true, do: deployAll},
	"load":   {args: 1, locks: true, do: load},
	"status": {do: status},
	"env":    {do: env},
	"stop":   {args: 1, locks: true, do: func(ctx context.Context, l *lifecycle.Lab, a []string) error { return l.Stop(ctx, a[0]) }},
	"start":  {args: 1, locks: true, do: func(ctx context.Context, l *lifecycle.Lab, a []string) error { return l.Start(ctx, a[0]) }},
	"down":   {locks: true, do: down},
}

func run(ctx context.Context, args []string) error {
	if len(args) == 0 {
		return errors.New(usage)
	}
	c, known := commands[args[0]]
	if !known || (c.args >= 0 && len(args)-1 != c.args) {
		return errors.New(usage)
	}
	dir, err := os.Getwd()
	if err != nil {
		return fmt.Errorf("find working directory: %w", err)
	}
	where, err := site.Find(dir, os.Getenv)
	if err != nil {
		return err
	}
	// iptables and its kind lie in sbin, which not every PATH has.
	if err := os.Setenv("PATH", os.Getenv("PATH")+":/usr/local/sbin:/usr/sbin:/sbin"); err != nil {
		return fmt.Errorf("extend PATH: %w", err)
	}
	lab := &lifecycle.Lab{Site: where, Console: console.New(os.Stdout, time.Now), Now: time.Now}
	if c.locks {
		release, err := lifecycle.Lock(ctx, lab.Console)
		if err != nil {
			return err
		}
		defer release()
	}
	return c.do(ctx, lab, args[1:])
}

func tools(ctx context.Context, l *lifecycle.Lab, names []string) error {
	selected, err := toolchain.Select(names...)
	if err != nil {
		return err
	}
	return l.Builder().Ensure(ctx, selected, false)
}

func up(ctx context.Context, l *lifecycle.Lab, _ []string) error {
	start := time.Now()
	if err := l.Up(ctx); err != nil {
		return err
	}
	l.Console.Say("The lab is up after %s. To use it: eval \"$(lab env)\"", time.Since(start).Round(100*time.Millisecond))
	return nil
}

func deployAll(ctx context.Context, l *lifecycle.Lab, _ []string) error {
	if err := l.RequireUp(); err != nil {
		return err
	}
	return deploy.Deploy(ctx, l.Site, l.Console)
}

func load(ctx context.Context, l *lifecycle.Lab, args []string) error {
	name, path, ok := strings.Cut(args[0], "=")
	if !ok {
		return errors.New("say NAME=PATH, as in lab load lethe.dev/probe:dev=./probe")
	}
	if err := l.RequireUp(); err != nil {
		return err
	}
	return l.Console.Step("image "+name, func() (string, error) {
		_, changed, err := images.Load(ctx, l.Site, name, path)
		if changed {
			return "imported", err
		}
		return "there", err
	})
}

func status(ctx context.Context, l *lifecycle.Lab, _ []string) error {
	well, err := l.Status(ctx, os.Stdout)
	if err == nil && !well {
		err = errUnwell
	}
	return err
}

func env(_ context.Context, l *lifecycle.Lab, _ []string) error {
	variables, err := l.Env(os.Getenv("PATH"))
	if err != nil {
		return err
	}
	for _, variable := range variables {
		name, value, _ := strings.Cut(variable, "=")
		fmt.Printf("export %s=%s\n", name, quote(value))
	}
	return nil
}

// quote makes a value safe for a shell.
func quote(value string) string {
	return "'" + strings.ReplaceAll(value, "'", `'\''`) + "'"
}

func down(ctx context.Context, l *lifecycle.Lab, _ []string) error {
	if err := teardown.Down(ctx, l.Site, l.Console); err != nil {
		return err
	}
	l.Console.Say("Nothing of the lab is left.")
	return nil
}
