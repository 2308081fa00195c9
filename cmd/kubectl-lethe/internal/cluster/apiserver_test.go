package cluster

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/hack/apitest"
)

func TestMain(m *testing.M) { apitest.Main(m) }

// TestOnAnAPIServer tells the story of a dataset against the real rules: defaults,
// field ownership, CEL, watches by name, preconditions.
func TestOnAnAPIServer(t *testing.T) {
	t.Parallel()
	server := apitest.Start(t)
	key := client.ObjectKey{Namespace: server.Namespace(t), Name: key.Name}
	plain, err := client.New(server.Config, client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	c, err := NewClient(server.Config)
	if err != nil {
		t.Fatal(err)
	}
	hour, day := time.Hour, 24*time.Hour
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	ds, err := OpenDataset(t.Context(), c, key, Settings{AfterTraining: &hour})
	must(err)
	if ds.Spec.Sealed || ds.Spec.Retention.AfterTraining.Duration != hour || ds.Spec.Retention.MaxAge.Duration != 30*day {
		t.Errorf("new dataset: got %+v, want 1h and the default of 720h, not sealed", ds.Spec)
	}
	again, err := OpenDataset(t.Context(), c, key, Settings{MaxAge: &day})
	must(err)
	if again.UID != ds.UID || again.Spec.Retention.AfterTraining.Duration != hour || again.Spec.Retention.MaxAge.Duration != day {
		t.Errorf("second upload: got %+v, want 1h kept and 24h changed", again.Spec)
	}

	if ds.Spec.Encryption != v1alpha1.EncryptionPerDatasetKey {
		t.Errorf("new dataset: encryption %q, want the default", ds.Spec.Encryption)
	}
	if _, err := OpenDataset(t.Context(), c, key, Settings{Encryption: v1alpha1.EncryptionBucket}); !errors.Is(err, ErrEncryption) {
		t.Errorf("another encryption: got %v, want ErrEncryption", err)
	}
	for range 2 { // Without asking for it, the second time keeps what the first has chosen.
		inBucket := client.ObjectKey{Namespace: key.Namespace, Name: "in-bucket"}
		chosen, err := OpenDataset(t.Context(), c, inBucket, Settings{Encryption: v1alpha1.EncryptionBucket})
		must(err)
		kept, err := OpenDataset(t.Context(), c, inBucket, Settings{MaxAge: &day})
		must(err)
		if chosen.Spec.Encryption != v1alpha1.EncryptionBucket || kept.Spec.Encryption != v1alpha1.EncryptionBucket {
			t.Errorf("encryption %q and then %q, want Bucket", chosen.Spec.Encryption, kept.Spec.Encryption)
		}
	}

	go place(t, c, key)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	must(follower(c).Dataset(ctx, key, placed))

	if err := Seal(t.Context(), c, key, "another-uid"); err == nil {
		t.Error("a dataset of another UID was sealed")
	}
	must(Seal(t.Context(), c, key, ds.UID))
	must(Seal(t.Context(), c, key, ds.UID))
	if _, err := OpenDataset(t.Context(), c, key, Settings{}); !errors.Is(err, ErrSealed) {
		t.Errorf("upload to a sealed dataset: got %v, want ErrSealed", err)
	}
	_, err = GetRun(t.Context(), c, key)
	if !errors.Is(err, ErrNotFound) {
		t.Errorf("missing run: got %v, want ErrNotFound", err)
	}

	go func() { _ = c.Delete(ctx, ds) }()
	err = follower(c).Dataset(ctx, key, func(*v1alpha1.DatasetRetention) (bool, error) { return false, nil })
	if !errors.Is(err, ErrNotFound) {
		t.Errorf("erased dataset: got %v, want ErrNotFound", err)
	}

	// A dataset that was written by hand keeps its times, in the writer's words.
	other := client.ObjectKey{Namespace: key.Namespace, Name: "by-hand"}
	byHand := &v1alpha1.DatasetRetention{ObjectMeta: metav1.ObjectMeta{Namespace: other.Namespace, Name: other.Name}}
	byHand.Spec.Retention.AfterTraining = &metav1.Duration{Duration: 90 * time.Minute}
	must(c.Create(t.Context(), byHand))
	_, err = OpenDataset(t.Context(), c, other, Settings{})
	must(err)
	_, err = OpenDataset(t.Context(), c, other, Settings{AfterTraining: &hour})
	if err == nil || !strings.Contains(err.Error(), "managed by somebody else") {
		t.Errorf("change of another's time: got %v, want a refusal", err)
	}
	must(Seal(t.Context(), c, other, byHand.UID))

	// Without Lethe's kinds the person is told so.
	crd := &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{Name: "trainingruns.lethe.dev"}}
	crd.SetGroupVersionKind(schema.GroupVersionKind{Group: "apiextensions.k8s.io", Version: "v1", Kind: "CustomResourceDefinition"})
	must(plain.Delete(t.Context(), crd))
	err = wait.PollUntilContextCancel(ctx, 100*time.Millisecond, true, func(ctx context.Context) (bool, error) {
		_, err := GetRun(ctx, c, key)
		return errors.Is(err, ErrNotInstalled), nil
	})
	if err != nil {
		t.Error("no ErrNotInstalled after the kind was removed")
	}
}
