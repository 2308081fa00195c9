package uploads

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/portal"
)

// listLimit is how many datasets a page has.
const listLimit = 50

// NewID gives an ID for a form.
func (s *Service) NewID() portal.DatasetID { return portal.NewID[portal.DatasetID](s.random) }

// Create makes a dataset. It succeeds without the cluster, which gets it as soon as it
// answers.
func (s *Service) Create(ctx context.Context, p portal.Principal, order portal.NewDataset) (portal.DatasetView, error) {
	if err := canWrite(p); err != nil {
		return portal.DatasetView{}, err
	}
	if p.Account.EmailVerifiedAt.IsZero() {
		return portal.DatasetView{}, &portal.Error{Kind: portal.KindForbidden, Message: "Confirm your email address first."}
	}
	made, err := s.newDataset(p, order)
	if err != nil {
		return portal.DatasetView{}, err
	}
	err = s.store.Write(ctx, func(ctx context.Context, tx portal.Tx) error {
		if found, err := tx.Dataset(ctx, p.Account.ID, made.ID); err == nil {
			made = found // the form was sent twice
			return nil
		} else if !errors.Is(err, portal.ErrNotFound) {
			return err
		}
		if err := room(ctx, tx, p.Account.ID); err != nil {
			return err
		}
		tenant, err := s.tenant(ctx, tx, p.Account.ID)
		if err != nil {
			return err
		}
		made.Namespace = tenant.Namespace
		return tx.CreateDataset(ctx, made)
	})
	if err != nil {
		return portal.DatasetView{}, fmt.Errorf("create dataset: %w", err)
	}
	s.attempt(ctx, made)
	return s.Get(ctx, reader(p), made.ID)
}

// room refuses one more than an account may have.
func room(ctx context.Context, tx portal.Tx, account portal.AccountID) error {
	list, err := tx.AccountDatasets(ctx, account, false, portal.PageCursor{}, portal.MaxDatasets)
	if err == nil && len(list) == portal.MaxDatasets {
		err = &portal.Error{
			Kind:    portal.KindConflict,
			Message: fmt.Sprintf("You have %d datasets, and there may not be more. Erase one that you don't need any more.", portal.MaxDatasets),
		}
	}
	return err
}

// reader lets an act with the scope to write answer with what it wrote.
func reader(p portal.Principal) portal.Principal {
	p.Token = nil
	return p
}

func (s *Service) newDataset(p portal.Principal, order portal.NewDataset) (portal.Dataset, error) {
	name, err := cleanName(order.Name)
	if err != nil {
		return portal.Dataset{}, err
	}
	if err := checkWindows(order.AfterTraining, order.MaxAge); err != nil {
		return portal.Dataset{}, err
	}
	switch {
	case order.ID == "":
		order.ID = s.NewID()
	case !portal.LooksLikeID(string(order.ID)):
		return portal.Dataset{}, portal.Invalid("", "This form is not one of ours. Open the page again.")
	}
	now := s.now()
	return portal.Dataset{
		ID: order.ID, Account: p.Account.ID, Name: name,
		AfterTraining: order.AfterTraining, MaxAge: order.MaxAge,
		Wish: portal.WishOpen, CreatedAt: now, WishedAt: now,
	}, nil
}

func cleanName(name string) (string, error) {
	name = strings.TrimSpace(name)
	switch {
	case name == "":
		return "", portal.Invalid("name", "Give the dataset a name. Only you see it.")
	case utf8.RuneCountInString(name) > portal.MaxDatasetName:
		return "", portal.Invalid("name", fmt.Sprintf("Use at most %d characters for the name.", portal.MaxDatasetName))
	case !utf8.ValidString(name) || strings.ContainsFunc(name, unicode.IsControl):
		return "", portal.Invalid("name", "Use letters, digits and other visible characters for the name.")
	}
	return name, nil
}

// checkWindows holds both against the API's own bounds.
func checkWindows(afterTraining, maxAge time.Duration) error {
	for field, d := range map[string]time.Duration{"after_training": afterTraining, "max_age": maxAge} {
		if d < 0 || d > v1alpha1.MaxRetention || d%time.Second != 0 {
			return portal.Invalid(field, "Choose a time of whole seconds, at most ten years.")
		}
	}
	if maxAge < time.Minute {
		return portal.Invalid("max_age", "Data that may not stay for a minute can't be trained on. Choose a longer time.")
	}
	return nil
}

// List gives a page of the person's datasets, newest first, and where the next begins
// (zero: there is none).
func (s *Service) List(
	ctx context.Context, p portal.Principal, erased bool, after portal.PageCursor,
) ([]portal.DatasetView, portal.PageCursor, error) {
	if err := canRead(p); err != nil {
		return nil, portal.PageCursor{}, err
	}
	var views []portal.DatasetView
	var next portal.PageCursor
	err := s.store.Read(ctx, func(ctx context.Context, tx portal.Tx) error {
		views, next = nil, portal.PageCursor{}
		list, err := tx.AccountDatasets(ctx, p.Account.ID, erased, after, listLimit+1)
		if err != nil {
			return err
		}
		if len(list) > listLimit {
			list = list[:listLimit]
			last := list[listLimit-1]
			next = portal.PageCursor{Time: last.CreatedAt, ID: string(last.ID)}
		}
		for _, d := range list {
			view, err := counted(ctx, tx, d)
			if err != nil {
				return err
			}
			views = append(views, view)
		}
		return nil
	})
	if err != nil {
		return nil, next, fmt.Errorf("list datasets: %w", err)
	}
	return views, next, nil
}

func counted(ctx context.Context, tx portal.Tx, d portal.Dataset) (portal.DatasetView, error) {
	if !d.ErasedAt.IsZero() || d.Wish == portal.WishErased {
		return portal.DatasetView{Dataset: d}, nil
	}
	count, err := tx.CountFiles(ctx, d.ID)
	return portal.DatasetView{Dataset: d, Count: count}, err
}

// Get gives one.
func (s *Service) Get(ctx context.Context, p portal.Principal, id portal.DatasetID) (portal.DatasetView, error) {
	if err := canRead(p); err != nil {
		return portal.DatasetView{}, err
	}
	var view portal.DatasetView
	err := s.store.Read(ctx, func(ctx context.Context, tx portal.Tx) error {
		d, err := tx.Dataset(ctx, p.Account.ID, id)
		if err != nil {
			return err
		}
		if view, err = counted(ctx, tx, d); err != nil {
			return err
		}
		view.Runs, err = usedBy(ctx, tx, d)
		return err
	})
	if err != nil {
		return portal.DatasetView{}, fmt.Errorf("get dataset: %w", err)
	}
	return view, nil
}

// usedBy gives the runs of a dataset that have not ended.
func usedBy(ctx context.Context, tx portal.Tx, d portal.Dataset) ([]portal.Run, error) {
	var active []portal.Run
	var after portal.PageCursor
	for {
		page, err := tx.AccountRuns(ctx, d.Account, portal.RunFilter{Dataset: d.ID}, after, listLimit)
		if err != nil {
			return nil, err
		}
		for _, run := range page {
			if run.GoneAt.IsZero() && run.Refused == "" && !run.Seen.Finished() {
				active = append(active, run)
			}
			after = portal.PageCursor{Time: run.CreatedAt, ID: string(run.ID)}
		}
		if len(page) < listLimit {
			return active, nil
		}
	}
}

// SetRetention makes the data go earlier. The cluster is asked first, since it may refuse;
// what it has is what counts.
func (s *Service) SetRetention(
	ctx context.Context, p portal.Principal, id portal.DatasetID, afterTraining, maxAge time.Duration,
) (portal.DatasetView, error) {
	if err := canWrite(p); err != nil {
		return portal.DatasetView{}, err
	}
	if err := checkWindows(afterTraining, maxAge); err != nil {
		return portal.DatasetView{}, err
	}
	done, err := s.turns.take(ctx, string(id)) // Two tabs may ask at once.
	if err != nil {
		return portal.DatasetView{}, err
	}
	defer done()
	view, err := s.Get(ctx, reader(p), id)
	if err != nil {
		return portal.DatasetView{}, err
	}
	if err := shortens(view, afterTraining, maxAge); err != nil {
		return portal.DatasetView{}, err
	}
	if view.UID != "" {
		if err := s.cluster.SetRetention(ctx, view.Namespace, id.Object(), afterTraining, maxAge); err != nil {
			return portal.DatasetView{}, fmt.Errorf("set retention: %w", err)
		}
	}
	if err := s.shorten(ctx, view.Dataset, afterTraining, maxAge); err != nil {
		return portal.DatasetView{}, err
	}
	return s.Get(ctx, reader(p), id)
}

// shorten writes windows to the row, unless another replica has made them shorter, or has
// made the object, in the meantime.
func (s *Service) shorten(ctx context.Context, was portal.Dataset, afterTraining, maxAge time.Duration) error {
	var refused error
	_, err := s.change(ctx, was, func(d *portal.Dataset) bool {
		if refused = shortens(portal.DatasetView{Dataset: *d}, afterTraining, maxAge); refused == nil && d.UID != was.UID {
			refused = portal.ErrConflict
		}
		if refused != nil {
			return false
		}
		d.AfterTraining, d.MaxAge = afterTraining, maxAge
		if d.Seen.Version > 0 { // until the cluster tells of it
			d.Seen.AfterTraining, d.Seen.MaxAge = afterTraining, maxAge
		}
		return true
	})
	return errors.Join(err, refused)
}

func shortens(v portal.DatasetView, afterTraining, maxAge time.Duration) error {
	wasAfter, wasAge := v.Windows()
	switch {
	case !v.ErasedAt.IsZero() || v.Wish == portal.WishErased:
		return &portal.Error{Kind: portal.KindConflict, Message: "This dataset is being erased, or has been."}
	case afterTraining > wasAfter:
		return portal.Invalid("after_training", "Data can go earlier than was said, and not later. Choose a shorter time.")
	case maxAge > wasAge:
		return portal.Invalid("max_age", "Data can go earlier than was said, and not later. Choose a shorter time.")
	}
	return nil
}

// Erase begins the erase of a dataset. Runs that use it are cancelled first if cancel says
// so; otherwise they are named in a DatasetInUse.
func (s *Service) Erase(ctx context.Context, p portal.Principal, id portal.DatasetID, cancel bool) (portal.DatasetView, error) {
	if err := canWrite(p); err != nil {
		return portal.DatasetView{}, err
	}
	view, err := s.Get(ctx, reader(p), id)
	if err != nil {
		return portal.DatasetView{}, err
	}
	if len(view.Runs) > 0 && !cancel {
		return portal.DatasetView{}, &portal.Error{
			Kind:    portal.KindConflict,
			Message: "Runs still use this dataset. Say that they are to be cancelled, or wait until they have ended.",
			Err:     &portal.DatasetInUse{Runs: view.Runs},
		}
	}
	// Each cancel is a wish of its own. Who is cut off here finds the dataset as it was.
	for _, run := range view.Runs {
		if err := s.runs.Cancel(ctx, p, run.ID); err != nil {
			return portal.DatasetView{}, fmt.Errorf("cancel run: %w", err)
		}
	}
	wished := view.Dataset
	err = s.store.Write(ctx, func(ctx context.Context, tx portal.Tx) error {
		d, err := tx.Dataset(ctx, p.Account.ID, id)
		if err != nil {
			return err
		}
		wished = d
		if d.Wish == portal.WishErased || !d.ErasedAt.IsZero() {
			return nil
		}
		wished.Wish, wished.WishedAt = portal.WishErased, s.now()
		if err := tx.DeleteFiles(ctx, id); err != nil {
			return err
		}
		return tx.UpdateDataset(ctx, wished)
	})
	if err != nil {
		return portal.DatasetView{}, fmt.Errorf("erase dataset: %w", err)
	}
	s.attempt(ctx, wished)
	return s.Get(ctx, reader(p), id)
}

// change reads, changes and writes a dataset in one transaction, and gives it as it is
// then. f says whether it changed anything.
func (s *Service) change(ctx context.Context, of portal.Dataset, f func(*portal.Dataset) bool) (portal.Dataset, error) {
	var kept portal.Dataset
	err := s.store.Write(ctx, func(ctx context.Context, tx portal.Tx) error {
		d, err := tx.Dataset(ctx, of.Account, of.ID)
		if err != nil {
			return err
		}
		if f(&d) {
			if err := tx.UpdateDataset(ctx, d); err != nil {
				return err
			}
			d.Revision++
		}
		kept = d
		return nil
	})
	if err != nil {
		return portal.Dataset{}, fmt.Errorf("change dataset: %w", err)
	}
	return kept, nil
}
