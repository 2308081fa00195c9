package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/spf13/cobra"
	"golang.org/x/term"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"

	"github.com/lethe-dev/lethe/cmd/kubectl-lethe/internal/cluster"
	"github.com/lethe-dev/lethe/controllers/staging/agent"
)

// run is the whole program; it gives the exit code.
func run(args []string) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // A second Ctrl-C ends the program at once.
	streams := genericiooptions.IOStreams{In: os.Stdin, Out: os.Stdout, ErrOut: os.Stderr}
	flags := genericclioptions.NewConfigFlags(true)
	root := newRoot(streams, flags, func() (*session, error) { return connect(streams, flags) })
	root.SetArgs(args)
	return report(streams.ErrOut, root.ExecuteContext(ctx))
}

// newRoot puts the commands together; open connects to the cluster.
func newRoot(streams genericiooptions.IOStreams, flags *genericclioptions.ConfigFlags, open func() (*session, error)) *cobra.Command {
	root := &cobra.Command{
		Use:   "kubectl-lethe",
		Short: "Train on GPUs, then forget the data",
		Long: "Upload a dataset, follow its training, take the artifacts, and see when the data goes.\n\n" +
			"A run is started with kubectl apply of a TrainingRun that names the dataset.",
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
	root.AddCommand(newUpload(open), newArtifacts(open), newLogs(open), newStatus(open), newVersion(streams.Out))
	root.AddCommand(newReceipt(streams))
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
func connect(streams genericiooptions.IOStreams, flags *genericclioptions.ConfigFlags) (*session, error) {
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
		connect: agent.ConnectStore, clock: clock.RealClock{}, width: terminalWidth(streams), journals: journalFolder,
	}, nil
}

// terminalWidth is nil if progress does not go to a terminal.
func terminalWidth(streams genericiooptions.IOStreams) func() int {
	file, ok := streams.ErrOut.(*os.File)
	if !ok || !term.IsTerminal(int(file.Fd())) {
		return nil
	}
	return func() int {
		width, _, err := term.GetSize(int(file.Fd()))
		if err != nil || width <= 0 {
			return 80
		}
		return width
	}
}

// journalFolder is where uploads note what has arrived.
func journalFolder() (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("find the cache folder: %w", err)
	}
	return filepath.Join(cache, "lethe", "uploads"), nil
}
