package runs

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/portal"
)

// Bounds of what the form lists.
const (
	maxDatasets = 500
	maxSources  = 50
	chunk       = 100
)

// Defaults are what the form begins with: small enough that a mistake costs little.
func Defaults() portal.RunSpec {
	return portal.RunSpec{
		Nodes: 1, GPUs: 1, MaxDuration: 4 * time.Hour, StartWithin: v1alpha1.DefaultStartWithin,
		CheckpointEvery: v1alpha1.DefaultCheckpointInterval, KeepLast: v1alpha1.DefaultKeepLast,
	}
}

// Form gives what the start form needs, and keeps the draft's ID. again is a run whose
// values are to be begun with; "" for none.
func (s *Service) Form(ctx context.Context, p portal.Principal, again portal.RunID) (portal.RunForm, error) {
	if err := allowed(p, portal.ScopeRunsWrite); err != nil {
		return portal.RunForm{}, err
	}
	var form portal.RunForm
	fresh := portal.NewID[portal.RunID](s.Random)
	err := s.Store.Write(ctx, func(ctx context.Context, tx portal.Tx) error {
		form = portal.RunForm{Images: slices.Clone(s.options.Images), Currency: s.options.Currency, Spec: Defaults()}
		if again != "" {
			run, err := tx.Run(ctx, p.Account.ID, again)
			if err != nil {
				return fmt.Errorf("read the run to start again: %w", err)
			}
			form.Name, form.Dataset, form.Spec = run.Name, run.Dataset, run.Spec
		}
		var err error
		if form.Draft, err = tx.DraftRun(ctx, p.Account.ID, fresh); err != nil {
			return fmt.Errorf("keep the draft: %w", err)
		}
		if form.Datasets, err = usable(ctx, tx, p.Account.ID); err != nil {
			return err
		}
		form.Sources, err = sources(ctx, tx, p.Account.ID)
		return err
	})
	if err != nil {
		return portal.RunForm{}, err
	}
	form.Offers, form.OffersKnown = s.offers(ctx)
	return form, nil
}

// usable are the datasets that a run may be started on.
func usable(ctx context.Context, tx portal.Tx, account portal.AccountID) ([]portal.Dataset, error) {
	var found []portal.Dataset
	after := portal.PageCursor{}
	for len(found) < maxDatasets {
		list, err := tx.AccountDatasets(ctx, account, false, after, chunk)
		if err != nil {
			return nil, fmt.Errorf("list datasets: %w", err)
		}
		for _, d := range list {
			if whyUnusable(d) == "" {
				found = append(found, d)
			}
		}
		if len(list) < chunk {
			break
		}
		last := list[len(list)-1]
		after = portal.PageCursor{Time: last.CreatedAt, ID: string(last.ID)}
	}
	return found, nil
}

// whyUnusable says why no run can be started on a dataset; "" when one can.
func whyUnusable(d portal.Dataset) string {
	switch {
	case d.Wish == portal.WishErased || !d.ErasedAt.IsZero():
		return "This dataset is being erased or has been. Choose another one, or upload the data again."
	case d.Wish == portal.WishOpen:
		return "This dataset is still open for upload. Finish and seal it first."
	}
	switch v1alpha1.DatasetState(d.Seen.State) {
	case v1alpha1.DatasetReady, v1alpha1.DatasetInUse, v1alpha1.DatasetExpiring:
		return ""
	case v1alpha1.DatasetInvalid:
		return "This dataset can't be used: its page says why. Upload the data again."
	case v1alpha1.DatasetErasing:
		return "This dataset is being erased. Choose another one, or upload the data again."
	case v1alpha1.DatasetOpen, v1alpha1.DatasetSealing:
		return "This dataset is still being sealed. Try again in a minute."
	default:
		return "This dataset is not ready yet. Try again in a minute."
	}
}

// sources are runs with a checkpoint.
func sources(ctx context.Context, tx portal.Tx, account portal.AccountID) ([]portal.Run, error) {
	list, err := tx.AccountRuns(ctx, account, portal.RunFilter{}, portal.PageCursor{}, chunk)
	if err != nil {
		return nil, fmt.Errorf("list runs: %w", err)
	}
	found := []portal.Run{}
	for _, run := range list {
		if whyNoSource(run) == "" && len(found) < maxSources {
			found = append(found, run)
		}
	}
	return found, nil
}

// whyNoSource says why no run can begin with a run's checkpoint; "" when one can.
func whyNoSource(run portal.Run) string {
	if run.Seen.Checkpoint == "" || run.Wish == portal.WishDeleted || !run.GoneAt.IsZero() {
		return "That run has no checkpoint to begin with. Choose another one, or begin anew."
	}
	return ""
}

// Offers are the kinds of GPU that the cluster has, with their prices in Currency. It is
// portal.KindUnavailable while the cluster does not tell.
func (s *Service) Offers(ctx context.Context, p portal.Principal) ([]portal.RunOffer, error) {
	if err := allowed(p, portal.ScopeRunsRead); err != nil {
		return nil, err
	}
	offers, known := s.offers(ctx)
	if !known {
		return nil, &portal.Error{Kind: portal.KindUnavailable, Message: "The cluster does not tell which GPUs it has. Try again in a minute.", RetryAfter: time.Minute}
	}
	return offers, nil
}

// Currency is what prices are in: an ISO 4217 code.
func (s *Service) Currency() string { return s.options.Currency }

// offers are the kinds of GPU with their prices; false while the cluster does not tell.
func (s *Service) offers(ctx context.Context) ([]portal.RunOffer, bool) {
	list, err := s.Planner.Offers(ctx)
	if err != nil {
		if !errors.Is(err, context.Canceled) {
			s.Log.WarnContext(ctx, "GPUs of the cluster are not known", "error", err)
		}
		return nil, false
	}
	offers := make([]portal.RunOffer, 0, len(list))
	for _, o := range list {
		price, ok := portal.PriceOf(s.options.Prices, o.Product)
		offers = append(offers, portal.RunOffer{GPUOffer: o, MicrosPerHour: price, Priced: ok})
	}
	return offers, true
}
