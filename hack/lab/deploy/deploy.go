// Package deploy builds the project's own programs, puts them into images and
// brings the operator into the cluster.
package deploy

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/lethe-dev/lethe/hack/lab/cluster"
	"github.com/lethe-dev/lethe/hack/lab/console"
	"github.com/lethe-dev/lethe/hack/lab/images"
	"github.com/lethe-dev/lethe/hack/lab/site"
)

// programs are what is built: the folder's last name is the program's.
var programs = []string{manager, "./cmd/stager", "./hack/trainer/digits"}

const manager = "./cmd/manager"

// operator is the Deployment that runs the manager's image.
const operator = "lethe-manager"

// overlay is the kustomize overlay that fits the lab.
const overlay = "config/lab"

// Deploy builds and loads the images and applies the overlay. Only a changed
// image restarts the operator. Idempotent.
func Deploy(ctx context.Context, s site.Site, c *console.Console) error {
	if err := checkSources(s.Repo); err != nil {
		return err
	}
	if err := c.Step("build programs", func() (string, error) { return "built", build(ctx, s) }); err != nil {
		return err
	}
	var managerDigest string
	for _, program := range programs {
		name := Reference(program)
		err := c.Step("image "+filepath.Base(program), func() (string, error) {
			digest, fresh, err := images.Load(ctx, s, name, outFile(s, program))
			if err != nil {
				return "", err
			}
			if program == manager {
				managerDigest = digest
			}
			if fresh {
				return "imported " + digest[:12], nil
			}
			return "there " + digest[:12], nil
		})
		if err != nil {
			return err
		}
	}
	if err := c.Step("apply "+overlay, func() (string, error) { return apply(ctx, s) }); err != nil {
		return err
	}
	return c.Step(operator, func() (string, error) {
		return roll(ctx, s, managerDigest)
	})
}

// Reference is the name of a program's image.
func Reference(program string) string { return "lethe.dev/" + filepath.Base(program) + ":dev" }

// outFile is where a program is built. The cache, not the state: a program
// that has not changed is not even linked again.
func outFile(s site.Site, program string) string {
	return filepath.Join(s.Cache, "programs", filepath.Base(program))
}

func checkSources(repo string) error {
	var missing []string
	for _, path := range append(slices.Clone(programs), overlay) {
		if _, err := os.Stat(filepath.Join(repo, path)); err != nil {
			missing = append(missing, path)
		}
	}
	if len(missing) > 0 {
		return fmt.Errorf("nothing to deploy: %s lacks %s", repo, strings.Join(missing, ", "))
	}
	return nil
}

// build compiles one by one, because go build names several programs itself.
func build(ctx context.Context, s site.Site) error {
	for _, program := range programs {
		var output bytes.Buffer
		cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags", "-s -w", //nolint:gosec // G204: fixed programs.
			"-o", outFile(s, program), program)
		cmd.Dir, cmd.Env = s.Repo, append(os.Environ(), "CGO_ENABLED=0")
		cmd.Stdout, cmd.Stderr = &output, &output
		if err := cmd.Run(); err != nil {
			return fmt.Errorf("build %s: %w:\n%s", program, err, firstLines(output.String(), 30))
		}
	}
	return nil
}

func apply(ctx context.Context, s site.Site) (string, error) {
	out, err := cluster.Kubectl(ctx, s, "", "apply", "--server-side", "--force-conflicts",
		"--field-manager=lethe-lab", "-k", filepath.Join(s.Repo, overlay))
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%d objects", strings.Count(out, "\n")), nil
}

// roll makes the operator's pods run the program of that digest, waits until
// they are rolled out, and explains from its pods when they are not. The digest
// is written on the pods, because the name of the image stays the same; so the
// same program again restarts nothing, and an interrupted deploy is made up for.
func roll(ctx context.Context, s site.Site, digest string) (string, error) {
	target := "deployment/" + operator
	patch := fmt.Sprintf(`{"spec":{"template":{"metadata":{"annotations":{"lab.lethe.dev/program":%q}}}}}`, digest)
	out, err := cluster.Kubectl(ctx, s, "", "patch", target, "-n", site.Namespace, "--patch", patch)
	if err != nil {
		return "", err
	}
	did := "rolled out"
	if strings.Contains(out, "no change") {
		did = "ready"
	}
	_, err = cluster.Kubectl(ctx, s, "", "rollout", "status", target, "-n", site.Namespace, "--timeout=90s")
	if err != nil {
		return "", errors.Join(err, explain(ctx, s))
	}
	return did, nil
}

// explain returns what the cluster knows of the operator's trouble, as an error.
func explain(ctx context.Context, s site.Site) error {
	var text strings.Builder
	for _, look := range [][]string{
		{"get", "pods", "-o", "wide"},
		{"get", "events", "--sort-by=.lastTimestamp", "--field-selector=type=Warning"},
		{"logs", "deployment/" + operator, "--all-containers", "--tail=30"},
		{"logs", "deployment/" + operator, "--all-containers", "--tail=30", "--previous"},
	} {
		out, err := cluster.Kubectl(ctx, s, "", append(look, "-n", site.Namespace)...)
		if err != nil || strings.TrimSpace(out) == "" {
			continue
		}
		fmt.Fprintf(&text, "\n--- kubectl %s\n%s", strings.Join(look, " "), out)
	}
	return errors.New(strings.TrimSpace(text.String()))
}

// firstLines is the beginning of a compiler's output: the rest follows from it.
func firstLines(text string, n int) string {
	lines := strings.SplitAfterN(strings.TrimSpace(text), "\n", n+1)
	return strings.TrimSpace(strings.Join(lines[:min(n, len(lines))], ""))
}
