// Command images builds the images of Lethe into a folder, reproducibly and without Docker, and
// writes the component of kustomize that puts their digests into an overlay. See package
// release.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/lethe-dev/lethe/hack/lab/release"
	"github.com/lethe-dev/lethe/hack/lab/site"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil && !errors.Is(err, flag.ErrHelp) {
		stop()
		fmt.Fprintln(os.Stderr, "images:", err)
		os.Exit(1)
	}
}

// run builds all, or the named programs only; then nothing is written that names all.
func run(ctx context.Context, args []string, out io.Writer) error {
	dir, err := os.Getwd()
	if err != nil {
		return fmt.Errorf("find working directory: %w", err)
	}
	where, err := site.Find(dir, os.Getenv)
	if err != nil {
		return err
	}
	builder := release.Builder{Repo: where.Repo}
	set := flag.NewFlagSet("images", flag.ContinueOnError)
	set.StringVar(&builder.Registry, "registry", "lethe.dev", "where the images will be, as registry.example.com/lethe")
	set.StringVar(&builder.Version, "version", "", "what the programs say of themselves, and the images' tag")
	folder := set.String("out", filepath.Join(where.Cache, "images"), "folder to write to")
	if err := set.Parse(args); err != nil {
		return err
	}
	programs, err := choose(set.Args())
	if err != nil {
		return err
	}
	digests := map[string]string{}
	for _, p := range programs {
		digest, err := builder.Image(ctx, p, *folder)
		if err != nil {
			return err
		}
		digests[p.Name] = digest
		fmt.Fprintf(out, "%s/%s@%s\n", builder.Registry, p.Name, digest)
	}
	if set.NArg() > 0 {
		return nil
	}
	if err := release.Save(filepath.Join(*folder, "references"), builder.References(digests)); err != nil {
		return err
	}
	return release.Save(filepath.Join(*folder, "kustomization.yaml"), builder.Component(digests))
}

func choose(names []string) ([]release.Program, error) {
	programs := release.Programs()
	if len(names) == 0 {
		return programs, nil
	}
	var chosen []release.Program
	for _, name := range names {
		i := slices.IndexFunc(programs, func(p release.Program) bool { return p.Name == name })
		if i < 0 {
			var known []string
			for _, p := range programs {
				known = append(known, p.Name)
			}
			return nil, fmt.Errorf("there is no image %q, only %s", name, strings.Join(known, ", "))
		}
		chosen = append(chosen, programs[i])
	}
	return chosen, nil
}
