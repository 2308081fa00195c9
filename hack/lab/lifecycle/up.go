package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/lethe-dev/lethe/hack/lab/cluster"
	"github.com/lethe-dev/lethe/hack/lab/components"
	"github.com/lethe-dev/lethe/hack/lab/daemon"
	"github.com/lethe-dev/lethe/hack/lab/files"
	"github.com/lethe-dev/lethe/hack/lab/images"
	"github.com/lethe-dev/lethe/hack/lab/network"
	"github.com/lethe-dev/lethe/hack/lab/site"
	"github.com/lethe-dev/lethe/hack/lab/store"
	"github.com/lethe-dev/lethe/hack/lab/teardown"
	"github.com/lethe-dev/lethe/hack/lab/toolchain"
)

// Up makes the whole lab run and waits until it is healthy. Idempotent.
func (l *Lab) Up(ctx context.Context) error {
	if os.Geteuid() != 0 {
		return errors.New("bring the lab up as root: it makes a bridge, mounts and cgroups")
	}
	if err := l.Builder().Ensure(ctx, toolchain.Catalogue(), true); err != nil {
		return err
	}
	if err := l.forgetOtherBoot(ctx); err != nil {
		return err
	}
	if err := l.prepare(ctx); err != nil {
		return err
	}
	all, creds, err := l.list()
	if err != nil {
		return err
	}
	if err := l.startAll(ctx, all); err != nil {
		return err
	}
	if err := l.fill(ctx, creds); err != nil {
		return err
	}
	return l.awaitServices(ctx, all)
}

// startAll starts the components in groups that do not wait for each other.
func (l *Lab) startAll(ctx context.Context, all []components.Component) error {
	for _, group := range [][]string{
		{"etcd", "minio", "containerd"},
		{"kube-apiserver"},
		{"kube-controller-manager", "kube-scheduler"},
	} {
		if err := l.ensure(ctx, pick(all, group)); err != nil {
			return err
		}
	}
	if err := l.loadImages(ctx); err != nil {
		return err
	}
	if err := l.ensure(ctx, pick(all, []string{"kubelet"})); err != nil {
		return err
	}
	// A kube-proxy that finds no node waits half a minute, and one whose node
	// gets its address later ends itself.
	registered := func(ctx context.Context) error { return cluster.CheckRegistered(ctx, l.Site) }
	if err := await(ctx, healthTimeout, registered, l.aliveCheck(all)); err != nil {
		return fmt.Errorf("register node: %w", err)
	}
	return l.ensure(ctx, pick(all, []string{"kube-proxy", "fake-gpu-plugin"}))
}

// forgetOtherBoot takes away what is left of a lab from before a reboot: its
// data would be usable, but not what containerd and kubelet remember.
func (l *Lab) forgetOtherBoot(ctx context.Context) error {
	boot, err := daemon.BootID()
	if err != nil {
		return err
	}
	path := l.Site.Path("boot")
	have, err := os.ReadFile(path)
	if err == nil && string(have) == boot {
		return nil
	}
	if _, err := os.Stat(l.Site.State); err == nil {
		l.Console.Say("Found the rest of a lab from before a reboot or an early crash; starting afresh.")
		if err := teardown.Down(ctx, l.Site, l.Console); err != nil {
			return err
		}
	}
	return files.WriteSecret(path, []byte(boot))
}

// prepare makes everything that has to be there before a program starts.
func (l *Lab) prepare(ctx context.Context) error {
	if err := install(l.Site); err != nil {
		return err
	}
	creds, err := store.LoadCredentials(l.Site.Path("credentials.json"))
	if err != nil {
		return err
	}
	if err := components.IssueAll(l.Site, l.Now()); err != nil {
		return err
	}
	if err := components.WriteConfig(l.Site, creds.EtcdKey, images.Pause); err != nil {
		return err
	}
	if err := network.ApplySettings(l.Site.Path(teardown.SettingsFile)); err != nil {
		return err
	}
	if err := teardown.EnsureCgroups(); err != nil {
		return err
	}
	return l.Console.Step("bridge "+site.Bridge, func() (string, error) {
		created, err := network.EnsureBridge(ctx)
		if created {
			return "created " + site.NodeCIDR, err
		}
		return "there " + site.NodeCIDR, err
	})
}

func pick(all []components.Component, names []string) []components.Component {
	return slices.DeleteFunc(slices.Clone(all), func(c components.Component) bool {
		return !slices.Contains(names, c.Name)
	})
}

// ensure starts the components, then waits for the health of each.
func (l *Lab) ensure(ctx context.Context, group []components.Component) error {
	did := make([]string, len(group))
	start := l.Now()
	for i, c := range group {
		var err error
		if did[i], err = l.keeper().Ensure(ctx, c.Spec); err != nil {
			return err
		}
	}
	for i, c := range group {
		if err := l.awaitHealthy(ctx, c); err != nil {
			return err
		}
		l.Console.Line(c.Name, did[i], l.Now().Sub(start))
	}
	return nil
}

func (l *Lab) awaitHealthy(ctx context.Context, c components.Component) error {
	err := await(ctx, healthTimeout, c.Healthy, l.aliveCheck([]components.Component{c}))
	if ctx.Err() != nil {
		return err
	}
	if err != nil {
		return fmt.Errorf("start %s: %w; the end of its log %s:\n%s", c.Name, err, c.Log, tail(c.Log, 15))
	}
	return nil
}

// loadImages imports the images of the lab's own pods.
func (l *Lab) loadImages(ctx context.Context) error {
	return l.Console.Step("images", func() (string, error) {
		did := "there"
		for name, program := range map[string]string{images.Pause: "pause", images.CoreDNS: "coredns"} {
			_, changed, err := images.Load(ctx, l.Site, name, l.Site.Bin(program))
			if err != nil {
				return "", err
			}
			if changed {
				did = "imported"
			}
		}
		return did, nil
	})
}

// fill puts buckets and user into MinIO, and the base into Kubernetes.
func (l *Lab) fill(ctx context.Context, creds store.Credentials) error {
	admin, err := store.Connect(site.StoreAddress, l.Site.CA(), creds)
	if err != nil {
		return err
	}
	err = l.Console.Step("buckets and store users", func() (string, error) {
		if err := admin.EnsureBuckets(ctx); err != nil {
			return "", err
		}
		return "verified", admin.EnsureUsers(ctx)
	})
	if err != nil {
		return err
	}
	stamps, err := installedStamps(l.Site)
	if err != nil {
		return err
	}
	base := cluster.Base{
		AccessKey: creds.OperatorAccessKey, SecretKey: creds.OperatorSecretKey,
		AuditAccessKey: creds.AuditorAccessKey, AuditSecretKey: creds.AuditorSecretKey,
		DNSStamp: stamps["coredns"],
	}
	return l.Console.Step("namespace, secret, DNS", func() (string, error) {
		return "applied", base.Apply(ctx, l.Site)
	})
}

// services are what only works when several components do.
func (l *Lab) services() map[string]func(context.Context) error {
	return map[string]func(context.Context) error{
		"node and GPUs": func(ctx context.Context) error { return cluster.CheckNode(ctx, l.Site) },
		"cluster DNS":   cluster.CheckDNS,
	}
}

// aliveCheck returns a function that fails once one of the components, having
// been started, has ended by itself: then waiting for more is no use.
func (l *Lab) aliveCheck(all []components.Component) func() error {
	return func() error {
		for _, c := range all {
			record, known, err := l.keeper().Record(c.Name)
			if err != nil {
				return err
			}
			if known && !record.Alive() {
				return fmt.Errorf("%s ended by itself; the end of its log %s:\n%s", c.Name, c.Log, tail(c.Log, 15))
			}
		}
		return nil
	}
}

func (l *Lab) awaitServices(ctx context.Context, all []components.Component) error {
	const within = 2 * time.Minute
	for _, name := range []string{"node and GPUs", "cluster DNS"} {
		check := l.services()[name]
		err := l.Console.Step(name, func() (string, error) {
			return "ready", await(ctx, within, check, l.aliveCheck(all))
		})
		if err != nil {
			return fmt.Errorf("wait for %s: %w\n%s", name, err, l.pods(ctx))
		}
	}
	return nil
}

// pods shows the system's pods, for an error message.
func (l *Lab) pods(ctx context.Context) string {
	out, err := cluster.Kubectl(ctx, l.Site, "", "get", "pods,events", "-n", "kube-system")
	if err != nil {
		return err.Error()
	}
	return strings.TrimSpace(out)
}
