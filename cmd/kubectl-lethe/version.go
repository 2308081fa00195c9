package main

import (
	"fmt"
	"io"
	"runtime/debug"

	"github.com/spf13/cobra"

	"github.com/lethe-dev/lethe/api/v1alpha1"
)

// version is set by the linker for releases.
var version = ""

func newVersion(out io.Writer) *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Show the version of this program",
		Args:  usageArgs(cobra.NoArgs),
		RunE: func(*cobra.Command, []string) error {
			info, _ := debug.ReadBuildInfo()
			_, err := fmt.Fprintf(out, "kubectl-lethe %s\nAPI %s\n", versionOf(version, info), v1alpha1.GroupVersion)
			return err
		},
	}
}

// versionOf prefers what the linker set to what the build noted.
func versionOf(linked string, info *debug.BuildInfo) string {
	switch {
	case linked != "":
		return linked
	case info == nil || info.Main.Version == "":
		return "(unknown)"
	}
	return info.Main.Version
}
