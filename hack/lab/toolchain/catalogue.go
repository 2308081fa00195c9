package toolchain

// Versions of what the lab is made of. Kubernetes, etcd and CoreDNS take
// theirs from the go.mod of their folder under tools/, so that those are the
// single place to change them.
const (
	minioVersion      = "v0.0.0-20260212201848-7aac2a2c5b7c" // Archived upstream: the last one.
	containerdVersion = "v2.4.2"
	runcVersion       = "v1.5.2"
	gvisorVersion     = "v0.0.0-20260905035102-160fafc42237" // Of the branch go, which go install can build; in tools/runsc-shim, too.
	cniVersion        = "v1.9.1"
	kubeVersion       = "v1.37.2"
	etcdVersion       = "v3.7.3"
	corednsVersion    = "v1.15.0"
	axeVersion        = "4.14.1"
)

// MinIOPackage is the store as "go install" takes it.
const MinIOPackage = "github.com/minio/minio@" + minioVersion

// axeIntegrity is what the npm registry says of that version of axe-core: the digest of
// its archive.
const axeIntegrity = "sha512-FHfa+lmNjQZfJz1q8wKqIDwC6DExcHt/pkjNQb09a3NPjCKg2rhu5qb2S4r76ASyFNNtuFooJpZe37OgudVGtQ=="

// debianVersion is of a tool that is Debian's own: whichever the distribution has.
const debianVersion = "Debian's"

const stripped = "-s -w"

// kubeLDFlags tells the binary its version: clients and the version-skew
// checks of controllers read it.
const kubeLDFlags = stripped +
	" -X k8s.io/component-base/version.gitVersion=" + kubeVersion +
	" -X k8s.io/component-base/version.gitMajor=1" +
	" -X k8s.io/component-base/version.gitMinor=37" +
	" -X k8s.io/component-base/version.gitTreeState=clean" +
	" -X k8s.io/component-base/version.gitCommit=release"

// KubeParts are the names the one Kubernetes binary answers to.
var KubeParts = []string{
	"kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy", "kubectl",
}

// Tool is one thing the lab, or a test, needs and how it is built. One that is neither
// built nor fetched (no Source, Packages or NPM) is what its Debian packages bring.
type Tool struct {
	// Name is what "lab tools NAME" calls it.
	Name    string
	Version string
	// Provides are the files it puts in the bin folder. The first is the
	// program itself where Links name it.
	Provides []string
	// Links are further names for the first provided file, as symlinks.
	Links []string
	// Packages are "path@version" for go install; empty when Source is set.
	Packages []string
	// Source is a folder of the lab's module to build instead. OwnModule says
	// that the folder has its own go.mod.
	Source    string
	OwnModule bool
	// NPM is a package of the npm registry, of which the provided files are taken.
	NPM     NPMPackage
	Tags    string
	LDFlags string
	CGO     bool
	// Debian lists the packages without which it can't be built or run.
	Debian []DebianPackage
}

// installed tells whether the tool is nothing but packages of Debian.
func (t Tool) installed() bool {
	return t.Source == "" && len(t.Packages) == 0 && t.NPM.Name == ""
}

// All lists what "lab tools" knows: the lab's own tools, and those of tests.
func All() []Tool { return append(Catalogue(), testTools()...) }

// testTools are what the tests of the portal run: a real database server, a real browser,
// and a checker for what people who can't see or use a mouse meet on its pages.
func testTools() []Tool {
	return []Tool{
		{Name: "postgres", Version: debianVersion, Debian: []DebianPackage{postgresql}},
		{Name: "chromium", Version: debianVersion, Debian: []DebianPackage{chromium, fonts}},
		{
			Name: "axe", Version: axeVersion, Provides: []string{"axe.min.js"}, Debian: []DebianPackage{npm},
			NPM: NPMPackage{Name: "axe-core", Integrity: axeIntegrity},
		},
	}
}

// Catalogue lists every tool of the lab itself in the order of building: what the unit
// tests need comes first.
func Catalogue() []Tool {
	return []Tool{
		{
			Name: "kube", Version: kubeVersion, Source: "tools/kube", OwnModule: true,
			Provides: []string{"kube"}, Links: KubeParts, LDFlags: kubeLDFlags,
		},
		{
			Name: "etcd", Version: etcdVersion, Source: "tools/etcd", OwnModule: true,
			Provides: []string{"etcd"}, LDFlags: stripped,
		},
		{
			Name: "minio", Version: minioVersion, LDFlags: stripped,
			Packages: []string{MinIOPackage}, Provides: []string{"minio"},
		},
		containerd(),
		{
			Name: "runc", Version: runcVersion, LDFlags: stripped, CGO: true, Tags: "seccomp",
			Packages: []string{"github.com/opencontainers/runc@" + runcVersion}, Provides: []string{"runc"},
			Debian: []DebianPackage{compiler, libcHeaders, pkgConfig, libseccomp},
		},
		{
			Name: "runsc", Version: gvisorVersion, LDFlags: stripped,
			Packages: []string{"gvisor.dev/gvisor/runsc@" + gvisorVersion}, Provides: []string{"runsc"},
		},
		{
			Name: "runsc-shim", Version: gvisorVersion, Source: "tools/runsc-shim", OwnModule: true,
			Provides: []string{"containerd-shim-runsc-v1"}, LDFlags: stripped,
		},
		cni(),
		{
			Name: "coredns", Version: corednsVersion, Source: "tools/coredns", OwnModule: true,
			Provides: []string{"coredns"}, LDFlags: stripped,
		},
		{
			Name: "pause", Version: "ours", Source: "cmd/pause",
			Provides: []string{"pause"}, LDFlags: stripped,
		},
		{
			Name: "fake-gpu-plugin", Version: "ours", Source: "cmd/fake-gpu-plugin",
			Provides: []string{"fake-gpu-plugin"}, LDFlags: stripped,
		},
	}
}

func containerd() Tool {
	t := Tool{
		Name: "containerd", Version: containerdVersion, LDFlags: stripped,
		Provides: []string{"containerd", "containerd-shim-runc-v2", "ctr"},
	}
	for _, program := range t.Provides {
		t.Packages = append(t.Packages, "github.com/containerd/containerd/v2/cmd/"+program+"@"+containerdVersion)
	}
	return t
}

// cni leaves out portmap (a pod of the lab has no host port) and loopback
// (containerd does it by itself).
func cni() Tool {
	const plugins = "github.com/containernetworking/plugins/plugins/"
	return Tool{
		Name: "cni", Version: cniVersion, LDFlags: stripped,
		Provides: []string{"bridge", "host-local"},
		Packages: []string{
			plugins + "main/bridge@" + cniVersion,
			plugins + "ipam/host-local@" + cniVersion,
		},
		Debian: []DebianPackage{iptables, iproute},
	}
}
