package broker

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/controllers/datasetkey"
	"github.com/lethe-dev/lethe/controllers/objectstore"
	"github.com/lethe-dev/lethe/controllers/staging"
)

var _ Keys = (*datasetkey.Ring)(nil)

// canary is the key of the world's dataset.
const canary = "Canary-of-exactly-32-bytes-here!"

func canaryKey() objectstore.Key {
	key, err := objectstore.NewKey([]byte(canary))
	if err != nil {
		panic(err)
	}
	return key
}

func keySecret(raw []byte) *corev1.Secret {
	return &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: system, Name: datasetkey.SecretName(datasetUID),
			Labels: map[string]string{datasetkey.LabelUID: datasetUID},
		},
		Type: datasetkey.SecretType, Data: map[string][]byte{"key": raw},
	}
}

func ringOf(t *testing.T, kube client.Client) *datasetkey.Ring {
	t.Helper()
	ring, err := datasetkey.New(datasetkey.Options{Client: kube, Live: kube, Namespace: system, Random: rand.Reader})
	if err != nil {
		t.Fatal(err)
	}
	return ring
}

// bucketOnly gives the dataset no key of its own.
func bucketOnly(w *world) {
	w.dataset.Spec.Encryption = v1alpha1.EncryptionBucket
	w.dataset.Status.KeyID = ""
	w.absent = append(w.absent, w.secret)
}

// unkeyed is a dataset whose key was not made yet.
func unkeyed(w *world) {
	w.dataset.Status.KeyID = ""
	w.absent = append(w.absent, w.secret)
}

// brokenKeys panics with the key at hand.
type brokenKeys struct{}

func (b brokenKeys) Get(context.Context, types.UID) (objectstore.Key, error) {
	return b.with(canaryKey(), [32]byte([]byte(canary)))
}

//go:noinline
func (brokenKeys) with(key objectstore.Key, raw [32]byte) (objectstore.Key, error) {
	panic(fmt.Sprintf("a bug with %v and %d bytes", key, len(raw)))
}

// TestKeysAreNeverLogged asks for keys in every way, good and bad, and looks for the
// key in all that the broker says of itself.
func TestKeysAreNeverLogged(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*world){
		"when all is well":                   func(*world) {},
		"when the store gives nothing":       func(w *world) { w.sts.err = errBroken },
		"when the key is another one":        func(w *world) { w.dataset.Status.KeyID = strings.Repeat("0", 32) },
		"when the key is malformed":          func(w *world) { w.secret.Data["key"] = append([]byte(canary), 'x') },
		"when the Secret is of another type": func(w *world) { w.secret.Type = corev1.SecretTypeOpaque },
		"when the Secret can not be read":    failReadOf(&corev1.Secret{}),
		"when there is a bug":                func(w *world) { w.keys = brokenKeys{} },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld()
			change(w)
			registry := prometheus.NewPedanticRegistry()
			w.options = func(o *Options) { o.Metrics = registry }
			c := w.start(t)
			told := &strings.Builder{}
			stage, err := c.Stage(t.Context(), staging.StepStageIn)
			fmt.Fprintf(told, "%+v %#v %v\n", stage, stage, err)
			w.token = humanToken
			w.dataset.Spec.Sealed = false
			if err := w.kube.Update(t.Context(), w.dataset); err != nil {
				t.Fatal(err)
			}
			grant, err := c.Upload(t.Context(), namespace, "digits")
			fmt.Fprintf(told, "%+v %#v %v\n", grant, grant, err)
			families, errMetrics := registry.Gather()
			if errMetrics != nil || len(families) == 0 {
				t.Fatalf("metrics: %d, %v", len(families), errMetrics)
			}
			for _, family := range families {
				told.WriteString(family.String())
			}
			told.WriteString(strings.Join(w.logs(), "\n"))
			if err != nil && len(w.logs()) == 0 {
				t.Error("nothing was logged at all")
			}
			for _, form := range forms() {
				if strings.Contains(strings.ToLower(told.String()), strings.ToLower(form)) {
					t.Errorf("the key is told as %q:\n%s", form, told)
				}
			}
		})
	}
}

// forms are those in which a text might show the key, and a trace a part of it.
func forms() []string {
	raw := []byte(canary)
	first := make([]string, 0, 4)
	for _, b := range raw[:4] {
		first = append(first, fmt.Sprintf("%#x", b))
	}
	return []string{
		canary, hex.EncodeToString(raw), base64.RawStdEncoding.EncodeToString(raw), base64.RawURLEncoding.EncodeToString(raw),
		strings.Trim(fmt.Sprintf("%d", raw), "[]"), strings.Join(first, ", "), canary[:16],
	}
}

func TestABugIsLoggedWithItsPlace(t *testing.T) {
	t.Parallel()
	w := newWorld()
	w.keys = brokenKeys{}
	w.start(t)
	w.raw(t, http.MethodPost, staging.PathStage, `{"step":"stage-in"}`)
	if logged := strings.Join(w.logs(), "\n"); !strings.Contains(logged, "brokenKeys.with") || !strings.Contains(logged, "keys_test.go:") ||
		!strings.Contains(logged, "a bug with [key]") {
		t.Errorf("the log does not say where the bug is: %s", logged)
	}
}

// TestKeysAreReadAfterTheDataset: a deletion between both reads leaves no key behind
// the fence.
func TestKeysAreReadAfterTheDataset(t *testing.T) {
	t.Parallel()
	for name, ask := range map[string]question{"stage-in": askStageIn, "upload": askUpload} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld()
			if name == "upload" {
				w.person()
			}
			var order []string
			w.failRead = func(_ client.ObjectKey, object client.Object) error {
				switch object.(type) {
				case *v1alpha1.DatasetRetention:
					order = append(order, "dataset")
				case *corev1.Secret:
					order = append(order, "key")
				}
				return nil
			}
			if err := ask(t.Context(), w.start(t)); err != nil {
				t.Fatal(err)
			}
			if got := strings.Join(order, " "); got != "dataset key" {
				t.Errorf("read %s, want dataset key", got)
			}
		})
	}
}

// TestKeysAreNotEvenReadForOthers: what needs no key does not touch one.
func TestKeysAreNotEvenReadForOthers(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		change func(*world)
		ask    question
	}{
		"stage-out":                       {func(*world) {}, askStageOut},
		"artifacts":                       {func(w *world) { w.person(); published(w) }, askArtifacts},
		"stage-in of a dataset without":   {bucketOnly, askStageIn},
		"upload to a dataset without one": {func(w *world) { w.person(); bucketOnly(w) }, askUpload},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld()
			tc.change(w)
			w.keys = brokenKeys{}
			if err := tc.ask(t.Context(), w.start(t)); err != nil {
				t.Error(err)
			}
		})
	}
}
