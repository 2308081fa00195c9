package resources_test

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"sigs.k8s.io/yaml"

	"github.com/lethe-dev/lethe/controllers/tenant/resources"
)

var update = flag.Bool("update", false, "write the golden files")

// config is what the operator makes of nothing but an endpoint with an address.
func config(t *testing.T) resources.Config {
	t.Helper()
	c := resources.Default()
	store, known, err := resources.StorePeer("https://192.0.2.7:9000")
	if err != nil || !known {
		t.Fatalf("the store's address is not found: %v", err)
	}
	broker, err := resources.BrokerPeer("lethe-system", ":9443")
	if err != nil {
		t.Fatal(err)
	}
	c.Network.Store, c.Network.Broker = []resources.Peer{store}, []resources.Peer{broker}
	return c
}

// rich is a configuration with everything in it.
const rich = `
defaultTier: shared
tiers:
  shared:
    runtimeClass: gvisor
    internet: Never
    container: {cpu: 250m, memory: 2Gi, ephemeralStorage: 20Gi, ephemeralStorageRequest: "0"}
  trusted:
    internet: Always
    base: {pods: 5, cpu: "2", memory: 4Gi, ephemeralStorage: 100Gi}
    perGPU: {pods: 1, cpu: "7500m", memory: 90Gi, ephemeralStorage: 1Ti}
otherDevices: [amd.com/gpu, nvidia.com/mig-1g.10gb]
counts: {runs: 7}
network:
  dns: [{cidr: 169.254.20.10/32, port: 53}]
  store: [{namespace: {kubernetes.io/metadata.name: minio}, pods: {app: minio}, port: 9000}, {cidr: "2001:db8::/64"}]
  except: [203.0.113.0/24, "2001:db8:5::/48"]
`

func TestObjectsAreAsTheGoldenFilesShow(t *testing.T) {
	t.Parallel()
	plain := config(t)
	set, err := resources.ParseConfig([]byte(rich))
	if err != nil {
		t.Fatal(err)
	}
	standard, trusted := plain.Tiers[resources.DefaultTier], set.Tiers["trusted"]
	cases := map[string]struct {
		tenant resources.Tenant
		config resources.Config
	}{
		"four-gpus":    {resources.Tenant{Namespace: "t-abc", GPUs: 4, Tier: standard}, plain},
		"no-gpus":      {resources.Tenant{Namespace: "t-abc", Tier: standard}, plain},
		"suspended":    {resources.Tenant{Namespace: "t-abc", GPUs: 4, Suspended: true, Tier: standard}, plain},
		"all-settings": {resources.Tenant{Namespace: "t-abc", GPUs: 2, Internet: true, Tier: trusted}, set},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			objects := []any{resources.Quota(c.tenant, c.config), resources.Limits(c.tenant), resources.Account(c.tenant)}
			objects = append(objects, resources.Binding(c.tenant, rbacv1.Subject{Kind: "ServiceAccount", Namespace: "lethe-system", Name: "lethe-portal"}))
			for _, policy := range resources.Policies(c.tenant, c.config) {
				objects = append(objects, policy)
			}
			compare(t, name, objects)
		})
	}
}

// compare holds objects against their golden file.
func compare(t *testing.T, name string, objects []any) {
	t.Helper()
	var got strings.Builder
	for _, object := range objects {
		text, err := yaml.Marshal(object)
		if err != nil {
			t.Fatal(err)
		}
		got.WriteString("---\n" + string(text))
	}
	file := filepath.Join("testdata", name+".yaml")
	if *update {
		if err := os.WriteFile(file, []byte(got.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got.String()); diff != "" {
		t.Errorf("differs from %s; run `go test ./controllers/tenant/resources -update` if it should (-want +got):\n%s", file, diff)
	}
}

func TestConfigurationsThatCanNotWorkAreRefused(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ text, want string }{
		"a field that does not exist":          {"tier: {}", `unknown field "tier"`},
		"a default tier that does not exist":   {"{defaultTier: gold, tiers: {a: {}}}", `defaultTier "gold"`},
		"two tiers and no default":             {"{tiers: {a: {}, b: {}}}", `defaultTier ""`},
		"an internet that is neither":          {"{tiers: {a: {internet: 'true'}}}", `internet "true"`},
		"a runtime class that is no name":      {"{tiers: {a: {runtimeClass: G_Visor}}}", `runtimeClass "G_Visor"`},
		"a negative amount":                    {"{tiers: {a: {base: {cpu: '-1'}}}}", "not negative"},
		"negative pods":                        {"{tiers: {a: {perGPU: {pods: -1}}}}", "pods are not negative"},
		"a container with nothing":             {"{tiers: {a: {container: {cpu: '1'}}}}", "greater than zero"},
		"a request above its limit":            {"{tiers: {a: {container: {cpu: '1', memory: 1Gi, ephemeralStorage: 1Gi, ephemeralStorageRequest: 2Gi}}}}", "ephemeralStorageRequest"},
		"GPUs among the devices that are none": {"otherDevices: [nvidia.com/gpu]", "otherDevices"},
		"a device without a vendor":            {"otherDevices: [gpu]", "otherDevices"},
		"a label that is none":                 {"network: {store: [{namespace: {a: 'b c'}}]}", "namespace"},
		"a negative count":                     {"counts: {runs: -1}", "not negative"},
		"an address instead of a network":      {"network: {store: [{cidr: 10.0.0.1}]}", `"10.0.0.1" is no network`},
		"a network with host bits":             {"network: {store: [{cidr: 10.0.0.1/8}]}", "is no network"},
		"Pods of all namespaces":               {"network: {store: [{pods: {app: minio}}]}", "labels of a namespace"},
		"an address and labels":                {"network: {store: [{cidr: 10.0.0.0/8, pods: {app: minio}}]}", "has both"},
		"a port that is none":                  {"network: {dns: [{cidr: 10.0.0.0/8, port: 70000}]}", "70000 is no port"},
		"an exception of everything":           {"network: {except: [0.0.0.0/0]}", `except "0.0.0.0/0"`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := resources.ParseConfig([]byte(c.text))
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want an error with %q", err, c.want)
			}
		})
	}
}

func TestAnEmptyConfigurationIsTheDefault(t *testing.T) {
	t.Parallel()
	got, err := resources.ParseConfig(nil)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(resources.Default(), got); diff != "" {
		t.Errorf("(-default +got):\n%s", diff)
	}
	if _, known := got.Tier("gold"); known {
		t.Error("a tier is known that does not exist")
	}
	if tier, known := got.Tier(""); !known || tier != got.Tiers[resources.DefaultTier] {
		t.Error("no tier is not the default tier")
	}
}

func TestTheConfigurationsInTheRepositoryAreRead(t *testing.T) {
	t.Parallel()
	for _, file := range []string{"../../../config/tenants/tenants.yaml", "../../../config/lab/tenants.yaml"} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		got, err := resources.ParseConfig(text)
		if err != nil {
			t.Errorf("%s: %v", file, err)
		}
		// The first one says what the defaults are.
		if diff := cmp.Diff(golden(t, resources.Default()), golden(t, got)); diff != "" && strings.Contains(file, "config/tenants") {
			t.Errorf("%s is not the default (-default +file):\n%s", file, diff)
		}
	}
}

// golden compares quantities by what they say.
func golden(t *testing.T, c resources.Config) string {
	t.Helper()
	c.OtherDevices = nil
	text, err := yaml.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestWhereTheStoreIs(t *testing.T) {
	t.Parallel()
	for endpoint, want := range map[string]struct {
		peer  resources.Peer
		known bool
		fails bool
	}{
		"https://192.0.2.7:9000":             {peer: resources.Peer{CIDR: "192.0.2.7/32", Port: 9000}, known: true},
		"https://192.0.2.7":                  {peer: resources.Peer{CIDR: "192.0.2.7/32", Port: 443}, known: true},
		"http://192.0.2.7":                   {peer: resources.Peer{CIDR: "192.0.2.7/32", Port: 80}, known: true},
		"https://[2001:db8::7]:9000/x":       {peer: resources.Peer{CIDR: "2001:db8::7/128", Port: 9000}, known: true},
		"https://[::ffff:192.0.2.7]":         {peer: resources.Peer{CIDR: "192.0.2.7/32", Port: 443}, known: true},
		"https://minio.minio.svc:9000":       {},
		"https://s3.eu-west-1.amazonaws.com": {},
		"not a url":                          {fails: true},
		"":                                   {fails: true},
	} {
		t.Run(endpoint, func(t *testing.T) {
			t.Parallel()
			peer, known, err := resources.StorePeer(endpoint)
			if (err != nil) != want.fails || known != want.known {
				t.Fatalf("known %v, error %v", known, err)
			}
			if diff := cmp.Diff(want.peer, peer); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// A tenant's internet has no way to the metadata services of the usual clouds, nor to
// private networks.
func TestTheInternetIsNotTheNeighbourhood(t *testing.T) {
	t.Parallel()
	c := config(t)
	policies := resources.Policies(resources.Tenant{Namespace: "t", Internet: true, Tier: c.Tiers[resources.DefaultTier]}, c)
	internet := policies[len(policies)-1]
	if internet.Name != "lethe-internet" {
		t.Fatalf("the last policy is %s", internet.Name)
	}
	open := func(address string) bool { return reaches(t, internet, address) }
	for _, closed := range []string{
		"169.254.169.254", "100.100.100.200", "192.0.0.192", "168.63.129.16", "10.96.0.1", "172.31.255.255", "192.168.1.1", "127.0.0.1", "0.0.0.0", "224.0.0.1", "255.255.255.255",
		"fd00:ec2::254", "fe80::1", "::1", "::", "64:ff9b::a00:1", "2002:a00:1::", "ff02::1",
	} {
		if open(closed) {
			t.Errorf("%s is open", closed)
		}
	}
	for _, address := range []string{"1.1.1.1", "172.15.0.1", "172.32.0.1", "100.63.0.1", "2606:4700::1111"} {
		if !open(address) {
			t.Errorf("%s is closed", address)
		}
	}
}

func TestASuspendedTenantKeepsItsPods(t *testing.T) {
	t.Parallel()
	c := config(t)
	tenant := resources.Tenant{Namespace: "t", GPUs: 3, Tier: c.Tiers[resources.DefaultTier]}
	active := resources.Quota(tenant, c).Spec.Hard
	tenant.Suspended = true
	suspended := resources.Quota(tenant, c).Spec.Hard
	for name, amount := range suspended {
		closed := name == "requests.nvidia.com/gpu" || name == "count/jobs.batch"
		if before := active[name]; closed != (amount.Cmp(before) != 0) {
			t.Errorf("%s is %s instead of %s", name, amount.String(), before.String())
		}
		if closed && !amount.IsZero() {
			t.Errorf("%s is %s, want 0", name, amount.String())
		}
	}
	if pods := active[corev1.ResourcePods]; pods.Value() != 26 {
		t.Errorf("%s pods, want 20 and 2 for each GPU", pods.String())
	}
}
