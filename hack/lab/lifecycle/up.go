package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/lethe-dev/lethe/hack/lab/certs"
	"github.com/lethe-dev/lethe/hack/lab/cluster"
	"github.com/lethe-dev/lethe/hack/lab/components"
	"github.com/lethe-dev/lethe/hack/lab/daemon"
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
	// MinIO and etcd do not wait for each other; nor does what needs the API server.
	for _, group := range [][]string{
		{"etcd", "minio", "containerd"},
		{"kube-apiserver"},
		{"kube-controller-manager", "kube-scheduler", "kube-proxy"},
	} {
		if err := l.ensure(ctx, pick(all, group)); err != nil {
			return err
		}
	}
	dnsDigest, err := l.loadImages(ctx)
	if err != nil {
		return err
	}
	if err := l.ensure(ctx, pick(all, []string{"kubelet", "fake-gpu-plugin"})); err != nil {
		return err
	}
	if err := l.fill(ctx, creds, dnsDigest); err != nil {
		return err
	}
	return l.awaitServices(ctx)
}

// forgetOtherBoot takes away what is left of a lab from before a reboot: its
// data would be usable, but not what containerd and kubelet remember.
func (l *Lab) forgetOtherBoot(ctx context.Context) error {
	boot, err := daemon.BootID()
	if err != nil {
		return err
	}
	path := l.Site.Path("boot")
	have, err := os.ReadFile(path) //nolint:gosec // G304: a path of the state folder.
	if err == nil && string(have) == boot {
		return nil
	}
	if _, err := os.Stat(l.Site.State); err == nil {
		l.Console.Say("Found the rest of a lab from before a reboot or an early crash; starting afresh.")
		if err := teardown.Down(ctx, l.Site, l.Console); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(l.Site.State, 0o700); err != nil {
		return fmt.Errorf("make state folder: %w", err)
	}
	if err := os.WriteFile(path, []byte(boot), 0o600); err != nil {
		return fmt.Errorf("write boot id: %w", err)
	}
	return nil
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
	authority, err := certs.Open(l.Site.Path("pki"), l.Now())
	if err != nil {
		return err
	}
	if err := components.IssueAll(l.Site, authority); err != nil {
		return err
	}
	if err := linkStoreCerts(l.Site, authority); err != nil {
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

// linkStoreCerts gives MinIO its certificate under the names it wants.
func linkStoreCerts(s site.Site, authority *certs.Authority) error {
	dir := s.Path("minio-certs")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make store certificate folder: %w", err)
	}
	for name, target := range map[string]string{
		"public.crt": authority.CertFile("minio"), "private.key": authority.KeyFile("minio"),
	} {
		if err := os.Symlink(target, dir+"/"+name); err != nil && !errors.Is(err, os.ErrExist) {
			return fmt.Errorf("link store certificate: %w", err)
		}
	}
	return nil
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
	err := await(ctx, healthTimeout, c.Healthy, func() error {
		record, known, err := l.keeper().Record(c.Name)
		if err != nil {
			return err
		}
		if !known || !record.Alive() {
			return errors.New("it ended by itself")
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("start %s: %w; the end of its log %s:\n%s", c.Name, err, c.Log, tail(c.Log, 15))
	}
	return nil
}

// loadImages imports the images of the lab's own pods.
func (l *Lab) loadImages(ctx context.Context) (dnsDigest string, err error) {
	err = l.Console.Step("images", func() (string, error) {
		_, first, err := images.Load(ctx, l.Site, images.Pause, l.Site.Bin("pause"))
		if err != nil {
			return "", err
		}
		digest, second, err := images.Load(ctx, l.Site, images.CoreDNS, l.Site.Bin("coredns"))
		dnsDigest = digest
		if first || second {
			return "imported", err
		}
		return "there", err
	})
	return dnsDigest, err
}

// fill puts buckets and user into MinIO, and the base into Kubernetes.
func (l *Lab) fill(ctx context.Context, creds store.Credentials, dnsDigest string) error {
	admin, err := store.Connect(site.StoreAddress, l.Site.CA(), creds)
	if err != nil {
		return err
	}
	err = l.Console.Step("buckets and store user", func() (string, error) {
		if err := admin.EnsureBuckets(ctx); err != nil {
			return "", err
		}
		return "verified", admin.EnsureOperator(ctx)
	})
	if err != nil {
		return err
	}
	base := cluster.Base{
		AccessKey: creds.OperatorAccessKey, SecretKey: creds.OperatorSecretKey, DNSDigest: dnsDigest,
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

func (l *Lab) awaitServices(ctx context.Context) error {
	const within = 2 * time.Minute
	for _, name := range []string{"node and GPUs", "cluster DNS"} {
		check := l.services()[name]
		err := l.Console.Step(name, func() (string, error) {
			return "ready", await(ctx, within, check, func() error { return nil })
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
