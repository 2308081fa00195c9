package apitest

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	apiruntime "k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/hack/freeport"
)

const (
	envAssets  = "KUBEBUILDER_ASSETS"
	envRequire = "LETHE_TEST_REQUIRE_REAL"
	// startTimeout is long because the two cores of the smallest supported
	// machine may be compiling other packages meanwhile.
	startTimeout = 3 * time.Minute
)

// Cluster is a running API server.
type Cluster struct {
	// Config connects to it as an administrator, without a rate limit.
	Config *rest.Config
	// Client reads and writes directly, without a cache.
	Client client.Client
	// Scheme knows the built-in kinds and Lethe's.
	Scheme *apiruntime.Scheme
}

// server is the one control plane of this test binary.
var server struct {
	once    sync.Once
	env     *envtest.Environment
	cluster *Cluster
	err     error
}

// errMissing says that the control plane's binaries are not there.
var errMissing = errors.New("kube-apiserver and etcd are missing")

// Main runs the tests of a package and stops the control plane after them.
// Call it from TestMain; it leaves the exit code to the testing package.
func Main(m *testing.M) {
	m.Run()
	if server.env == nil {
		return
	}
	if err := server.env.Stop(); err != nil {
		fmt.Fprintf(os.Stderr, "apitest: stop the control plane: %v\n", err)
	}
}

// Start gives the test binary's control plane; the first call starts it. The
// test skips when the binaries are missing, unless they are required.
func Start(t testing.TB) *Cluster {
	t.Helper()
	server.once.Do(func() { server.cluster, server.err = start() })
	if errors.Is(server.err, errMissing) && os.Getenv(envRequire) != "1" {
		t.Skipf("SKIPPED, NOT TESTED: %v; run `make tools` or set %s", server.err, envAssets)
	}
	if server.err != nil {
		t.Fatalf("start the control plane: %v", server.err)
	}
	return server.cluster
}

// Namespace makes a namespace that no other test uses and returns its name. It
// is not deleted, as nothing would empty it: the control plane goes as a whole.
func (c *Cluster) Namespace(t testing.TB) string {
	t.Helper()
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "test-"}}
	if err := c.Client.Create(t.Context(), namespace); err != nil {
		t.Fatalf("create a namespace: %v", err)
	}
	return namespace.Name
}

func start() (*Cluster, error) {
	root, err := repositoryRoot()
	if err != nil {
		return nil, err
	}
	assets, err := assetsFolder()
	if err != nil {
		return nil, err
	}
	for _, binary := range []string{"etcd", "kube-apiserver"} {
		if _, err := os.Stat(filepath.Join(assets, binary)); err != nil {
			return nil, fmt.Errorf("%w in %s", errMissing, assets)
		}
	}

	scheme := apiruntime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), v1alpha1.AddToScheme(scheme)); err != nil {
		return nil, fmt.Errorf("build scheme: %w", err)
	}
	env := &envtest.Environment{
		Scheme:                   scheme,
		BinaryAssetsDirectory:    assets,
		CRDDirectoryPaths:        []string{filepath.Join(root, "config", "crd", "bases")},
		ErrorIfCRDPathMissing:    true,
		ControlPlaneStartTimeout: startTimeout,
		ControlPlaneStopTimeout:  time.Minute,
	}
	// The tests start their own processes only: an existing cluster that the
	// environment names must never be used by accident.
	env.UseExistingCluster = new(bool)
	server.env = env
	if err := listenOn(&env.ControlPlane); err != nil {
		return nil, err
	}
	config, err := env.Start()
	if err != nil {
		return nil, fmt.Errorf("start etcd and kube-apiserver of %s: %w", assets, err)
	}
	config.QPS = -1
	direct, err := client.New(config, client.Options{Scheme: scheme})
	if err != nil {
		return nil, fmt.Errorf("make a client: %w", err)
	}
	return &Cluster{Config: config, Client: direct, Scheme: scheme}, nil
}

// listenOn chooses the addresses, because those that envtest chooses may be lost to
// another process before the servers listen.
func listenOn(plane *envtest.ControlPlane) error {
	etcd, err := freeport.Claim()
	if err != nil {
		return fmt.Errorf("find an address for etcd: %w", err)
	}
	plane.Etcd = &envtest.Etcd{URL: &url.URL{Scheme: "http", Host: etcd}}
	address, err := freeport.Claim()
	if err != nil {
		return fmt.Errorf("find an address for kube-apiserver: %w", err)
	}
	serving := &plane.GetAPIServer().SecureServing
	serving.Address, serving.Port, err = net.SplitHostPort(address)
	return err
}

// assetsFolder is where the binaries are.
func assetsFolder() (string, error) {
	if assets := os.Getenv(envAssets); assets != "" {
		return assets, nil
	}
	root, err := repositoryRoot()
	return filepath.Join(root, ".cache", "bin"), err
}

// repositoryRoot is found from the place of this file, so that it does not
// depend on the folder that a test runs in.
func repositoryRoot() (string, error) {
	_, file, _, ok := runtime.Caller(0)
	if !ok {
		return "", errors.New("the place of the sources is not known")
	}
	root := filepath.Join(filepath.Dir(file), "..", "..")
	if _, err := os.Stat(filepath.Join(root, "go.mod")); err != nil {
		return "", fmt.Errorf("find the repository: %w", err)
	}
	return root, nil
}
