package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lethe-dev/lethe/api/v1alpha1"
)

// ErrExists says that the name is taken.
var ErrExists = errors.New("exists already")

// ErrInvalid says that the API server does not take a run as it is asked for.
var ErrInvalid = errors.New("can not be made like this")

// CreateRun creates a run, or with dryRun only has the API server check and complete it.
// The run holds afterwards what the API server has made of it. Errors wrap ErrExists
// and ErrInvalid.
func CreateRun(ctx context.Context, c client.Client, run *v1alpha1.TrainingRun, dryRun bool) error {
	options := []client.CreateOption{client.FieldOwner(FieldOwner), client.FieldValidation(metav1.FieldValidationStrict)}
	if dryRun {
		options = append(options, client.DryRunAll)
	}
	name := run.Name
	if name == "" {
		name = run.GenerateName + "..."
	}
	err := c.Create(ctx, run, options...)
	switch {
	case apierrors.IsAlreadyExists(err):
		return fmt.Errorf("run %s %w in namespace %s", name, ErrExists, run.Namespace)
	case apierrors.IsInvalid(err), apierrors.IsBadRequest(err):
		return fmt.Errorf("run %s %w: %w", name, ErrInvalid, err)
	case err != nil:
		return fmt.Errorf("create run %s: %w", name, translate(err))
	}
	// A client reads into what it has written, and drops which kind it is.
	run.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("TrainingRun"))
	return nil
}

// DeleteRun deletes the run of that UID. That it is gone already is no error.
func DeleteRun(ctx context.Context, c client.Client, run *v1alpha1.TrainingRun) error {
	err := c.Delete(ctx, run, client.Preconditions{UID: &run.UID})
	if apierrors.IsConflict(err) {
		return fmt.Errorf("run %s was replaced by another one of its name; look at it again with: kubectl lethe status %s -n %s",
			run.Name, run.Name, run.Namespace)
	}
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("delete run %s: %w", run.Name, translate(err))
	}
	return nil
}

// SuspendRun stops the run of that UID at a checkpoint, or lets it go on.
func SuspendRun(ctx context.Context, c client.Client, run *v1alpha1.TrainingRun, suspend bool) error {
	patch, err := json.Marshal(map[string]any{
		"metadata": map[string]any{"uid": run.UID},
		"spec":     map[string]any{"suspend": suspend},
	})
	if err != nil {
		return fmt.Errorf("encode patch: %w", err)
	}
	var target v1alpha1.TrainingRun
	target.Namespace, target.Name = run.Namespace, run.Name
	err = c.Patch(ctx, &target, client.RawPatch(types.MergePatchType, patch), client.FieldOwner(FieldOwner))
	if err != nil {
		return fmt.Errorf("change run %s: %w", run.Name, translate(err))
	}
	return nil
}

// maxNames is how many names are asked for: more than anybody looks through.
const maxNames = 500

// Names lists the names of objects of a kind that is one of NewClient's; of all
// namespaces where none is given. Only metadata is read.
func Names(ctx context.Context, c client.Reader, kind, namespace string) ([]string, error) {
	gvk, err := kindOf(kind)
	if err != nil {
		return nil, err
	}
	gvk.Kind += "List"
	var list metav1.PartialObjectMetadataList
	list.SetGroupVersionKind(gvk)
	if err := c.List(ctx, &list, client.InNamespace(namespace), client.Limit(maxNames)); err != nil {
		return nil, fmt.Errorf("list the names of each %s: %w", kind, translate(err))
	}
	names := make([]string, 0, len(list.Items))
	for _, item := range list.Items {
		names = append(names, item.Name)
	}
	return names, nil
}
