package main

import (
	"errors"
	"flag"
)

// stageOptions of the benchmark.
type stageOptions struct {
	// bytes of the one large file; objects of size bytes are the small ones.
	bytes         int64
	objects, size int
	rounds        int
	// folder is where files are brought to; empty for that of temporary files.
	folder string
	// rclone is false where the rival is left out, which keeps no promise about it.
	rclone bool
	// only is what to measure, empty for all.
	only string
}

func parseStage(args []string, env environment) (stageOptions, error) {
	var o stageOptions
	flags := flag.NewFlagSet("bench stage", flag.ContinueOnError)
	flags.SetOutput(env.stderr)
	flags.Int64Var(&o.bytes, "bytes", 4<<30, "size of the large file")
	flags.IntVar(&o.objects, "objects", 50_000, "how many small files")
	flags.IntVar(&o.size, "size", 10<<10, "size of each small file, in bytes")
	flags.IntVar(&o.rounds, "rounds", 3, "how often each method is measured")
	flags.StringVar(&o.folder, "folder", "", "where files are brought to; a folder for temporary files if empty")
	flags.BoolVar(&o.rclone, "rclone", true, "measure rclone too")
	flags.StringVar(&o.only, "only", "", "measure only what begins so: large in, large out, small in, small out")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	if o.bytes < 1 || o.objects < 1 || o.size < 1 || o.rounds < 1 || flags.NArg() > 0 {
		return o, errors.New("there must be a byte, an object and a round at least, and nothing but flags")
	}
	return o, nil
}
