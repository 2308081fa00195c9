package cluster_test

import (
	"context"
	"io"
	"net"
	"net/url"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/hack/freeport"
	"github.com/lethe-dev/lethe/portal"
	"github.com/lethe-dev/lethe/portal/cluster"
)

// sight is what was last told of an object.
type sight struct {
	state          string
	version        uint64
	deleting, gone bool
	ready          bool
	why            string
}

// notes is a Sink that remembers.
type notes struct {
	mu     sync.Mutex
	seen   map[string]sight
	synced int
	// before are the objects that were told before Synced.
	before int
}

func (n *notes) note(key string, s sight) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.seen == nil {
		n.seen = map[string]sight{}
	}
	n.seen[key] = s
	if n.synced == 0 {
		n.before++
	}
}

func (n *notes) of(key string) sight {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.seen[key]
}

func (n *notes) TenantSeen(_ context.Context, namespace string, ready bool, why string) {
	n.note(namespace, sight{ready: ready, why: why})
}

func (n *notes) DatasetSeen(_ context.Context, namespace, object, _ string, s portal.DatasetSeen, deleting, gone bool) {
	n.note(namespace+"/"+object, sight{state: s.State, version: s.Version, deleting: deleting, gone: gone})
}

func (n *notes) RunSeen(_ context.Context, namespace, object, _ string, s portal.RunSeen, gone bool) {
	n.note(namespace+"/"+object, sight{state: s.State, version: s.Version, gone: gone})
}

func (n *notes) Synced(context.Context) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.synced++
}

func (n *notes) isSynced() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.synced == 1
}

// watches runs Watch until the test ends.
func watches(t *testing.T, c *cluster.Client) *notes {
	t.Helper()
	sink := &notes{}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- c.Watch(ctx, sink) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("the watch ended with: %v", err)
		}
	})
	return sink
}

func TestWhatChangesIsTold(t *testing.T) {
	t.Parallel()
	api := start(t)
	c := newClient(t, asPortal(api.Config), cluster.Options{})
	namespace := tenant(t, api, c, "t-watched")
	uid, err := c.CreateDataset(t.Context(), portal.DatasetOrder{Namespace: namespace, Object: "d-before"})
	must(t, err)
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "gpus", Labels: map[string]string{v1alpha1.LabelGPUProduct: "NVIDIA-WATCHED"}}}
	must(t, api.Client.Create(t.Context(), node))
	node.Status.Allocatable = corev1.ResourceList{v1alpha1.ResourceGPU: resource.MustParse("8")}
	must(t, api.Client.Status().Update(t.Context(), node))
	_, err = c.Offers(t.Context())
	isKind(t, err, portal.KindUnavailable, "")

	sink := watches(t, c)
	eventually(t, "all that was there is told", sink.isSynced)
	if before := sink.of(namespace + "/d-before"); before.version == 0 || before.gone {
		t.Errorf("the dataset that was there before: %+v", before)
	}
	offers, err := c.Offers(t.Context())
	must(t, err)
	if len(offers) != 1 || offers[0] != (portal.GPUOffer{Product: "NVIDIA-WATCHED", Total: 8, PerNode: 8}) {
		t.Errorf("offers %v", offers)
	}

	order := least()
	order.Namespace, order.Object = namespace, "r-watched"
	runUID, err := c.CreateRun(t.Context(), order)
	must(t, err)
	var run v1alpha1.TrainingRun
	must(t, api.Client.Get(t.Context(), client.ObjectKey{Namespace: namespace, Name: order.Object}, &run))
	run.Status.State = v1alpha1.RunRunning
	must(t, api.Client.Status().Update(t.Context(), &run))
	eventually(t, "the run is told to train", func() bool { return sink.of(namespace+"/"+order.Object).state == "Running" })
	must(t, c.DeleteRun(t.Context(), namespace, order.Object, runUID))
	eventually(t, "the run is told to be gone, with its last state", func() bool {
		s := sink.of(namespace + "/" + order.Object)
		return s.gone && s.state == "Running"
	})

	var dataset v1alpha1.DatasetRetention
	must(t, api.Client.Get(t.Context(), client.ObjectKey{Namespace: namespace, Name: "d-before"}, &dataset))
	dataset.Finalizers = []string{v1alpha1.FinalizerErase}
	must(t, api.Client.Update(t.Context(), &dataset))
	must(t, c.DeleteDataset(t.Context(), namespace, "d-before", uid))
	eventually(t, "the dataset is told to be erased", func() bool {
		s := sink.of(namespace + "/d-before")
		return s.deleting && !s.gone && s.state == "Erasing"
	})
	must(t, api.Client.Get(t.Context(), client.ObjectKeyFromObject(&dataset), &dataset))
	dataset.Finalizers = nil
	must(t, api.Client.Update(t.Context(), &dataset))
	eventually(t, "the dataset is told to be gone", func() bool { return sink.of(namespace + "/d-before").gone })

	var ns corev1.Namespace
	must(t, api.Client.Get(t.Context(), client.ObjectKey{Name: namespace}, &ns))
	ns.Status.Conditions = []corev1.NamespaceCondition{{Type: v1alpha1.ConditionTenantReady, Status: corev1.ConditionTrue, Reason: "Ready"}}
	must(t, api.Client.Status().Update(t.Context(), &ns))
	eventually(t, "the tenant is told to be ready", func() bool { return sink.of(namespace).ready })
	other := api.Namespace(t)
	if told := sink.of(other); told != (sight{}) {
		t.Errorf("a namespace that is no tenant is told: %+v", told)
	}
}

// gate forwards connections to an API server while it is open.
type gate struct {
	t       *testing.T
	address string
	target  string

	mu       sync.Mutex
	listener net.Listener
	open     []net.Conn
}

func newGate(t *testing.T, config *rest.Config) (*gate, *rest.Config) {
	t.Helper()
	address, err := freeport.Claim()
	must(t, err)
	u, err := url.Parse(config.Host)
	must(t, err)
	target := u.Host
	if target == "" {
		target = config.Host
	}
	g := &gate{t: t, address: address, target: target}
	t.Cleanup(g.shut)
	config = rest.CopyConfig(config)
	config.Host = "https://" + address
	return g, config
}

func (g *gate) lift() {
	g.t.Helper()
	listener, err := net.Listen("tcp", g.address)
	must(g.t, err)
	g.mu.Lock()
	g.listener = listener
	g.mu.Unlock()
	go func() {
		for {
			in, err := listener.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", g.target)
			if err != nil {
				_ = in.Close()
				continue
			}
			g.mu.Lock()
			g.open = append(g.open, in, out)
			g.mu.Unlock()
			for _, pair := range [][2]net.Conn{{in, out}, {out, in}} {
				go func() {
					_, _ = io.Copy(pair[0], pair[1])
					_ = pair[0].Close()
				}()
			}
		}
	}()
}

func (g *gate) shut() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.listener != nil {
		_ = g.listener.Close()
		g.listener = nil
	}
	for _, c := range g.open {
		_ = c.Close()
	}
	g.open = nil
}

func TestTheWatchOutlivesAnAPIServerThatIsAway(t *testing.T) {
	t.Parallel()
	api := start(t)
	direct := newClient(t, asPortal(api.Config), cluster.Options{})
	namespace := tenant(t, api, direct, "t-away")
	order := portal.DatasetOrder{Namespace: namespace, Object: "d-away"}
	uid, err := direct.CreateDataset(t.Context(), order)
	must(t, err)

	g, config := newGate(t, asPortal(api.Config))
	c := newClient(t, config, cluster.Options{Timeout: 2 * time.Second})
	sink := watches(t, c)
	isKind(t, c.SealDataset(t.Context(), namespace, order.Object), portal.KindUnavailable, "")
	g.lift()
	eventually(t, "the watch begins when the API server comes", sink.isSynced)
	g.shut()
	isKind(t, c.SealDataset(t.Context(), namespace, order.Object), portal.KindUnavailable, "")
	// It goes while nobody can see it.
	must(t, direct.DeleteDataset(t.Context(), namespace, order.Object, uid))
	g.lift()
	eventually(t, "what went meanwhile is told", func() bool { return sink.of(namespace + "/" + order.Object).gone })
	isKind(t, c.SealDataset(t.Context(), namespace, order.Object), portal.KindNotFound, "")
}
