package datasetretention

import (
	"context"
	"slices"

	"sigs.k8s.io/controller-runtime/pkg/client"
)

// How many whole objects are in memory at once when the API server is asked. A run
// may be a megabyte large, and a tenant may have hundreds of them.
const (
	runsOnAPage   int64 = 20
	copiesOnAPage int64 = 100
)

// question is what is listed, from where.
type question struct {
	from client.Reader
	// page is how many objects come at a time; zero: all at once, for the cache, which
	// has them in memory anyway and knows no pages.
	page int64
	what []client.ListOption
}

// eachPage gives visit one page after the other. All of them are of one version of
// the cluster, the one that the first page is of, so that nothing is overlooked that
// was there when the question was asked.
func eachPage[L client.ObjectList](ctx context.Context, q question, fresh func() L, visit func(L) error) error {
	opts := q.what
	for {
		// Not the list of the page before: what a page does not say would stay in it.
		list := fresh()
		if q.page > 0 {
			opts = append(slices.Clone(opts), client.Limit(q.page))
		}
		if err := q.from.List(ctx, list, opts...); err != nil {
			return err
		}
		if err := visit(list); err != nil {
			return err
		}
		next := list.GetContinue()
		if q.page == 0 || next == "" {
			return nil
		}
		opts = append(slices.Clone(q.what), client.Continue(next))
	}
}
