package sweeper

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/lethe-dev/lethe/api/objectkey"
	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/hack/apitest"
)

func TestMain(m *testing.M) { apitest.Main(m) }

// TestClusterOnAnAPIServer is one story, because its end takes the CRDs away.
func TestClusterOnAnAPIServer(t *testing.T) {
	t.Parallel()
	server := apitest.Start(t)
	c := server.Client
	namespace, other := server.Namespace(t), server.Namespace(t)
	want := map[types.UID]Object{}
	for i := range page + 1 { // More than one page.
		d := dataset(namespace, fmt.Sprintf("d-%d", i))
		create(t, c, d)
		want[d.UID] = Object{Name: d.Name}
	}
	ready := dataset(namespace, "ready")
	create(t, c, ready)
	ready.Status.State = v1alpha1.DatasetReady
	updateStatus(t, c, ready)
	want[ready.UID] = Object{Name: "ready", State: v1alpha1.DatasetReady}
	leaving := dataset(namespace, "leaving")
	leaving.Finalizers = []string{v1alpha1.FinalizerErase}
	create(t, c, leaving)
	remove(t, c, leaving)
	want[leaving.UID] = Object{Name: "leaving", Deleting: true}
	create(t, c, dataset(other, "elsewhere"))

	var runs []*v1alpha1.TrainingRun
	for i := range wholeRuns + 1 {
		run := &v1alpha1.TrainingRun{
			ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: fmt.Sprintf("r-%02d", i)},
			Spec: v1alpha1.TrainingRunSpec{
				DatasetRef: v1alpha1.DatasetReference{Name: "ready"}, Trainer: v1alpha1.Trainer{Image: "i"},
			},
		}
		create(t, c, run)
		runs = append(runs, run)
	}
	cluster := NewCluster(c)
	wantRuns := map[types.UID]Object{}
	for _, run := range runs {
		wantRuns[run.UID] = Object{Name: run.Name}
	}
	wantCensus(t, cluster, namespace, Census{Objects: map[string]map[types.UID]Object{
		objectkey.ResourceDataset: want, objectkey.ResourceRun: wantRuns,
	}})
	wantCensus(t, cluster, "absent", Census{Gone: true})

	for where, want := range map[string]bool{namespace: false, other: true, "absent": true} {
		if got, err := cluster.Elsewhere(t.Context(), where, ready.UID); err != nil || got != want {
			t.Errorf("outside of %s the dataset is there: %v, %v; want %v", where, got, err, want)
		}
	}
	wantUsed(t, cluster, ready, false)
	last := runs[len(runs)-1]
	last.Status.State = v1alpha1.RunRunning
	last.Status.Dataset = &v1alpha1.BoundDataset{UID: ready.UID, ManifestDigest: objectkey.Digest(nil)}
	updateStatus(t, c, last)
	wantUsed(t, cluster, ready, true)
	wantUsed(t, cluster, leaving, false)
	last.Status.State = v1alpha1.RunSucceeded
	updateStatus(t, c, last)
	wantUsed(t, cluster, ready, false)

	// The CRDs go, and everything of them.
	patch := client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"finalizers":null}}`))
	if err := c.Patch(t.Context(), leaving, patch); err != nil {
		t.Fatalf("take the finalizer off: %v", err)
	}
	dropCRD(t, c, "trainingruns.lethe.dev")
	delete(want, leaving.UID)
	fresh, err := client.New(server.Config, client.Options{Scheme: server.Scheme})
	if err != nil {
		t.Fatal(err)
	}
	for _, reader := range []client.Client{c, fresh} { // One that knew the kind, and one that never did.
		wantCensus(t, NewCluster(reader), namespace, Census{Objects: map[string]map[types.UID]Object{
			objectkey.ResourceDataset: want, objectkey.ResourceRun: {},
		}})
	}
	wantUsed(t, cluster, ready, false)
	dropCRD(t, c, "datasetretentions.lethe.dev")
	for _, reader := range []client.Client{c, fresh} {
		wantCensus(t, NewCluster(reader), namespace, Census{Objects: map[string]map[types.UID]Object{
			objectkey.ResourceDataset: {}, objectkey.ResourceRun: {},
		}})
	}
}

func dataset(namespace, name string) *v1alpha1.DatasetRetention {
	return &v1alpha1.DatasetRetention{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
}

func create(t *testing.T, c client.Client, o client.Object) {
	t.Helper()
	if err := c.Create(t.Context(), o); err != nil {
		t.Fatalf("create %s: %v", o.GetName(), err)
	}
}

func updateStatus(t *testing.T, c client.Client, o client.Object) {
	t.Helper()
	if err := c.Status().Update(t.Context(), o); err != nil {
		t.Fatalf("update the status of %s: %v", o.GetName(), err)
	}
}

func remove(t *testing.T, c client.Client, o client.Object) {
	t.Helper()
	if err := c.Delete(t.Context(), o); err != nil {
		t.Fatalf("delete %s: %v", o.GetName(), err)
	}
}

// dropCRD deletes a CRD and waits for its end.
func dropCRD(t *testing.T, c client.Client, name string) {
	t.Helper()
	crd := &unstructured.Unstructured{}
	crd.SetGroupVersionKind(schema.GroupVersionKind{Group: "apiextensions.k8s.io", Version: "v1", Kind: "CustomResourceDefinition"})
	crd.SetName(name)
	remove(t, c, crd)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for !apierrors.IsNotFound(c.Get(ctx, client.ObjectKey{Name: name}, crd)) {
		select {
		case <-ctx.Done():
			t.Fatalf("%s does not go", name)
		case <-tick.C:
		}
	}
}

func wantCensus(t *testing.T, cluster *Cluster, namespace string, want Census) {
	t.Helper()
	got, err := cluster.Look(t.Context(), namespace)
	if err != nil {
		t.Fatalf("look: %v", err)
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(Census{})); diff != "" {
		t.Errorf("census (-want +got):\n%s", diff)
	}
}

func wantUsed(t *testing.T, cluster *Cluster, d *v1alpha1.DatasetRetention, want bool) {
	t.Helper()
	if got, err := cluster.Used(t.Context(), d.Namespace, d.UID); err != nil || got != want {
		t.Errorf("%s is used: %v, %v; want %v", d.Name, got, err, want)
	}
}

// TestClusterBelievesNoError: what the API server does not answer is never taken for
// nothing.
func TestClusterBelievesNoError(t *testing.T) {
	t.Parallel()
	scheme := runtime.NewScheme()
	if err := errors.Join(corev1.AddToScheme(scheme), v1alpha1.AddToScheme(scheme)); err != nil {
		t.Fatal(err)
	}
	resource := v1alpha1.Resource("datasetretentions")
	notFound := apierrors.NewNotFound(resource, "")
	noMatch := &apimeta.NoKindMatchError{GroupKind: v1alpha1.GroupVersion.WithKind("DatasetRetention").GroupKind()}
	for name, c := range map[string]struct {
		// list is what every list gives, and get what a get of the namespace or the CRD.
		list, namespace, crd error
		wantErr              bool
		wantGone             bool
		wantUnreadable       bool
	}{
		"everything is there":                  {},
		"the namespace is not":                 {namespace: apierrors.NewNotFound(corev1.Resource("namespaces"), "ns"), wantGone: true},
		"no answer about the namespace":        {namespace: errTest, wantErr: true},
		"no right to see the namespace":        {namespace: apierrors.NewForbidden(corev1.Resource("namespaces"), "ns", errTest), wantErr: true},
		"no answer to the list":                {list: context.DeadlineExceeded, wantErr: true},
		"no right to list":                     {list: apierrors.NewForbidden(resource, "", errTest), wantErr: true},
		"too many requests":                    {list: apierrors.NewTooManyRequestsError("later"), wantErr: true},
		"the API server is not available":      {list: apierrors.NewServiceUnavailable("later"), wantErr: true},
		"the API server does not answer":       {list: &url.Error{Op: "Get", Err: errTest}, wantErr: true},
		"the API server's storage times out":   {list: apierrors.NewTimeoutError("later", 1), wantErr: true},
		"the API server can not read one":      {list: storeReadError(), wantErr: true, wantUnreadable: true},
		"one can not be decoded":               {list: &time.ParseError{}, wantErr: true, wantUnreadable: true},
		"the second page has expired":          {list: apierrors.NewResourceExpired("gone"), wantErr: true},
		"no such resource, but there is a CRD": {list: notFound, wantErr: true},
		"no such kind, but there is a CRD":     {list: noMatch, wantErr: true},
		"no such resource and no answer":       {list: notFound, crd: errTest, wantErr: true},
		"no such resource and no CRD":          {list: notFound, crd: apierrors.NewNotFound(resource, "")},
		"no such kind and no CRD":              {list: noMatch, crd: apierrors.NewNotFound(resource, "")},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			reader := fake.NewClientBuilder().WithScheme(scheme).WithInterceptorFuncs(interceptor.Funcs{
				List: func(context.Context, client.WithWatch, client.ObjectList, ...client.ListOption) error { return c.list },
				Get: func(_ context.Context, _ client.WithWatch, key client.ObjectKey, _ client.Object, _ ...client.GetOption) error {
					if strings.HasSuffix(key.Name, ".lethe.dev") {
						return c.crd
					}
					return c.namespace
				},
			}).Build()
			cluster := NewCluster(reader)
			census, err := cluster.Look(t.Context(), "ns")
			if (err != nil) != c.wantErr || census.Gone != c.wantGone {
				t.Errorf("look gives gone %v, %v; want %v and an error: %v", census.Gone, err, c.wantGone, c.wantErr)
			}
			if errors.Is(err, ErrUnreadable) != c.wantUnreadable {
				t.Errorf("look gives %v; want the namespace's own error: %v", err, c.wantUnreadable)
			}
			if c.namespace != nil {
				return
			}
			if _, err := cluster.Used(t.Context(), "ns", uid1); (err != nil) != c.wantErr || errors.Is(err, ErrUnreadable) != c.wantUnreadable {
				t.Errorf("used gives %v; want an error: %v, the namespace's own: %v", err, c.wantErr, c.wantUnreadable)
			}
			if elsewhere, err := cluster.Elsewhere(t.Context(), "ns", uid1); (err != nil) != c.wantErr || elsewhere {
				t.Errorf("elsewhere gives %v, %v; want an error: %v", elsewhere, err, c.wantErr)
			}
		})
	}
}

func storeReadError() error {
	err := apierrors.NewInternalError(errTest)
	err.ErrStatus.Reason = metav1.StatusReasonStoreReadError
	return err
}

// TestAnObjectThatCanNotBeDecoded is what a client really makes of one.
func TestAnObjectThatCanNotBeDecoded(t *testing.T) {
	t.Parallel()
	const secret = "somebody's words"
	for name, status := range map[string]string{
		"a number that is a text": `{"uploadedBytes": 1, "state": ["` + secret + `"]}`,
		"a time that is none":     `{"sealedTime": "` + secret + `", "conditions": [{"lastTransitionTime": "` + secret + `"}]}`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", "application/json")
				if strings.HasSuffix(r.URL.Path, "/namespaces/ns") {
					_, _ = fmt.Fprint(w, `{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "ns"}}`)
					return
				}
				_, _ = fmt.Fprintf(w, `{"apiVersion": "lethe.dev/v1alpha1", "kind": "DatasetRetentionList", "items": [{"status": %s}]}`, status)
			}))
			t.Cleanup(server.Close)
			scheme := runtime.NewScheme()
			if err := errors.Join(corev1.AddToScheme(scheme), v1alpha1.AddToScheme(scheme)); err != nil {
				t.Fatal(err)
			}
			mapper := apimeta.NewDefaultRESTMapper(nil)
			mapper.Add(v1alpha1.GroupVersion.WithKind("DatasetRetention"), apimeta.RESTScopeNamespace)
			mapper.Add(corev1.SchemeGroupVersion.WithKind("Namespace"), apimeta.RESTScopeRoot)
			reader, err := client.New(&rest.Config{Host: server.URL}, client.Options{Scheme: scheme, Mapper: mapper})
			if err != nil {
				t.Fatal(err)
			}
			_, err = NewCluster(reader).Look(t.Context(), "ns")
			if !errors.Is(err, ErrUnreadable) || strings.Contains(err.Error(), secret) {
				t.Errorf("look gives %v", err)
			}
			server.Close()
			if _, err = NewCluster(reader).Look(t.Context(), "ns"); err == nil || errors.Is(err, ErrUnreadable) {
				t.Errorf("look gives %v when nobody is there", err)
			}
		})
	}
}
