package main

import (
	"context"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/cmd/kubectl-lethe/internal/cluster"
	"github.com/lethe-dev/lethe/cmd/kubectl-lethe/internal/runspec"
	"github.com/lethe-dev/lethe/cmd/kubectl-lethe/internal/transfer"
)

// completeTimeout is how long the cluster may take to name things: somebody waits with
// a finger on the tabulator.
const completeTimeout = 2 * time.Second

// kubectlScript lets kubectl complete "kubectl lethe": it runs what has this name in
// the PATH, with the words that were typed.
const kubectlScript = `#!/bin/sh
# Save as kubectl_complete-lethe in a folder of the PATH, and make it executable.
exec kubectl-lethe __complete "$@"
`

// shells are what completion takes, in the order in which they are shown.
var shells = []string{"bash", "zsh", "fish", "powershell", "kubectl"}

func newCompletion(out io.Writer) *cobra.Command {
	return &cobra.Command{
		Use:   "completion " + strings.Join(shells, "|"),
		Short: "Print a script that completes commands and names",
		Long: "Prints a script for a shell that completes kubectl-lethe, or for kubectl, which then completes \"kubectl lethe\"\n" +
			"in whichever shell kubectl itself is completed. Names of runs and datasets come from the cluster.",
		Example: "  kubectl lethe completion kubectl > ~/.local/bin/kubectl_complete-lethe && chmod +x ~/.local/bin/kubectl_complete-lethe\n" +
			"  source <(kubectl lethe completion bash)\n" +
			"  kubectl lethe completion zsh > \"${fpath[1]}/_kubectl-lethe\"\n" +
			"  kubectl lethe completion fish > ~/.config/fish/completions/kubectl-lethe.fish",
		Args:                  usageArgs(cobra.MatchAll(cobra.ExactArgs(1), cobra.OnlyValidArgs)),
		ValidArgs:             shells,
		DisableFlagsInUseLine: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			root := cmd.Root()
			switch args[0] {
			case "bash":
				return root.GenBashCompletionV2(out, true)
			case "zsh":
				return root.GenZshCompletion(out)
			case "fish":
				return root.GenFishCompletion(out, true)
			case "powershell":
				return root.GenPowerShellCompletionWithDesc(out)
			}
			_, err := io.WriteString(out, kubectlScript)
			return err
		},
	}
}

// completeNames teaches all commands to complete their arguments and flags.
func completeNames(root *cobra.Command, open func() (*session, error)) {
	c := completer{open}
	runs, datasets := c.names(cluster.KindRun), c.names(cluster.KindDataset)
	arguments := map[string][]cobra.CompletionFunc{
		"upload": {folders, datasets}, "artifacts": {runs, folders}, "status": {c.names(cluster.KindRun, cluster.KindDataset)},
		"watch": {runs}, "logs": {runs}, "why": {runs}, "cancel": {runs}, "resume": {runs}, "run": {}, "version": {}, "completion": {},
	}
	flags := map[string]map[string]cobra.CompletionFunc{
		"run": {
			runspec.FlagDataset: datasets, runspec.FlagResumeFrom: runs,
			"dry-run": oneOf(dryRunClient, dryRunServer), "output": oneOf(outputYAML, outputName),
		},
		"upload":    {"encryption": oneOf(string(v1alpha1.EncryptionPerDatasetKey), string(v1alpha1.EncryptionBucket))},
		"logs":      {"container": oneOf(containers...)},
		"artifacts": {"checkpoint": c.checkpoints},
	}
	for _, cmd := range root.Commands() {
		if functions, ok := arguments[cmd.Name()]; ok && cmd.ValidArgs == nil {
			cmd.ValidArgsFunction = byPosition(functions)
		}
		for name, function := range flags[cmd.Name()] {
			mustRegister(cmd, name, function)
		}
	}
	mustRegister(root, "namespace", c.names(cluster.KindNamespace))
}

// mustRegister fails only for a flag that does not exist, which the first start shows.
func mustRegister(cmd *cobra.Command, flag string, function cobra.CompletionFunc) {
	if err := cmd.RegisterFlagCompletionFunc(flag, function); err != nil {
		panic(err)
	}
}

// byPosition completes each argument by a function of its own.
func byPosition(functions []cobra.CompletionFunc) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
		if len(args) >= len(functions) {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return functions[len(args)](cmd, args, typed)
	}
}

func folders(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	return nil, cobra.ShellCompDirectiveFilterDirs
}

func oneOf(values ...string) cobra.CompletionFunc {
	return func(_ *cobra.Command, _ []string, typed string) ([]string, cobra.ShellCompDirective) {
		return begin(values, typed), cobra.ShellCompDirectiveNoFileComp
	}
}

// begin gives the words that begin with what was typed.
func begin(words []string, typed string) []string {
	return slices.DeleteFunc(slices.Clone(words), func(word string) bool { return !strings.HasPrefix(word, typed) })
}

// completer asks the cluster for names. What goes wrong completes nothing.
type completer struct {
	open func() (*session, error)
}

// names completes names of objects of these kinds.
func (c completer) names(kinds ...string) cobra.CompletionFunc {
	return func(cmd *cobra.Command, _ []string, typed string) ([]string, cobra.ShellCompDirective) {
		s, err := c.open()
		if err != nil {
			return nil, cobra.ShellCompDirectiveError
		}
		ctx, cancel := context.WithTimeout(cmd.Context(), completeTimeout)
		defer cancel()
		var all []string
		for _, kind := range kinds {
			namespace := s.namespace
			if kind == cluster.KindNamespace {
				namespace = ""
			}
			names, err := cluster.Names(ctx, s.client, kind, namespace)
			if err != nil {
				cobra.CompDebugln(err.Error(), false)
				continue
			}
			all = append(all, names...)
		}
		slices.Sort(all)
		return begin(slices.Compact(all), typed), cobra.ShellCompDirectiveNoFileComp
	}
}

// checkpoints completes those of the run that stands before.
func (c completer) checkpoints(cmd *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
	s, err := c.open()
	if err != nil || len(args) == 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), completeTimeout)
	defer cancel()
	ids := []string{transfer.Latest}
	if run, err := cluster.GetRun(ctx, s.client, s.key(args[0])); err == nil {
		for _, checkpoint := range slices.Backward(run.Status.Checkpoints) {
			ids = append(ids, checkpoint.ID)
		}
	}
	return begin(ids, typed), cobra.ShellCompDirectiveNoFileComp
}
