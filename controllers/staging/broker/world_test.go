package broker

import (
	"context"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"io"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/go-logr/logr/funcr"
	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/controllers/objectstore"
	"github.com/lethe-dev/lethe/controllers/staging"
	"github.com/lethe-dev/lethe/controllers/staging/brokerclient"
	"github.com/lethe-dev/lethe/controllers/trainingrun/resources"
)

const (
	namespace  = "team-a"
	podUID     = "11111111-aaaa-4aaa-8aaa-000000000001"
	jobUID     = "11111111-aaaa-4aaa-8aaa-000000000002"
	runUID     = "11111111-aaaa-4aaa-8aaa-000000000003"
	datasetUID = "11111111-aaaa-4aaa-8aaa-000000000004"
	podToken   = "pod-token"
	humanToken = "human-token"
	apiserver  = "https://kubernetes.default.svc"
)

var errBroken = errors.New("broken")

// knownToken is what the fake API server knows of a token.
type knownToken struct {
	audiences []string
	user      authenticationv1.UserInfo
}

// fakeTokens reviews tokens as the API server does.
type fakeTokens struct {
	mu    sync.Mutex
	known map[string]knownToken
	// blind authenticates without looking at audiences, as old webhooks do.
	blind  bool
	err    error
	blow   bool
	asked  int
	caught []string
}

func (f *fakeTokens) Create(
	_ context.Context, review *authenticationv1.TokenReview, _ metav1.CreateOptions,
) (*authenticationv1.TokenReview, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked++
	f.caught = append(f.caught, strings.Join(review.Spec.Audiences, ","))
	if f.blow {
		panic("a bug")
	}
	if f.err != nil {
		return nil, f.err
	}
	audiences := review.Spec.Audiences
	if len(audiences) == 0 {
		audiences = []string{apiserver}
	}
	known, ok := f.known[review.Spec.Token]
	if !ok {
		return review, nil
	}
	if f.blind {
		review.Status = authenticationv1.TokenReviewStatus{Authenticated: true, User: known.user}
		return review, nil
	}
	for _, audience := range known.audiences {
		if slices.Contains(audiences, audience) {
			review.Status.Audiences = append(review.Status.Audiences, audience)
		}
	}
	if len(review.Status.Audiences) > 0 {
		review.Status.Authenticated, review.Status.User = true, known.user
	}
	return review, nil
}

func (f *fakeTokens) count() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.asked
}

// fakeAccess allows what is listed as "user verb resource/subresource namespace/name".
type fakeAccess struct {
	allowed []string
	denied  bool
	err     error
	last    authorizationv1.SubjectAccessReviewSpec
}

func (f *fakeAccess) Create(
	_ context.Context, review *authorizationv1.SubjectAccessReview, _ metav1.CreateOptions,
) (*authorizationv1.SubjectAccessReview, error) {
	if f.err != nil {
		return nil, f.err
	}
	f.last = review.Spec
	a := review.Spec.ResourceAttributes
	asked := review.Spec.User + " " + a.Verb + " " + a.Resource + "." + a.Group + "/" + a.Subresource + " " + a.Namespace + "/" + a.Name
	review.Status.Allowed = slices.Contains(f.allowed, asked)
	review.Status.Denied = f.denied
	return review, nil
}

// fakeSTS gives credentials and remembers what they can do.
type fakeSTS struct {
	mu       sync.Mutex
	err      error
	endless  bool
	now      func() time.Time
	policies []string
	lives    []time.Duration
}

func (f *fakeSTS) AssumeRole(_ context.Context, policy string, life time.Duration) (objectstore.Credentials, error) {
	if f.err != nil {
		return objectstore.Credentials{}, f.err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.policies, f.lives = append(f.policies, policy), append(f.lives, life)
	c := objectstore.Credentials{AccessKeyID: "access", SecretAccessKey: "store-secret", SessionToken: "session"}
	if !f.endless {
		c.ExpiresAt = f.now().Add(life)
	}
	return c, nil
}

// world is a cluster with one run on its way, and its broker.
type world struct {
	pod     *corev1.Pod
	job     *batchv1.Job
	run     *v1alpha1.TrainingRun
	dataset *v1alpha1.DatasetRetention
	absent  []client.Object
	// uncached says that the operator's cache has no pods.
	uncached atomic.Bool
	tokens   *fakeTokens
	access   *fakeAccess
	sts      *fakeSTS
	// peers are other pods.
	peers []*corev1.Pod
	// other is a second run; nil for none.
	other *v1alpha1.TrainingRun
	// secret holds the dataset's key, the canary.
	secret *corev1.Secret
	// keys are asked in place of the cluster's; nil for those.
	keys  Keys
	clock *clocktesting.FakeClock
	// failCache is what the cache fails with.
	failCache error
	failRead  func(key client.ObjectKey, object client.Object) error
	token     string
	options   func(*Options)

	// logText is the trainer's log.
	logText fakeLogs
	// writes are those to the run's status.
	writes writeCounter

	kube   client.Client
	server *Server
	http   *httptest.Server
	logMu  sync.Mutex
	logged []string
}

func owned(name, uid, ownerAPI, ownerKind, owner, ownerUID string) metav1.ObjectMeta {
	controls := true
	meta := metav1.ObjectMeta{Namespace: namespace, Name: name, UID: types.UID(uid)}
	if owner != "" {
		meta.OwnerReferences = []metav1.OwnerReference{{
			APIVersion: ownerAPI, Kind: ownerKind, Name: owner, UID: types.UID(ownerUID), Controller: &controls,
		}}
	}
	return meta
}

// templateOf is what a Job's template says of its run's attempt.
func templateOf(attempt int32) corev1.PodTemplateSpec {
	return corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{
		Labels:      map[string]string{v1alpha1.LabelAttempt: strconv.Itoa(int(attempt)), v1alpha1.LabelDatasetUID: datasetUID},
		Annotations: map[string]string{resources.AnnotationManifestDigest: "sha256:digits"},
	}}
}

func podUser() authenticationv1.UserInfo {
	return authenticationv1.UserInfo{
		Username: "system:serviceaccount:" + namespace + ":default",
		Extra: map[string]authenticationv1.ExtraValue{
			extraPodName: {"run-a-x7k2p"}, extraPodUID: {podUID},
		},
	}
}

func newWorld() *world {
	w := &world{
		pod: &corev1.Pod{
			ObjectMeta: owned("run-a-x7k2p", podUID, "batch/v1", "Job", "run-a", jobUID),
			Status: corev1.PodStatus{Phase: corev1.PodRunning, ContainerStatuses: []corev1.ContainerStatus{
				{Name: staging.ContainerStageOut},
				{Name: staging.ContainerTrainer, State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}},
			}},
		},
		job: &batchv1.Job{
			ObjectMeta: owned("run-a", jobUID, "lethe.dev/v1alpha1", "TrainingRun", "run-a", runUID),
			Spec:       batchv1.JobSpec{Template: templateOf(1)},
		},
		run: &v1alpha1.TrainingRun{
			ObjectMeta: owned("run-a", runUID, "", "", "", ""),
			Spec:       v1alpha1.TrainingRunSpec{DatasetRef: v1alpha1.DatasetReference{Name: "digits"}},
			Status: v1alpha1.TrainingRunStatus{
				State:   v1alpha1.RunStarting,
				Attempt: 1,
				Dataset: &v1alpha1.BoundDataset{UID: datasetUID, ManifestDigest: "sha256:digits"},
			},
		},
		dataset: &v1alpha1.DatasetRetention{
			ObjectMeta: owned("digits", datasetUID, "", "", "", ""),
			Spec:       v1alpha1.DatasetRetentionSpec{Sealed: true},
			Status: v1alpha1.DatasetRetentionStatus{
				Location: &v1alpha1.ObjectLocation{
					Bucket: "datasets", Prefix: namespace + "/" + datasetUID + "/", Store: "11112222333344445555666677778888",
				},
				KeyID:          canaryKey().ID(),
				ManifestDigest: "sha256:digits",
			},
		},
		tokens: &fakeTokens{known: map[string]knownToken{
			podToken:   {audiences: []string{staging.Audience}, user: podUser()},
			humanToken: {audiences: []string{apiserver}, user: authenticationv1.UserInfo{Username: "ada"}},
		}},
		access: &fakeAccess{allowed: []string{
			"ada create datasetretentions.lethe.dev/upload " + namespace + "/digits",
			"ada create datasetretentions.lethe.dev/upload " + namespace + "/nothing",
			"ada get trainingruns.lethe.dev/artifacts " + namespace + "/run-a",
			"ada get trainingruns.lethe.dev/artifacts " + namespace + "/nothing",
		}},
		secret: keySecret([]byte(canary)),
		clock:  clocktesting.NewFakeClock(time.Date(2026, 9, 1, 12, 0, 0, 0, time.UTC)),
		token:  podToken,
	}
	w.sts = &fakeSTS{now: w.clock.Now}
	return w
}

// person makes a person ask in place of the pod, for a dataset that is open.
func (w *world) person() {
	w.token = humanToken
	w.dataset.Spec.Sealed = false
}

// deleted marks an object as one that is being deleted.
func deleted(object client.Object) {
	at := metav1.NewTime(time.Date(2026, 9, 1, 11, 0, 0, 0, time.UTC))
	object.SetDeletionTimestamp(&at)
	object.SetFinalizers([]string{"lethe.dev/test"})
}

func (w *world) objects() []client.Object {
	all := []client.Object{w.pod, w.job, w.run, w.dataset, w.secret}
	for _, peer := range w.peers {
		all = append(all, peer)
	}
	if w.other != nil {
		all = append(all, w.other)
	}
	return slices.DeleteFunc(all, func(o client.Object) bool { return slices.Contains(w.absent, o) })
}

func (w *world) log() logr.Logger {
	return funcr.New(func(_, args string) {
		w.logMu.Lock()
		defer w.logMu.Unlock()
		w.logged = append(w.logged, args)
	}, funcr.Options{})
}

func (w *world) logs() []string {
	w.logMu.Lock()
	defer w.logMu.Unlock()
	return slices.Clone(w.logged)
}

// podCache is the operator's cache of pods.
type podCache struct {
	client.Reader
	world *world
}

func (c podCache) Get(ctx context.Context, key client.ObjectKey, object client.Object, o ...client.GetOption) error {
	if c.world.uncached.Load() {
		return apierrors.NewNotFound(corev1.Resource("pods"), key.Name)
	}
	if c.world.failCache != nil {
		return c.world.failCache
	}
	return c.Reader.Get(ctx, key, object, o...)
}

// List is the cache's, too.
func (c podCache) List(ctx context.Context, list client.ObjectList, o ...client.ListOption) error {
	if c.world.failCache != nil {
		return c.world.failCache
	}
	return c.Reader.List(ctx, list, o...)
}

// writeCounter counts writes and can fail.
type writeCounter struct {
	StatusWriter
	now func() time.Time

	mu    sync.Mutex
	times []time.Time
	// fail gives what the write of this number, from 1, fails with.
	fail func(n int) error
}

func (c *writeCounter) Apply(ctx context.Context, run runtime.ApplyConfiguration, o ...client.SubResourceApplyOption) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.times = append(c.times, c.now())
	if c.fail != nil {
		if err := c.fail(len(c.times)); err != nil {
			return err
		}
	}
	return c.StatusWriter.Apply(ctx, run, o...)
}

func (c *writeCounter) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.times)
}

// at gives when the writes were, in seconds since a time.
func (c *writeCounter) at(since time.Time) []float64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	var seconds []float64
	for _, at := range c.times {
		seconds = append(seconds, at.Sub(since).Seconds())
	}
	return seconds
}

// status reads the run's status.
func (w *world) status(t *testing.T) v1alpha1.TrainingRunStatus {
	t.Helper()
	var run v1alpha1.TrainingRun
	if err := w.kube.Get(t.Context(), client.ObjectKeyFromObject(w.run), &run); err != nil {
		t.Fatal(err)
	}
	return run.Status
}

// fakeLogs is the log of a trainer.
type fakeLogs struct {
	mu    sync.Mutex
	text  string
	err   error
	asked []corev1.PodLogOptions
	// ended says that the container has ended, so that a log that is followed ends.
	ended bool
}

// Stream gives the log from the second on that it is asked for, as the kubelet does.
func (f *fakeLogs) Stream(ctx context.Context, _, _ string, o *corev1.PodLogOptions) (io.ReadCloser, error) {
	if o.Follow {
		return f.follow(ctx)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked = append(f.asked, *o)
	if f.err != nil {
		return nil, f.err
	}
	var kept strings.Builder
	for line := range strings.Lines(f.text) {
		if at, ok := timeOf([]byte(line)); ok && o.SinceTime != nil && at.Before(o.SinceTime.Time) {
			continue
		}
		kept.WriteString(line)
	}
	return io.NopCloser(io.LimitReader(strings.NewReader(kept.String()), *o.LimitBytes)), nil
}

// follow gives no line, and ends with the container.
func (f *fakeLogs) follow(ctx context.Context) (io.ReadCloser, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err != nil {
		return nil, f.err
	}
	reader, writer := io.Pipe()
	if f.ended {
		return reader, writer.Close()
	}
	context.AfterFunc(ctx, func() { _ = writer.CloseWithError(ctx.Err()) })
	return reader, nil
}

func testScheme(t *testing.T) *runtime.Scheme {
	t.Helper()
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{corev1.AddToScheme, batchv1.AddToScheme, v1alpha1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	return scheme
}

func (w *world) baseOptions(t *testing.T) Options {
	t.Helper()
	w.kube = fake.NewClientBuilder().WithScheme(testScheme(t)).WithObjects(w.objects()...).
		WithStatusSubresource(&v1alpha1.TrainingRun{}).
		WithInterceptorFuncs(interceptor.Funcs{Get: func(
			ctx context.Context, c client.WithWatch, key client.ObjectKey, object client.Object, o ...client.GetOption,
		) error {
			if w.failRead != nil {
				if err := w.failRead(key, object); err != nil {
					return err
				}
			}
			return c.Get(ctx, key, object, o...)
		}}).Build()
	w.writes.StatusWriter, w.writes.now = w.kube.Status(), w.clock.Now
	if w.keys == nil {
		w.keys = ringOf(t, w.kube)
	}
	ca, err := EnsureCA(t.Context(), fake.NewClientBuilder().WithScheme(testScheme(t)).Build(), "lethe-system", w.clock.Now(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return Options{
		Address: "127.0.0.1:0", Certificate: NewCertificates(ca, []string{"127.0.0.1"}, w.clock, rand.Reader).Get,
		Pods: podCache{w.kube, w}, Live: w.kube, Statuses: &w.writes, Logs: &w.logText, Tokens: w.tokens, Access: w.access, STS: w.sts, Keys: w.keys,
		Store: Store{
			Endpoint: "https://minio:9000", CABundle: "store CA", Region: "lab",
			DatasetsBucket: "datasets", ArtifactsBucket: "artifacts",
		},
		Clock: w.clock, Random: rand.Reader, Log: w.log(),
	}
}

// start makes the broker and a client of it.
func (w *world) start(t *testing.T) *brokerclient.Client {
	t.Helper()
	o := w.baseOptions(t)
	if w.options != nil {
		w.options(&o)
	}
	server, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	w.server = server
	w.http = httptest.NewTLSServer(server.Handler())
	t.Cleanup(func() {
		w.http.Close()
		server.release()
		server.recorder.writers.Wait()
	})
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: w.http.Certificate().Raw})
	c, err := brokerclient.New(w.http.URL, ca, func() (string, error) { return w.token, nil })
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// eventually waits for what other goroutines are about to do.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-ctx.Done():
			t.Fatalf("not within 20 s: %s", what)
		case <-tick.C:
		}
	}
}
