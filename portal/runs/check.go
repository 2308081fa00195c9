package runs

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/api/v1alpha1/validation"
	"github.com/lethe-dev/lethe/portal"
)

// wanted is a run that somebody asks for.
type wanted struct {
	id      portal.RunID
	name    string
	dataset portal.DatasetID
	spec    portal.RunSpec
	// keyed: the ID comes of a program's own key, and not of the account's draft.
	keyed bool
}

// Check says all that is wrong with a run that somebody is about to start: errors.Join of
// portal errors with the fields. nil while the cluster does not answer counts for our own
// rules only.
func (s *Service) Check(ctx context.Context, p portal.Principal, id portal.RunID, name string, dataset portal.DatasetID, spec portal.RunSpec) error {
	if err := allowed(p, portal.ScopeRunsWrite); err != nil {
		return err
	}
	return s.check(ctx, p, wanted{id: id, name: name, dataset: dataset, spec: spec})
}

func (s *Service) check(ctx context.Context, p portal.Principal, w wanted) error {
	var order portal.RunOrder
	var place []error
	err := s.Store.Read(ctx, func(ctx context.Context, tx portal.Tx) error {
		var err error
		order, place, err = references(ctx, tx, p.Account.ID, w)
		return err
	})
	if err != nil {
		return err
	}
	problems := append(checkName(w.name), place...)
	problems = append(problems, checkSpec(w.spec)...)
	problems = append(problems, s.admission(w.spec)...)
	if offers, known := s.offers(ctx); known {
		problems = append(problems, checkOffers(w.spec, offers)...)
	}
	if len(problems) > 0 {
		return errors.Join(onePerField(problems)...)
	}
	err = s.Planner.CheckRun(ctx, order)
	if portal.KindOf(err) == portal.KindInvalid {
		return err
	}
	if err != nil {
		// The cluster is asked again when the run is made.
		s.Log.WarnContext(ctx, "Run was not checked by the cluster", "run", w.id, "error", err)
	}
	return nil
}

// references finds what a run refers to, and what is wrong with that.
func references(ctx context.Context, tx portal.Tx, account portal.AccountID, w wanted) (portal.RunOrder, []error, error) {
	order := portal.RunOrder{Object: w.id.Object(), Spec: w.spec}
	var problems []error
	d, err := tx.Dataset(ctx, account, w.dataset)
	switch {
	case w.dataset == "":
		problems = append(problems, portal.Invalid("dataset", "Choose a dataset."))
	case errors.Is(err, portal.ErrNotFound):
		problems = append(problems, portal.Invalid("dataset", "There is no such dataset. Choose one from the list."))
	case err != nil:
		return order, nil, fmt.Errorf("read the dataset: %w", err)
	default:
		order.Namespace, order.Dataset = d.Namespace, d.ID.Object()
		if why := whyUnusable(d); why != "" {
			problems = append(problems, portal.Invalid("dataset", why))
		}
	}
	if w.spec.ResumeFrom == "" {
		return order, problems, nil
	}
	order.ResumeFrom = w.spec.ResumeFrom.Object()
	source, err := tx.Run(ctx, account, w.spec.ResumeFrom)
	switch {
	case errors.Is(err, portal.ErrNotFound):
		problems = append(problems, portal.Invalid("resume_from", "There is no such run. Choose one from the list, or begin anew."))
	case err != nil:
		return order, nil, fmt.Errorf("read the run to begin with: %w", err)
	case whyNoSource(source) != "":
		problems = append(problems, portal.Invalid("resume_from", whyNoSource(source)))
	}
	return order, problems, nil
}

func checkName(name string) []error {
	switch {
	case name == "":
		return []error{portal.Invalid("name", "Give the run a name, so that you know it again.")}
	case utf8.RuneCountInString(name) > portal.MaxRunName:
		return []error{portal.Invalid("name", fmt.Sprintf("The name is too long: at most %d characters.", portal.MaxRunName))}
	case !utf8.ValidString(name) || strings.ContainsFunc(name, unicode.IsControl):
		return []error{portal.Invalid("name", "The name has characters that can't be shown. Type it anew.")}
	}
	return nil
}

// admission asks the rules that the cluster's admission has too, so that a person reads
// the same words before and after.
func (s *Service) admission(spec portal.RunSpec) []error {
	if spec.Image == "" {
		return nil // said already
	}
	run := &v1alpha1.TrainingRun{}
	run.Spec.Trainer.Image = spec.Image
	nodes, gpus := int32(min(max(spec.Nodes, 1), maxNodes)), int32(min(max(spec.GPUs, 0), maxGPUs))
	run.Spec.Nodes.Count, run.Spec.Nodes.GPUsPerNode = &nodes, &gpus
	tenant := &validation.Tenant{GPUs: v1alpha1.MaxGPUAllowance, Billing: v1alpha1.BillingActive}
	if s.options.GPUs > 0 {
		tenant.GPUs = int64(s.options.GPUs)
	}
	list, _ := validation.TrainingRun(nil, run, validation.RunFacts{Tenant: tenant, Images: s.images})
	problems := make([]error, 0, len(list))
	for _, e := range list {
		problems = append(problems, inWords(e))
	}
	return problems
}

// inWords makes a sentence of what admission says.
func inWords(e *field.Error) error {
	if strings.HasPrefix(e.Field, "spec.trainer.image") {
		return portal.Invalid("image", "This image "+e.Detail+".")
	}
	name := ""
	if strings.HasPrefix(e.Field, "spec.nodes") {
		name = "gpus"
	}
	return portal.Invalid(name, strings.ToUpper(e.Detail[:1])+e.Detail[1:]+".")
}

// onePerField keeps the first that is wrong with each field.
func onePerField(all []error) []error {
	seen := map[string]bool{}
	kept := all[:0]
	for _, err := range all {
		var e *portal.Error
		if !errors.As(err, &e) || seen[e.Field] {
			continue
		}
		seen[e.Field] = e.Field != ""
		kept = append(kept, err)
	}
	return kept
}

// YAML is what kubectl apply would take for the run.
func (s *Service) YAML(ctx context.Context, p portal.Principal, id portal.RunID, dataset portal.DatasetID, spec portal.RunSpec) ([]byte, error) {
	if err := allowed(p, portal.ScopeRunsRead); err != nil {
		return nil, err
	}
	var order portal.RunOrder
	err := s.Store.Read(ctx, func(ctx context.Context, tx portal.Tx) error {
		var err error
		order, _, err = references(ctx, tx, p.Account.ID, wanted{id: id, dataset: dataset, spec: spec})
		return err
	})
	if err != nil {
		return nil, err
	}
	if order.Dataset == "" {
		order.Dataset = "d-choose-a-dataset"
	}
	text, err := s.Planner.RunYAML(order)
	if err != nil {
		return nil, fmt.Errorf("write the run as YAML: %w", err)
	}
	return text, nil
}
