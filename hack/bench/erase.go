package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"strconv"
	"strings"
)

// options of the benchmark.
type options struct {
	objects, size, rounds int
	versioned             bool
	memory                []int
}

func parseErase(args []string, env environment) (options, error) {
	var o options
	var memory string
	flags := flag.NewFlagSet("bench erase", flag.ContinueOnError)
	flags.SetOutput(env.stderr)
	flags.IntVar(&o.objects, "objects", 100_000, "how many objects to put")
	flags.IntVar(&o.size, "size", 1024, "size of each object, in bytes")
	flags.IntVar(&o.rounds, "rounds", 3, "how often each method is measured")
	flags.BoolVar(&o.versioned, "versioned", false, "measure in versioned buckets")
	flags.StringVar(&memory, "memory", "100000,1000000", "numbers of versions to measure the engine's memory with")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	if o.objects < 1 || o.size < 0 || o.rounds < 1 || flags.NArg() > 0 {
		return o, errors.New("there must be an object and a round at least, and nothing but flags")
	}
	for text := range strings.SplitSeq(memory, ",") {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 {
			return o, fmt.Errorf("%q is not a number of versions", text)
		}
		o.memory = append(o.memory, n)
	}
	return o, nil
}

func benchErase(ctx context.Context, args []string, env environment) error {
	o, err := parseErase(args, env)
	if err != nil {
		return err
	}
	return under(ctx, func(s *script) error {
		rclone, err := ensureRclone(ctx, env)
		if err != nil {
			return err
		}
		memory, err := measureMemory(ctx, o, env)
		if err != nil {
			return err
		}
		b := &bench{options: o, env: env, rclone: rclone}
		if err := b.prepare(s); err != nil { //nolint:contextcheck // The script has its own context.
			return err
		}
		r := results{objects: o.objects, memory: memory}
		for round := range o.rounds {
			samples, err := b.round(s, round) //nolint:contextcheck // As above.
			if err != nil {
				return fmt.Errorf("round %d: %w", round+1, err)
			}
			r.rounds = append(r.rounds, samples)
		}
		fmt.Fprintf(env.stdout, "\n%d objects of %d bytes, versions %v, %d rounds; the best of each, and the median of what the CPU did\n\n", o.objects, o.size, o.versioned, o.rounds)
		if !r.print(env.stdout) {
			return errors.New("a promise is not kept")
		}
		return nil
	})
}

// round measures each method once, and begins with another one each time.
func (b *bench) round(s *script, round int) (map[string]sample, error) {
	methods := []string{portable, fast, bare, rclonePurge, rcloneDelete}
	samples := map[string]sample{}
	for i := range methods {
		method := methods[(i+round)%len(methods)]
		got, err := b.measure(s, method)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", method, err)
		}
		fmt.Fprintf(b.env.stdout, "round %d: %-13s %8.2f s\n", round+1, method, got.took.Seconds())
		samples[method] = got
		if method == bare {
			samples[bareListing] = sample{took: got.took + got.listing, cpu: got.cpu, server: got.server, peak: got.peak}
		}
	}
	return samples, nil
}

// measureMemory runs the engine on formulas.
func measureMemory(ctx context.Context, o options, env environment) (map[int]int64, error) {
	peaks := map[int]int64{}
	for _, n := range o.memory {
		got, err := runOrder(ctx, env, order{Method: methodMemory, Target: target("bucket", formulaStore), Versions: n})
		if err != nil {
			return nil, fmt.Errorf("measure memory with %d versions: %w", n, err)
		}
		if got.Removed != int64(n) {
			return nil, fmt.Errorf("measure memory: %d of %d versions were removed", got.Removed, n)
		}
		fmt.Fprintf(env.stdout, "memory: the engine with %d versions: %.0f MiB\n", n, float64(got.peak)/(1<<20))
		peaks[n] = got.peak
	}
	return peaks, nil
}

// outcome is what a child said, and what its process cost.
type outcome struct {
	answer
	sample
}

// runOrder has a process of its own do what is ordered.
func runOrder(ctx context.Context, env environment, o order) (outcome, error) {
	self, err := os.Executable()
	if err != nil {
		return outcome{}, fmt.Errorf("find this program: %w", err)
	}
	data, err := json.Marshal(o)
	if err != nil {
		return outcome{}, fmt.Errorf("encode order: %w", err)
	}
	var got outcome
	var stdout []byte
	got.sample, stdout, err = runProcess(ctx, env, []string{orderVariable + "=" + string(data)}, self, childName)
	if err != nil {
		return got, err
	}
	if err := json.Unmarshal(stdout, &got.answer); err != nil {
		return got, fmt.Errorf("understand %s: %w", o.Method, err)
	}
	return got, nil
}
