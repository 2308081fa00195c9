package runs

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	apiruntime "k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/yaml"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/hack/freeport"
)

const (
	systemNamespace = "lethe-system"
	operatorUser    = "system:serviceaccount:lethe-system:lethe-manager"
	creatorUser     = "system:serviceaccount:lethe-system:bench-creator"
	// memoryDisk is where the planes lie, so that no disk is measured.
	memoryDisk = "/dev/shm"
)

// plane is a control plane of its own.
type plane struct {
	dir string
	// bin is the folder with the programs.
	bin string
	env *envtest.Environment
	// admin may do everything, and is exempt from the API server's limits; creators
	// may not and are not.
	admin, creators client.WithWatch
	// operatorConfig and adminConfig are files.
	operatorConfig, adminConfig string
}

// startPlane starts one. What was started is stopped by stop, also after an error.
func startPlane(ctx context.Context, bin string) (*plane, error) {
	p := &plane{bin: bin}
	if err := p.start(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("start a control plane: %w", err), p.stop())
	}
	return p, nil
}

func (p *plane) start(ctx context.Context) (err error) {
	if p.dir, err = os.MkdirTemp(existing(memoryDisk), "lethe-bench-"); err != nil {
		return err
	}
	root, err := repository()
	if err != nil {
		return err
	}
	scheme := apiruntime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), v1alpha1.AddToScheme(scheme)); err != nil {
		return err
	}
	p.env = &envtest.Environment{
		Scheme: scheme, BinaryAssetsDirectory: p.bin,
		CRDDirectoryPaths: []string{filepath.Join(root, "config", "crd", "bases")}, ErrorIfCRDPathMissing: true,
		ControlPlaneStartTimeout: 3 * time.Minute, ControlPlaneStopTimeout: time.Minute,
	}
	p.env.UseExistingCluster = new(bool)
	if err := p.configure(); err != nil {
		return err
	}
	config, err := p.env.Start()
	if err != nil {
		return err
	}
	return p.people(ctx, config, root)
}

// existing gives the folder if there is one; "" is the usual one for what is temporary.
func existing(dir string) string {
	if _, err := os.Stat(dir); err != nil {
		return ""
	}
	return dir
}

// configure sets addresses, which envtest's own choice may lose to somebody else, and
// what differs from a test.
func (p *plane) configure() error {
	policy := filepath.Join(p.dir, "audit.yaml")
	if err := os.WriteFile(policy, []byte(auditPolicy), 0o600); err != nil {
		return err
	}
	etcd, err := freeport.Claim()
	if err != nil {
		return err
	}
	p.env.ControlPlane.Etcd = &envtest.Etcd{URL: &url.URL{Scheme: "http", Host: etcd}, DataDir: filepath.Join(p.dir, "etcd")}
	p.env.ControlPlane.Etcd.Configure().Set("unsafe-no-fsync", "true").Set("quota-backend-bytes", "8589934592")
	address, err := freeport.Claim()
	if err != nil {
		return err
	}
	server := p.env.ControlPlane.GetAPIServer()
	server.Configure().
		Disable("disable-admission-plugins"). // Pods with a token need a service account.
		Set("max-requests-inflight", "800").Set("max-mutating-requests-inflight", "400").
		Set("audit-policy-file", policy).Set("audit-log-path", filepath.Join(p.dir, "audit.log")).Set("audit-log-maxsize", "1000")
	server.Address, server.Port, err = net.SplitHostPort(address)
	return err
}

// people makes the users with their rights.
func (p *plane) people(ctx context.Context, config *rest.Config, root string) error {
	unlimited := rest.CopyConfig(config)
	unlimited.QPS = -1
	var err error
	if p.admin, err = client.NewWithWatch(unlimited, client.Options{Scheme: p.env.Scheme}); err != nil {
		return err
	}
	if err := p.admin.Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: systemNamespace}}); err != nil {
		return err
	}
	for _, name := range []string{"role.yaml", "bindings.yaml"} {
		data, err := os.ReadFile(filepath.Join(root, "config", "rbac", name))
		if err != nil {
			return err
		}
		if err := p.createAll(ctx, data); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	if err := p.letCreate(ctx); err != nil {
		return err
	}
	creators, err := p.user(config, creatorUser)
	if err != nil {
		return err
	}
	if p.creators, err = client.NewWithWatch(creators.Config(), client.Options{Scheme: p.env.Scheme}); err != nil {
		return err
	}
	operator, err := p.user(config, operatorUser)
	if err != nil {
		return err
	}
	if p.operatorConfig, err = p.write(operator, "operator.conf"); err != nil {
		return err
	}
	admin, err := p.env.AddUser(envtest.User{Name: "bench-admin", Groups: []string{"system:masters"}}, unlimited)
	if err != nil {
		return err
	}
	p.adminConfig, err = p.write(admin, "admin.conf")
	return err
}

// user makes one like a service account.
func (p *plane) user(config *rest.Config, name string) (*envtest.AuthenticatedUser, error) {
	groups := []string{"system:serviceaccounts", "system:serviceaccounts:" + systemNamespace, "system:authenticated"}
	unlimited := rest.CopyConfig(config)
	unlimited.QPS = -1
	return p.env.AddUser(envtest.User{Name: name, Groups: groups}, unlimited)
}

func (p *plane) write(user *envtest.AuthenticatedUser, name string) (string, error) {
	data, err := user.KubeConfig()
	if err != nil {
		return "", err
	}
	path := filepath.Join(p.dir, name)
	return path, os.WriteFile(path, data, 0o600)
}

// createAll creates the objects of a file.
func (p *plane) createAll(ctx context.Context, data []byte) error {
	documents := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(data), 4096)
	for {
		var o unstructured.Unstructured
		err := documents.Decode(&o.Object)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if len(o.Object) == 0 {
			continue
		}
		if err := p.admin.Create(ctx, &o); err != nil {
			return err
		}
	}
}

// letCreate gives the creators the rights of a person who uses Lethe, and those that
// the bare client needs to write what the operator writes.
func (p *plane) letCreate(ctx context.Context) error {
	name := metav1.ObjectMeta{Name: "bench-creator"}
	role := &rbacv1.ClusterRole{ObjectMeta: name, Rules: []rbacv1.PolicyRule{{
		APIGroups: []string{v1alpha1.GroupVersion.Group, "batch"},
		Resources: []string{"trainingruns", "trainingruns/status", "trainingruns/finalizers", "datasetretentions", "datasetretentions/status", "jobs"},
		Verbs:     []string{"get", "list", "watch", "create", "patch", "update"},
	}}}
	binding := &rbacv1.ClusterRoleBinding{
		ObjectMeta: name,
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role.Name},
		Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: creatorUser}},
	}
	return errors.Join(p.admin.Create(ctx, role), p.admin.Create(ctx, binding))
}

// namespace makes one, with the service account that Pods take.
func (p *plane) namespace(ctx context.Context, name string) error {
	err := p.admin.Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}})
	if err == nil {
		err = p.admin.Create(ctx, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: name, Name: "default"}})
	}
	if err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("make a namespace: %w", err)
	}
	return nil
}

func (p *plane) stop() error {
	var errs []error
	if p.env != nil {
		errs = append(errs, p.env.Stop())
	}
	if p.dir != "" {
		errs = append(errs, os.RemoveAll(p.dir))
	}
	return errors.Join(errs...)
}

// repository is found from the place of this file.
func repository() (string, error) {
	_, file, _, ok := runtime.Caller(0)
	if !ok {
		return "", errors.New("the place of the sources is not known")
	}
	root := filepath.Join(slices.Concat([]string{filepath.Dir(file)}, slices.Repeat([]string{".."}, 4))...)
	if _, err := os.Stat(filepath.Join(root, "go.mod")); err != nil {
		return "", fmt.Errorf("find the repository: %w", err)
	}
	return root, nil
}
