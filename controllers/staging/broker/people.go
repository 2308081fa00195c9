package broker

import (
	"context"
	"fmt"
	"net/http"
	"time"

	authorizationv1 "k8s.io/api/authorization/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/controllers/staging"
)

// +kubebuilder:rbac:groups=authentication.k8s.io,resources=tokenreviews,verbs=create
// +kubebuilder:rbac:groups=authorization.k8s.io,resources=subjectaccessreviews,verbs=create

// upload answers staging.PathUpload.
func (s *Server) upload(ctx context.Context, r *http.Request) (any, error) {
	var ask staging.DatasetRequest
	var dataset v1alpha1.DatasetRetention
	caller, err := s.person(ctx, r)
	if err != nil {
		return nil, err
	}
	if err := decode(r, &ask); err != nil {
		return nil, err
	}
	access := authorizationv1.ResourceAttributes{
		Verb: "create", Resource: "datasetretentions", Subresource: "upload",
		Namespace: ask.Namespace, Name: ask.Name,
	}
	if err := s.authorize(ctx, caller, access); err != nil {
		return nil, err
	}
	// The time is taken before the look at the dataset, so that however late the
	// credentials come, they end within UploadLife of a moment at which it was open.
	now := s.clock.Now()
	until := now.Add(staging.UploadLife)
	found, err := s.get(ctx, ask.Namespace, ask.Name, &dataset)
	if err != nil {
		return nil, err
	}
	if err := checkUpload(&dataset, found, now); err != nil {
		return nil, err
	}
	at, err := recordedPlace(s.store.DatasetsBucket, &dataset, *dataset.Status.Location)
	if err != nil {
		return nil, err
	}
	key, err := s.keyFor(ctx, &dataset)
	if err != nil {
		return nil, err
	}
	return s.uploadGrant(ctx, at, key, until)
}

// artifacts answers staging.PathArtifacts.
func (s *Server) artifacts(ctx context.Context, r *http.Request) (any, error) {
	var ask staging.RunRequest
	var run v1alpha1.TrainingRun
	caller, err := s.person(ctx, r)
	if err != nil {
		return nil, err
	}
	if err := decode(r, &ask); err != nil {
		return nil, err
	}
	access := authorizationv1.ResourceAttributes{
		Verb: "get", Resource: "trainingruns", Subresource: "artifacts",
		Namespace: ask.Namespace, Name: ask.Name,
	}
	if err := s.authorize(ctx, caller, access); err != nil {
		return nil, err
	}
	found, err := s.get(ctx, ask.Namespace, ask.Name, &run)
	if err != nil {
		return nil, err
	}
	if err := checkArtifacts(&run, found); err != nil {
		return nil, err
	}
	at, err := s.resultsPlace(&run)
	if err != nil {
		return nil, err
	}
	policy, err := readPolicy(at)
	if err != nil {
		return nil, err
	}
	return s.grant(ctx, at, policy, s.life)
}

// resultsPlace is where the results of a run lie. Once they are published, the record of
// that must say the same.
func (s *Server) resultsPlace(run *v1alpha1.TrainingRun) (place, error) {
	if run.Status.Artifacts != nil {
		return recordedPlace(s.store.ArtifactsBucket, run, run.Status.Artifacts.Location)
	}
	return newPlace(s.store.ArtifactsBucket, run.Namespace, string(run.UID))
}

// authorize asks the API server whether the caller may do this. It comes before
// any look at the object, so that those who may not do not learn whether it exists.
func (s *Server) authorize(ctx context.Context, caller identity, access authorizationv1.ResourceAttributes) error {
	if len(validation.IsDNS1123Label(access.Namespace)) > 0 || len(validation.IsDNS1123Subdomain(access.Name)) > 0 {
		return malformed("namespace and name are those of an object in the cluster")
	}
	return s.reviewAccess(ctx, caller, access)
}

// reviewAccess is authorize; without a name it is about all of them in the namespace.
func (s *Server) reviewAccess(ctx context.Context, caller identity, access authorizationv1.ResourceAttributes) error {
	access.Group, access.Version = v1alpha1.GroupVersion.Group, v1alpha1.GroupVersion.Version
	review := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
		User:               caller.user.Username,
		UID:                caller.user.UID,
		Groups:             caller.user.Groups,
		Extra:              make(map[string]authorizationv1.ExtraValue, len(caller.user.Extra)),
		ResourceAttributes: &access,
	}}
	for key, values := range caller.user.Extra {
		review.Spec.Extra[key] = authorizationv1.ExtraValue(values)
	}
	answer, err := s.access.Create(ctx, review, metav1.CreateOptions{})
	if err != nil {
		return fmt.Errorf("review access: %w", err)
	}
	if !answer.Status.Allowed || answer.Status.Denied {
		return forbidden(fmt.Sprintf("you need the verb %q on %s/%s in namespace %s; ask who administers it",
			access.Verb, access.Resource, access.Subresource, access.Namespace))
	}
	return nil
}

// checkUpload says whether the dataset takes uploads at that time.
func checkUpload(dataset *v1alpha1.DatasetRetention, found bool, now time.Time) error {
	switch {
	case !found:
		return notFound("there is no such dataset; create the DatasetRetention first")
	case dataset.DeletionTimestamp != nil:
		return gone(staging.ProblemDatasetErasing, "the dataset is being erased; create another one")
	case dataset.Spec.Sealed:
		return gone(staging.ProblemSealed, "the dataset is sealed; upload changed data as a new one")
	case erasedBefore(dataset):
		return gone(staging.ProblemDatasetErasing, "the data of this very dataset was erased before; delete it and create another one")
	case dataset.Status.ExpiresAt != nil && !now.Before(dataset.Status.ExpiresAt.Time):
		return gone(staging.ProblemSealed, "the time of the dataset is over (status.expiresAt), so it takes no upload; create another one")
	case dataset.Status.Location == nil:
		return notYet("the dataset has no place in the store yet; try again in a moment")
	}
	return nil
}

// erasedBefore reports whether the ledger says of a dataset that is not deleted that
// its data was erased: it came back, and what would be put there now is swept away.
func erasedBefore(dataset *v1alpha1.DatasetRetention) bool {
	ready := apimeta.FindStatusCondition(dataset.Status.Conditions, v1alpha1.ConditionReady)
	return ready != nil && ready.Reason == v1alpha1.ReasonErased
}

// checkArtifacts says whether the run has something to read: artifacts, or before them
// the checkpoints and logs of an attempt.
func checkArtifacts(run *v1alpha1.TrainingRun, found bool) error {
	switch {
	case !found:
		return notFound("there is no such run")
	case run.DeletionTimestamp != nil:
		return gone(staging.ProblemRunEnded, "the run is being deleted")
	case run.Status.Artifacts != nil || run.Status.Attempt > 0:
		return nil
	case run.Status.State.Finished():
		return gone(staging.ProblemRunEnded, "the run has ended before it began, so it has nothing to read")
	}
	return notYet("the run has not begun yet, so it has nothing to read; try again when it has")
}
