package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/cmd/kubectl-lethe/internal/cluster"
	"github.com/lethe-dev/lethe/cmd/kubectl-lethe/internal/runspec"
)

// createTimeout is how long the API server may take to make a run. An interruption
// does not cut it off, so that it is known whether there is a run.
const createTimeout = 30 * time.Second

// What --dry-run and --output take.
const (
	dryRunClient = "client"
	dryRunServer = "server"
	outputYAML   = "yaml"
	outputName   = "name"
)

type runOptions struct {
	flags  runspec.Flags
	file   string
	dryRun string
	output string
	detach bool
}

func newRun(open func() (*session, error)) *cobra.Command {
	var o runOptions
	cmd := &cobra.Command{
		Use:   "run NAME --dataset DATASET --image IMAGE [flags] [-- ARGS...]",
		Short: "Start a run, and follow it until it ends",
		Long: "Makes a TrainingRun from flags or from a file, and shows how far it has come until it ends (exit code 0 if\n" +
			"it succeeded, 1 if it failed). Ctrl-C stops the watching only: the run goes on. What follows -- are the\n" +
			"trainer's arguments.",
		Example: "  kubectl lethe run digits-1 --dataset digits --image registry/trainer:1 --gpus 8 --memory 64Gi -- --epochs 3\n" +
			"  kubectl lethe run --generate-name digits- --dataset digits --image registry/trainer:1 --resume-from digits-1\n" +
			"  kubectl lethe run -f run.yaml --detach\n" +
			"  kubectl lethe run digits-1 --dataset digits --image registry/trainer:1 --dry-run=client -o yaml > run.yaml",
		RunE: func(cmd *cobra.Command, args []string) error {
			args, behind := partAt(args, cmd.ArgsLenAtDash())
			if err := o.validate(cmd, args, behind); err != nil {
				return usageError{fmt.Errorf("%w; see: %s --help", err, cmd.CommandPath())}
			}
			s, err := open()
			if err != nil {
				return err
			}
			run, err := o.make(cmd, s, strings.Join(args, ""), behind)
			if err != nil {
				return usageError{err}
			}
			return start(cmd.Context(), s, o, run)
		},
	}
	flags := cmd.Flags()
	o.flags.Register(flags)
	flags.StringVarP(&o.file, "filename", "f", "", "file with one TrainingRun, instead of the flags about the run; - is the standard input")
	flags.StringVar(&o.dryRun, "dry-run", "", "only show what would be made: client asks nobody, server lets the API server check and complete it")
	flags.StringVarP(&o.output, "output", "o", "", "write the run as yaml, or its name, to the standard output; its progress goes to the standard error then")
	flags.BoolVar(&o.detach, "detach", false, "do not wait for the run's end")
	return cmd
}

// partAt parts the arguments at the place of --, which is -1 if there is none.
func partAt(args []string, dash int) (before, behind []string) {
	if dash < 0 {
		return args, nil
	}
	return args[:dash], args[dash:]
}

func (o *runOptions) validate(cmd *cobra.Command, args, behind []string) error {
	if len(args) > 1 {
		return errors.New("there is one NAME; arguments of the trainer stand behind --")
	}
	if !slices.Contains([]string{"", dryRunClient, dryRunServer}, o.dryRun) {
		return errors.New("--dry-run must be client or server")
	}
	if !slices.Contains([]string{"", outputYAML, outputName}, o.output) {
		return errors.New("--output must be yaml or name")
	}
	if o.file == "" {
		return nil
	}
	if used := o.flags.Used(cmd.Flags()); used != "" {
		return fmt.Errorf("--filename and --%s exclude each other", used)
	}
	if len(args)+len(behind) > 0 {
		return errors.New("--filename goes without NAME and arguments: the file says all")
	}
	return nil
}

// make makes the run that is asked for; its errors are about how that was done.
func (o *runOptions) make(cmd *cobra.Command, s *session, name string, args []string) (*v1alpha1.TrainingRun, error) {
	if o.file == "" {
		run, err := o.flags.Run(cmd.Flags(), name, args)
		if err == nil {
			run.Namespace = s.namespace
		}
		return run, err
	}
	run, err := o.read(s)
	if err != nil {
		return nil, err
	}
	switch {
	case run.Namespace == "":
		run.Namespace = s.namespace
	case cmd.Flags().Changed("namespace") && run.Namespace != s.namespace:
		return nil, fmt.Errorf("the file says namespace %s, and --namespace says %s", run.Namespace, s.namespace)
	default:
		s.namespace = run.Namespace
	}
	return run, nil
}

func (o *runOptions) read(s *session) (*v1alpha1.TrainingRun, error) {
	if o.file == standardInput {
		return runspec.Read(s.streams.In)
	}
	file, err := os.Open(o.file)
	if err != nil {
		return nil, err
	}
	run, err := runspec.Read(file)
	return run, errors.Join(err, file.Close())
}

// start makes the run and follows it.
func start(ctx context.Context, s *session, o runOptions, run *v1alpha1.TrainingRun) error {
	if o.dryRun == dryRunClient {
		return o.show(s, run, " (dry run)")
	}
	s.farewell.set(fmt.Sprintf("Nobody knows whether the run was made; see with: kubectl lethe status -n %s\n", run.Namespace))
	if err := create(ctx, s, run, o.dryRun == dryRunServer); err != nil {
		return err
	}
	key := client.ObjectKeyFromObject(run)
	if o.dryRun == dryRunServer {
		return o.show(s, run, " (server dry run)")
	}
	s.farewell.set(detached(key).text + "\n")
	if err := o.show(s, run, ""); err != nil {
		return err
	}
	if o.detach {
		s.note("Follow it with: kubectl lethe watch %s -n %s", key.Name, key.Namespace)
		return nil
	}
	screen := s.stdout
	if o.output != "" {
		screen = s.stderr
	}
	return follow(ctx, s, screen, key)
}

// create makes the run. An interruption is noted and does not cut the request off.
func create(ctx context.Context, s *session, run *v1alpha1.TrainingRun, dryRun bool) error {
	patient, cancel := context.WithTimeout(context.WithoutCancel(ctx), createTimeout)
	defer cancel()
	made := make(chan error, 1)
	go func() { made <- cluster.CreateRun(patient, s.client, run, dryRun) }()
	var err error
	select {
	case err = <-made:
	case <-ctx.Done():
		s.note("Waiting to know whether the run is made. Press Ctrl-C again not to wait.")
		err = <-made
	}
	if errors.Is(err, cluster.ErrExists) {
		return hintError{err, fmt.Sprintf("take another name or --generate-name, or watch that run with: kubectl lethe watch %s -n %s",
			run.Name, run.Namespace)}
	}
	return err
}

// show writes the run in the form that was asked for.
func (o *runOptions) show(s *session, run *v1alpha1.TrainingRun, how string) error {
	name := kindRun + "." + v1alpha1.GroupVersion.Group + "/" + run.Name
	if run.Name == "" {
		name += run.GenerateName + "..."
	}
	switch o.output {
	case outputYAML:
		data, err := runspec.Encode(run)
		if err != nil {
			return err
		}
		s.say("%s", data)
	case outputName:
		s.say("%s\n", name)
	default:
		s.say("%s created%s\n", name, how)
	}
	return nil
}
