package runs

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Names of the parts.
const (
	partCreate  = "create"
	partLatency = "latency"
	partFleet   = "fleet"
	partRest    = "rest"
)

var allParts = []string{partCreate, partLatency, partFleet, partRest}

// options of the benchmark.
type options struct {
	runs, creators, rounds, datasets int
	rate, seconds                    int
	fleet                            int
	finished                         []int
	quiet                            time.Duration
	parts                            []string
}

func parse(args []string, out io.Writer) (options, error) {
	var o options
	var finished, parts string
	flags := flag.NewFlagSet("bench runs", flag.ContinueOnError)
	flags.SetOutput(out)
	flags.IntVar(&o.runs, "runs", 1000, "how many runs the creators make")
	flags.IntVar(&o.creators, "creators", 16, "how many creators there are")
	flags.IntVar(&o.rounds, "rounds", 3, "how often creating is measured")
	flags.IntVar(&o.datasets, "datasets", 20, "how many datasets the runs of a part share")
	flags.IntVar(&o.rate, "rate", 100, "runs that are created in a second, to measure how long their Jobs take")
	flags.IntVar(&o.seconds, "seconds", 20, "for how many seconds")
	flags.IntVar(&o.fleet, "fleet", 2000, "how many runs go to their end on nodes of kwok")
	flags.StringVar(&finished, "finished", "2000,10000", "two numbers of finished runs, ascending, between which memory is measured")
	flags.DurationVar(&o.quiet, "quiet", time.Minute, "how long the operator is watched at rest")
	flags.StringVar(&parts, "parts", strings.Join(allParts, ","), "what to measure")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	if min(o.runs, o.creators, o.rounds, o.datasets, o.rate, o.seconds, o.fleet) < 1 || flags.NArg() > 0 {
		return o, errors.New("all numbers are 1 at least, and there is nothing but flags")
	}
	for text := range strings.SplitSeq(finished, ",") {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 {
			return o, fmt.Errorf("%q is not a number of finished runs", text)
		}
		o.finished = append(o.finished, n)
	}
	if len(o.finished) != 2 || o.finished[0] >= o.finished[1] {
		return o, errors.New("name two numbers of finished runs, the smaller one first")
	}
	o.parts = strings.Split(parts, ",")
	for _, part := range o.parts {
		if !slices.Contains(allParts, part) {
			return o, fmt.Errorf("there is no part %q; there are: %s", part, strings.Join(allParts, ", "))
		}
	}
	return o, nil
}

// times gives n if one of these parts is wanted, and else 0.
func (o options) times(n int, parts ...string) int {
	if slices.ContainsFunc(parts, func(part string) bool { return slices.Contains(o.parts, part) }) {
		return n
	}
	return 0
}
