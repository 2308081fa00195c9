package broker

import (
	"context"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/controllers/objectstore"
	"github.com/lethe-dev/lethe/controllers/staging"
	"github.com/lethe-dev/lethe/controllers/staging/brokerclient"
)

func storeGrant(w *world, bucket, uid string, life time.Duration) staging.StoreGrant {
	var key []byte
	if uid == datasetUID && ownKey(w.dataset) {
		key = []byte(canary)
	}
	return staging.StoreGrant{
		EncryptionKey: key,
		Endpoint:      "https://minio:9000", CABundle: "store CA", Region: "lab",
		Bucket: bucket, Prefix: namespace + "/" + uid + "/",
		AccessKeyID: "access", SecretAccessKey: "store-secret", SessionToken: "session",
		IssuedAt: w.clock.Now(), ExpiresAt: w.clock.Now().Add(life),
	}
}

func published(w *world) {
	w.run.Status.State = v1alpha1.RunSucceeded
	w.run.Status.Artifacts = &v1alpha1.ArtifactsStatus{Location: v1alpha1.ObjectLocation{
		Bucket: "artifacts", Prefix: namespace + "/" + runUID + "/",
	}}
}

func TestGrants(t *testing.T) {
	t.Parallel()
	stage := func(step staging.Step) func(context.Context, *brokerclient.Client) (any, error) {
		return func(ctx context.Context, c *brokerclient.Client) (any, error) { return c.Stage(ctx, step) }
	}
	upload := func(ctx context.Context, c *brokerclient.Client) (any, error) {
		return c.Upload(ctx, namespace, "digits")
	}
	artifacts := func(ctx context.Context, c *brokerclient.Client) (any, error) {
		return c.Artifacts(ctx, namespace, "run-a")
	}
	cases := map[string]struct {
		change func(*world)
		ask    func(context.Context, *brokerclient.Client) (any, error)
		want   func(*world) any
		policy string
		life   time.Duration
	}{
		"stage-in reads the dataset that the run is bound to": {
			ask: stage(staging.StepStageIn),
			want: func(w *world) any {
				return staging.StageGrant{Store: storeGrant(w, "datasets", datasetUID, time.Hour), ManifestDigest: "sha256:digits"}
			},
			policy: "read-dataset", life: time.Hour,
		},
		"stage-out writes the run's artifacts": {
			ask: stage(staging.StepStageOut),
			want: func(w *world) any {
				return staging.StageGrant{Store: storeGrant(w, "artifacts", runUID, time.Hour)}
			},
			policy: "write-artifacts", life: time.Hour,
		},
		"stage-out goes on when the dataset is being erased": {
			change: func(w *world) { deleted(w.dataset) },
			ask:    stage(staging.StepStageOut),
			want: func(w *world) any {
				return staging.StageGrant{Store: storeGrant(w, "artifacts", runUID, time.Hour)}
			},
			policy: "write-artifacts", life: time.Hour,
		},
		"the life of credentials is configured, and known where the store does not tell it": {
			change: func(w *world) {
				w.sts.endless = true
				w.options = func(o *Options) { o.CredentialLife = 20 * time.Minute }
			},
			ask: stage(staging.StepStageOut),
			want: func(w *world) any {
				return staging.StageGrant{Store: storeGrant(w, "artifacts", runUID, 20*time.Minute)}
			},
			policy: "write-artifacts", life: 20 * time.Minute,
		},
		"an upload writes files and manifest for a short time": {
			change: (*world).person, ask: upload,
			want:   func(w *world) any { return storeGrant(w, "datasets", datasetUID, staging.UploadLife) },
			policy: "upload-dataset", life: objectstore.MinSessionLife,
		},
		"an upload to a dataset under the bucket's own key comes without one": {
			change: func(w *world) { w.person(); bucketOnly(w) }, ask: upload,
			want:   func(w *world) any { return storeGrant(w, "datasets", datasetUID, staging.UploadLife) },
			policy: "upload-dataset-bucket", life: objectstore.MinSessionLife,
		},
		"so does stage-in of one": {
			change: bucketOnly, ask: stage(staging.StepStageIn),
			want: func(w *world) any {
				return staging.StageGrant{Store: storeGrant(w, "datasets", datasetUID, time.Hour), ManifestDigest: "sha256:digits"}
			},
			policy: "read-dataset", life: time.Hour,
		},
		"a dataset that says nothing of its encryption has a key of its own": {
			change: func(w *world) { w.dataset.Spec.Encryption = "" }, ask: stage(staging.StepStageIn),
			want: func(w *world) any {
				return staging.StageGrant{Store: storeGrant(w, "datasets", datasetUID, time.Hour), ManifestDigest: "sha256:digits"}
			},
			policy: "read-dataset", life: time.Hour,
		},
		"a place that names no store is one of before": {
			change: func(w *world) { w.dataset.Status.Location.Store = "" }, ask: stage(staging.StepStageIn),
			want: func(w *world) any {
				return staging.StageGrant{Store: storeGrant(w, "datasets", datasetUID, time.Hour), ManifestDigest: "sha256:digits"}
			},
			policy: "read-dataset", life: time.Hour,
		},
		"a plain store is named where the operator was told to allow it": {
			change: func(w *world) {
				w.options = func(o *Options) { o.Store.Endpoint, o.Store.InsecurePlaintext = "http://minio:9000", true }
			},
			ask: stage(staging.StepStageOut),
			want: func(w *world) any {
				grant := storeGrant(w, "artifacts", runUID, time.Hour)
				grant.Endpoint, grant.InsecurePlaintext = "http://minio:9000", true
				return staging.StageGrant{Store: grant}
			},
			policy: "write-artifacts", life: time.Hour,
		},
		"a service account uploads with a token for the broker": {
			change: func(w *world) {
				w.person()
				w.tokens.known[humanToken] = knownToken{
					audiences: []string{staging.Audience},
					user:      authenticationv1.UserInfo{Username: "system:serviceaccount:portal:portal"},
				}
				w.access.allowed = []string{
					"system:serviceaccount:portal:portal create datasetretentions.lethe.dev/upload " + namespace + "/digits",
				}
			},
			ask:    upload,
			want:   func(w *world) any { return storeGrant(w, "datasets", datasetUID, staging.UploadLife) },
			policy: "upload-dataset", life: objectstore.MinSessionLife,
		},
		"checkpoints and logs of a run that trains are read only": {
			change: func(w *world) { w.person(); w.run.Status.Attempt = 1 }, ask: artifacts,
			want:   func(w *world) any { return storeGrant(w, "artifacts", runUID, time.Hour) },
			policy: "read-artifacts", life: time.Hour,
		},
		"artifacts are read only": {
			change: func(w *world) { w.person(); published(w) }, ask: artifacts,
			want:   func(w *world) any { return storeGrant(w, "artifacts", runUID, time.Hour) },
			policy: "read-artifacts", life: time.Hour,
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld()
			if tc.change != nil {
				tc.change(w)
			}
			got, err := tc.ask(t.Context(), w.start(t))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want(w), got); diff != "" {
				t.Errorf("grant (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff([]time.Duration{tc.life}, w.sts.lives); diff != "" {
				t.Errorf("life (-want +got):\n%s", diff)
			}
			golden(t, tc.policy, w.sts.policies[0])
		})
	}
}

func TestAccessIsReviewedForAllThatIsKnownOfTheCaller(t *testing.T) {
	t.Parallel()
	w := newWorld()
	w.person()
	w.tokens.known[humanToken] = knownToken{audiences: []string{apiserver}, user: authenticationv1.UserInfo{
		Username: "ada", UID: "7", Groups: []string{"lab"},
		Extra: map[string]authenticationv1.ExtraValue{"scopes": {"x", "y"}},
	}}
	if _, err := w.start(t).Upload(t.Context(), namespace, "digits"); err != nil {
		t.Fatal(err)
	}
	want := authorizationv1.SubjectAccessReviewSpec{
		User: "ada", UID: "7", Groups: []string{"lab"},
		Extra: map[string]authorizationv1.ExtraValue{"scopes": {"x", "y"}},
		ResourceAttributes: &authorizationv1.ResourceAttributes{
			Namespace: namespace, Name: "digits", Verb: "create",
			Group: "lethe.dev", Version: "v1alpha1", Resource: "datasetretentions", Subresource: "upload",
		},
	}
	if diff := cmp.Diff(want, w.access.last); diff != "" {
		t.Errorf("review (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{staging.Audience, ""}, w.tokens.caught); diff != "" {
		t.Errorf("audiences in order (-want +got):\n%s", diff)
	}
}

func TestUploadsEndCountedFromBeforeTheLookAtTheDataset(t *testing.T) {
	t.Parallel()
	w := newWorld()
	w.person()
	asked := w.clock.Now()
	w.failRead = func(_ client.ObjectKey, object client.Object) error {
		if _, ok := object.(*v1alpha1.DatasetRetention); ok {
			w.clock.Step(15*time.Second + time.Millisecond)
		}
		return nil
	}
	got, err := w.start(t).Upload(t.Context(), namespace, "digits")
	if err != nil {
		t.Fatal(err)
	}
	if end := asked.Add(staging.UploadLife); !got.ExpiresAt.Equal(end) {
		t.Errorf("the grant ends %s after it was asked for, want %s", got.ExpiresAt.Sub(asked), staging.UploadLife)
	}
	// The policy of the golden file was made when it was asked for, too.
	golden(t, "upload-dataset", w.sts.policies[0])
}

func TestUploadsEndWithTheirPolicyInWholeSeconds(t *testing.T) {
	t.Parallel()
	w := newWorld()
	w.person()
	asked := w.clock.Now()
	w.clock.Step(999 * time.Millisecond)
	got, err := w.start(t).Upload(t.Context(), namespace, "digits")
	if err != nil {
		t.Fatal(err)
	}
	if end := asked.Add(staging.UploadLife); !got.ExpiresAt.Equal(end) {
		t.Errorf("the grant ends at %s, want %s", got.ExpiresAt, end)
	}
	golden(t, "upload-dataset", w.sts.policies[0])
}
