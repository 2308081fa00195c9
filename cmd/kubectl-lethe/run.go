package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"

	"github.com/lethe-dev/lethe/cmd/kubectl-lethe/internal/cluster"
	"github.com/lethe-dev/lethe/cmd/kubectl-lethe/internal/terminal"
	"github.com/lethe-dev/lethe/controllers/staging/agent"
)

// run is the whole program; it gives the exit code.
func run(args []string) int {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	defer signal.Stop(signals)
	streams := genericiooptions.IOStreams{In: os.Stdin, Out: os.Stdout, ErrOut: os.Stderr}
	var last farewell
	go obey(signals, cancel, func() {
		_, _ = fmt.Fprint(streams.ErrOut, last.get())
		os.Exit(exitInterrupted)
	})
	flags := genericclioptions.NewConfigFlags(true)
	root := newRoot(streams, flags, func() (*session, error) { return connect(streams, flags, &last) })
	root.SetArgs(args)
	return report(streams.ErrOut, root.ExecuteContext(ctx))
}

// newRoot puts the commands together; open connects to the cluster.
func newRoot(streams genericiooptions.IOStreams, flags *genericclioptions.ConfigFlags, open func() (*session, error)) *cobra.Command {
	root := &cobra.Command{
		Use:   "kubectl-lethe",
		Short: "Train on GPUs, then forget the data",
		Long: "Upload a dataset, train on it, follow the run, take the artifacts, and see when the data goes.\n\n" +
			"  kubectl lethe upload ./digits digits\n" +
			"  kubectl lethe run digits-1 --dataset digits --image registry/trainer:1 --gpus 1\n" +
			"  kubectl lethe artifacts digits-1 ./model",
		Annotations:   map[string]string{cobra.CommandDisplayNameAnnotation: "kubectl lethe"},
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          usageArgs(cobra.NoArgs),
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetIn(streams.In)
	root.SetOut(streams.Out)
	root.SetErr(streams.ErrOut)
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	flags.AddFlags(root.PersistentFlags())
	root.CompletionOptions.DisableDefaultCmd = true // There is one of our own.
	for _, group := range []struct {
		title    string
		commands []*cobra.Command
	}{
		{"Data:", []*cobra.Command{newUpload(open), newArtifacts(open), newReceipt(streams)}},
		{"Runs:", []*cobra.Command{
			newRun(open), newWatch(open), newStatus(open), newLogs(open), newWhy(open), newCancel(open), newResume(open),
		}},
		{"The cluster:", []*cobra.Command{newDoctor(open)}},
		{"This program:", []*cobra.Command{newCompletion(streams.Out), newVersion(streams.Out)}},
	} {
		root.AddGroup(&cobra.Group{ID: group.title, Title: group.title})
		for _, command := range group.commands {
			command.GroupID = group.title
		}
		root.AddCommand(group.commands...)
	}
	completeNames(root, open)
	return root
}

// usageArgs marks the errors of a check of arguments.
func usageArgs(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if err := check(cmd, args); err != nil {
			return usageError{fmt.Errorf("%w; see: %s --help", err, cmd.CommandPath())}
		}
		return nil
	}
}

// connect reads the kubeconfig. Nothing is sent yet.
func connect(streams genericiooptions.IOStreams, flags *genericclioptions.ConfigFlags, last *farewell) (*session, error) {
	config, err := flags.ToRESTConfig()
	if err != nil {
		return nil, fmt.Errorf("read kubeconfig: %w", err)
	}
	config.WarningHandler = rest.NewWarningWriter(streams.ErrOut, rest.WarningWriterOptions{Deduplicate: true})
	namespace, _, err := flags.ToRawKubeConfigLoader().Namespace()
	if err != nil {
		return nil, fmt.Errorf("read kubeconfig: %w", err)
	}
	c, err := cluster.NewClient(config)
	if err != nil {
		return nil, err
	}
	core, err := typedcorev1.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("connect to the API server: %w", err)
	}
	return &session{
		streams: streams, namespace: namespace, config: config, client: c, openLog: podLogs(core),
		stdout: terminal.Open(streams.Out, os.Getenv), stderr: terminal.Open(streams.ErrOut, os.Getenv),
		connect: agent.ConnectStore, clock: clock.RealClock{}, journals: journalFolder, farewell: last,
	}, nil
}

// journalFolder is where uploads note what has arrived.
func journalFolder() (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("find the cache folder: %w", err)
	}
	return filepath.Join(cache, "lethe", "uploads"), nil
}
