package webhook

import (
	"context"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/api/v1alpha1/validation"
)

// runs answers for TrainingRuns.
type runs struct {
	cached, live client.Reader
	images       validation.Images
	log          logr.Logger
}

var _ admission.Validator[*v1alpha1.TrainingRun] = runs{}

// ValidateCreate is about a run that is made.
func (v runs) ValidateCreate(ctx context.Context, run *v1alpha1.TrainingRun) (admission.Warnings, error) {
	ctx, cancel := context.WithTimeout(ctx, workTimeout)
	defer cancel()
	errs, warnings := validation.TrainingRun(nil, run, v.facts(ctx, v.cached, run))
	if len(errs)+len(warnings) > 0 {
		errs, warnings = validation.TrainingRun(nil, run, v.facts(ctx, v.live, run))
	}
	return warnings, invalid("TrainingRun", run, errs)
}

// ValidateUpdate is about a run that is changed.
func (v runs) ValidateUpdate(_ context.Context, before, run *v1alpha1.TrainingRun) (admission.Warnings, error) {
	errs, warnings := validation.TrainingRun(before, run, validation.RunFacts{Images: v.images})
	return warnings, invalid("TrainingRun", run, errs)
}

// ValidateDelete is never asked.
func (v runs) ValidateDelete(context.Context, *v1alpha1.TrainingRun) (admission.Warnings, error) {
	return nil, nil
}

// +kubebuilder:rbac:groups="",resources=nodes,verbs=list

// facts are what is known around a run.
func (v runs) facts(ctx context.Context, from client.Reader, run *v1alpha1.TrainingRun) validation.RunFacts {
	facts := validation.RunFacts{Images: v.images}
	var namespace corev1.Namespace
	if v.get(ctx, from, client.ObjectKey{Name: run.Namespace}, &namespace) == there {
		facts.Tenant = validation.TenantOf(namespace.Labels, namespace.Annotations)
	}
	var dataset v1alpha1.DatasetRetention
	switch v.get(ctx, from, client.ObjectKey{Namespace: run.Namespace, Name: run.Spec.DatasetRef.Name}, &dataset) {
	case there:
		facts.Dataset = &dataset
	case missing:
		facts.NoDataset = true
	case unknown:
	}
	if source := run.Spec.Checkpoint.From; source != nil {
		var other v1alpha1.TrainingRun
		facts.NoSource = v.get(ctx, from, client.ObjectKey{Namespace: run.Namespace, Name: source.RunName}, &other) == missing
	}
	if product := run.Spec.Nodes.GPUProduct; product != "" {
		facts.NoSuchGPU = v.nodes(ctx, product) == missing
	}
	return facts
}

// found says what came of a look.
type found int

const (
	unknown found = iota // could not be looked at
	there
	missing
)

func (v runs) get(ctx context.Context, from client.Reader, key client.ObjectKey, into client.Object) found {
	switch err := from.Get(ctx, key, into); {
	case err == nil:
		return there
	case apierrors.IsNotFound(err):
		return missing
	default:
		v.log.Error(err, "Could not look at what a run names; it is judged without", "namespace", key.Namespace)
		return unknown
	}
}

// nodes looks for one node with such GPUs. It asks the API server, for a page of one and
// without what nodes are made of: a cache of nodes would follow all their heartbeats, for
// the few runs that name a kind of GPU.
func (v runs) nodes(ctx context.Context, product string) found {
	var page metav1.PartialObjectMetadataList
	page.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("NodeList"))
	err := v.live.List(ctx, &page, client.MatchingLabels{v1alpha1.LabelGPUProduct: product}, client.Limit(1))
	switch {
	case err != nil:
		v.log.Error(err, "Could not look for nodes with a kind of GPU; a run is judged without")
		return unknown
	case len(page.Items) == 0:
		return missing
	}
	return there
}

// invalid is the error that the API server gives for what a schema refuses. nil without
// any.
func invalid(kind string, o client.Object, errs field.ErrorList) error {
	if len(errs) == 0 {
		return nil
	}
	return apierrors.NewInvalid(schema.GroupKind{Group: v1alpha1.GroupVersion.Group, Kind: kind}, o.GetName(), errs)
}
