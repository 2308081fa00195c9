package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
)

// command is one of the program's.
type command struct {
	// words are what is typed, arguments what follows, in the form of the help.
	words     string
	arguments []string
	help      string
	// settings of its own, besides those that all commands share.
	settings func(*invocation) []setting
	do       func(context.Context, *invocation) error
}

// invocation is one start of the program.
type invocation struct {
	config config
	args   []string
	// role is of "admin invite", force of "keys retire".
	role  string
	force bool
	// memoryLimited says that whoever started us has set GOMEMLIMIT.
	memoryLimited bool
	out           io.Writer
	log           *slog.Logger
}

func commands() []command {
	return []command{
		{words: "serve", help: "serve the portal until SIGTERM", do: serve},
		{words: "migrate", help: "bring the database to this version's schema", do: migrate},
		{words: "backup", arguments: []string{"FILE"}, help: "copy a SQLite database to a new file while the portal runs", do: backup},
		{words: "restore", arguments: []string{"FILE"}, help: "put a backup in the place of a SQLite database that was moved away", do: restore},
		{words: "keys create", help: "make the key file; refuses one that is there", do: createKeys},
		{words: "keys rotate", help: "add a key and make it the one that new secrets are sealed with", do: rotateKeys},
		{words: "keys reseal", help: "seal what is in the database under the newest key, after all replicas have it", do: resealKeys},
		{words: "keys retire", arguments: []string{"KEY"}, help: "remove an old key that nothing needs any more", settings: (*invocation).forceSetting, do: retireKey},
		{words: "admin invite", arguments: []string{"EMAIL"}, help: "give an account a role, make it if need be, and print the link that sets its password", settings: (*invocation).roleSetting, do: invite},
		{words: "purge", help: "remove now what is past its retention", do: purge},
		{words: "audit verify", help: "check the chain of the audit log, and print its head to be kept elsewhere", do: verifyAudit},
	}
}

// exit statuses of the program.
const (
	exitOK     = 0
	exitFailed = 1
	exitUsage  = 2
)

// usageError is a mistake in how the program was started.
type usageError struct{ err error }

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }

// run does what the arguments say and gives the exit status.
func run(ctx context.Context, args, environ []string, out, errOut io.Writer) int {
	err := start(ctx, args, environ, out, errOut)
	var usage *usageError
	switch {
	case err == nil || errors.Is(err, errHelp):
		return exitOK
	case errors.As(err, &usage):
		fmt.Fprintln(errOut, "portal:", indent(err))
		return exitUsage
	default:
		fmt.Fprintln(errOut, "portal:", redact(err.Error()))
		return exitFailed
	}
}

// indent puts each of several errors on a line of its own, below the first.
func indent(err error) string { return strings.ReplaceAll(err.Error(), "\n", "\n  ") }

func start(ctx context.Context, args, environ []string, out, errOut io.Writer) error {
	chosen, rest, err := choose(args)
	if errors.Is(err, errHelp) {
		printHelp(out)
		return nil
	}
	if err != nil {
		return &usageError{err}
	}
	i := &invocation{config: defaults(), out: out, role: "admin"}
	for _, entry := range environ {
		switch name, value, _ := strings.Cut(entry, "="); {
		case name == "DATABASE_URL" && value != "":
			i.config.database = value // what platforms set; anything of ours wins over it
		case name == "GOMEMLIMIT" && value != "":
			i.memoryLimited = true
		}
	}
	settings := i.config.settings()
	if chosen.settings != nil {
		settings = append(chosen.settings(i), settings...)
	}
	i.args, err = apply(settings, rest, environ, out)
	if errors.Is(err, errHelp) {
		return err
	}
	if err != nil {
		return &usageError{err}
	}
	if len(i.args) != len(chosen.arguments) {
		return &usageError{fmt.Errorf("usage: portal %s", strings.Join(append([]string{chosen.words}, chosen.arguments...), " "))}
	}
	i.log = newLog(errOut, i.config.logLevel)
	return chosen.do(ctx, i)
}

// choose finds the command whose words the arguments begin with.
func choose(args []string) (command, []string, error) {
	if len(args) == 0 || slices.Contains([]string{"help", "--help", "-h", "-help"}, args[0]) {
		return command{}, nil, errHelp
	}
	for _, c := range commands() {
		words := strings.Fields(c.words)
		if len(args) >= len(words) && slices.Equal(args[:len(words)], words) {
			return c, args[len(words):], nil
		}
	}
	return command{}, nil, fmt.Errorf("there is no command %q; \"portal help\" lists them", strings.Join(args[:min(2, len(args))], " "))
}

func printHelp(out io.Writer) {
	fmt.Fprint(out, "usage: portal COMMAND [SETTING...]\n\n")
	for _, c := range commands() {
		fmt.Fprintf(out, "  %-21s %s\n", strings.Join(append([]string{c.words}, c.arguments...), " "), c.help)
	}
	fmt.Fprint(out, "\nSettings; a flag wins over its variable, that over the same name in the file of --config:\n\n")
	config := defaults()
	printSettings(out, config.settings())
}
