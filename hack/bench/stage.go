package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/lethe-dev/lethe/controllers/objectstore"
	"github.com/lethe-dev/lethe/controllers/objectstore/objectstoretest"
)

// Methods, beside bare, and directions.
const (
	ours    = "ours"
	hashed  = "bare, hashed"
	rival   = "rclone"
	inward  = " in"
	outward = " out"
)

// stageCredentialsLife is how long the credentials that all methods use are good for.
const stageCredentialsLife = 12 * time.Hour

// stageBench is a server with a bucket, and what all methods use of it.
type stageBench struct {
	stageOptions
	env         environment
	rclonePath  string
	server      *objectstoretest.MinIO // started, unless there is one
	stager      *stager
	client      *objectstore.Client // under the key
	credentials objectstore.Credentials
	bucket      string
	key         []byte
	ca          string // a file
	runs        int
	// checked are the loads whose published form was brought back.
	checked map[string]bool
}

func (o stageOptions) loads() []load {
	return []load{
		{name: "large", count: 1, size: o.bytes},
		{name: "small", count: o.objects, size: int64(o.size)},
	}
}

func (o stageOptions) wants(what string) bool { return strings.HasPrefix(what, o.only) }

func benchStage(ctx context.Context, args []string, env environment) error {
	o, err := parseStage(args, env)
	if err != nil {
		return err
	}
	return under(ctx, func(s *script) error {
		b := &stageBench{stageOptions: o, env: env, checked: map[string]bool{}}
		if o.rclone {
			if b.rclonePath, err = ensureRclone(ctx, env); err != nil {
				return err
			}
		}
		if err := b.prepare(s); err != nil { //nolint:contextcheck // The script has its own context.
			return err
		}
		var r stageResults
		for _, l := range o.loads() {
			if err := b.measureLoad(s, l, &r); err != nil { //nolint:contextcheck // As above.
				return fmt.Errorf("%s: %w", l.name, err)
			}
		}
		fmt.Fprintln(env.stdout)
		if !r.print(env.stdout) {
			return errors.New("a promise is not kept")
		}
		return nil
	})
}

// prepare starts the server.
func (b *stageBench) prepare(s *script) error {
	if b.server == nil {
		b.server = objectstoretest.StartMinIO(s)
	}
	b.key = make([]byte, objectstore.KeySize)
	_, _ = rand.Read(b.key) // It never fails.
	key, err := objectstore.NewKey(b.key)
	if err != nil {
		return err
	}
	root := b.server.Client(s, b.server.Root)
	b.client = root.UnderKey(key)
	b.bucket = b.server.Bucket(s, objectstoretest.Unversioned)
	policy := fmt.Sprintf(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["s3:*"],`+
		`"Resource":["arn:aws:s3:::%[1]s","arn:aws:s3:::%[1]s/*"]}]}`, b.bucket)
	if b.credentials, err = root.AssumeRole(s.Context(), policy, stageCredentialsLife); err != nil {
		return err
	}
	if b.stager, err = newStager(s, b.env, b.server.CA); err != nil {
		return err
	}
	b.ca = filepath.Join(s.TempDir(), "ca.crt")
	return os.WriteFile(b.ca, b.server.CA, 0o600)
}

// staged is a load in the store and on the disk.
type staged struct {
	load
	digest string
	// artifacts is a folder with the files.
	artifacts string
}

// prefix of a load's dataset.
func (l staged) prefix() string { return namespace + "/" + uid + "-" + l.name + "/" }

// measureLoad measures both directions with one load, and what a crash costs.
func (b *stageBench) measureLoad(s *script, l load, r *stageResults) error {
	directions := []string{inward, outward}
	if !b.wants(l.name+inward) && !b.wants(l.name+outward) {
		return nil
	}
	start := time.Now()
	data, err := b.fill(s, l)
	if err != nil {
		return fmt.Errorf("prepare the files: %w", err)
	}
	defer func() { _ = os.RemoveAll(data.artifacts) }() // It lies in a folder that goes with the benchmark.
	fmt.Fprintf(b.env.stdout, "%s: %d files, %d MiB, prepared in %s\n", l.name, l.count, l.total()>>20, time.Since(start).Round(time.Second))
	for _, direction := range directions {
		if !b.wants(l.name + direction) {
			continue
		}
		m := stageMeasure{load: l, direction: direction}
		for round := range b.rounds {
			samples, err := b.round(s, data, direction, round)
			if err != nil {
				return fmt.Errorf("round %d%s: %w", round+1, direction, err)
			}
			m.rounds = append(m.rounds, samples)
		}
		r.measures = append(r.measures, m)
	}
	if !b.wants(l.name + inward) {
		return nil
	}
	twice, err := b.crash(s, data)
	if err != nil {
		return fmt.Errorf("crash: %w", err)
	}
	r.twice = append(r.twice, stageTwice{name: l.name, share: twice})
	return nil
}

// round measures each method once, and begins with another one each time.
func (b *stageBench) round(s *script, data staged, direction string, round int) (map[string]sample, error) {
	methods := []string{ours, bare}
	if direction == inward {
		methods = append(methods, hashed)
	}
	if b.rclone {
		methods = append(methods, rival)
	}
	samples := map[string]sample{}
	for i := range methods {
		method := methods[(i+round)%len(methods)]
		measure := b.measureIn
		if direction == outward {
			measure = b.measureOut
		}
		got, err := measure(s, data, method)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", method, err)
		}
		fmt.Fprintf(b.env.stdout, "round %d: %-9s %-12s %7.2f s, CPU %6.2f s, server's %6.2f s, %3d MiB\n", round+1, data.name+direction, method,
			got.took.Seconds(), got.cpu.Seconds(), got.server.Seconds(), got.peak>>20)
		samples[method] = got
	}
	return samples, nil
}
