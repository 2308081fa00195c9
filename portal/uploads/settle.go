package uploads

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/lethe-dev/lethe/portal"
)

const (
	// settleEvery is a poll, since what is waited for (an API server or a store that
	// answers again) tells nobody that it does. It runs while something is unsettled.
	settleEvery = 15 * time.Second
	// settleSoon is for what only needs a moment: a namespace that has just been made.
	settleSoon = 2 * time.Second
	// settlePage is how many datasets are read at once, and settleAbreast how many are
	// settled at once.
	settlePage    = 100
	settleAbreast = 8
	// landed is how long after a wish no call of before can take effect any more: the
	// bound of a call, and the API server's own, with room for clocks that differ.
	landed = 2 * time.Minute
	// soonTries are how often settleSoon is tried before settleEvery is enough.
	soonTries = 15
)

// Wake makes Run look at once.
func (s *Service) Wake() {
	select {
	case s.wake <- struct{}{}:
	default: // it is about to
	}
}

// Run settles what was left: at once, when woken, and every 15 seconds while something is
// unsettled. It ends with the context.
func (s *Service) Run(ctx context.Context) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	soon := 0
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		case <-s.wake:
			soon = 0
		}
		left, err := s.Settle(ctx)
		switch {
		case err != nil && ctx.Err() == nil:
			s.log.ErrorContext(ctx, "Datasets were not settled", "error", err)
			timer.Reset(settleEvery)
		case left == 0:
			timer.Stop()
			soon = 0
		case soon < soonTries:
			soon++
			timer.Reset(settleSoon)
		default:
			timer.Reset(settleEvery)
		}
	}
}

// Settle asks the cluster and the store once for all that is not yet as wished, and gives
// how many datasets are left. One that fails keeps no other from its turn.
func (s *Service) Settle(ctx context.Context) (int, error) {
	left := 0
	var after portal.PageCursor
	for {
		var page []portal.Dataset
		err := s.store.Read(ctx, func(ctx context.Context, tx portal.Tx) error {
			found, err := tx.UnsettledDatasets(ctx, after, settlePage)
			page = found
			return err
		})
		if err != nil {
			return left, fmt.Errorf("find unsettled datasets: %w", err)
		}
		var settling errgroup.Group
		settling.SetLimit(settleAbreast)
		for _, d := range page {
			after = portal.PageCursor{Time: d.WishedAt, ID: string(d.ID)}
			if left++; !s.waits.over(d.ID, s.now()) {
				continue
			}
			settling.Go(func() error {
				s.note(ctx, d, s.settle(ctx, d))
				return nil
			})
		}
		_ = settling.Wait() // Each failure is noted.
		if len(page) < settlePage || ctx.Err() != nil {
			return left, ctx.Err()
		}
	}
}

// attempt settles, and leaves to Run what does not work now.
func (s *Service) attempt(ctx context.Context, d portal.Dataset) {
	err := s.settle(ctx, d)
	s.note(ctx, d, err)
	if err != nil {
		s.Wake()
	}
}

// note logs a failure, unless it only needs another try, and lets what failed wait.
func (s *Service) note(ctx context.Context, d portal.Dataset, err error) {
	switch {
	case ctx.Err() != nil:
	case err == nil, portal.KindOf(err) == portal.KindUnavailable:
		s.waits.forget(d.ID)
	default:
		s.waits.failed(d.ID, s.now())
		s.log.ErrorContext(ctx, "Dataset was not settled", "dataset", d.ID, "wish", d.Wish, "error", err)
	}
}

// settle makes the cluster and the store what the dataset's row says. It may be done
// again.
func (s *Service) settle(ctx context.Context, d portal.Dataset) error {
	done, err := s.turns.take(ctx, string(d.ID))
	if err != nil {
		return err
	}
	defer done()
	// What the row says may have moved on while another settled.
	d, err = s.change(ctx, d, func(*portal.Dataset) bool { return false })
	if err != nil || !d.ErasedAt.IsZero() {
		return err
	}
	if d.Wish == portal.WishErased {
		return s.settleErased(ctx, d)
	}
	if d, err = s.settleMade(ctx, d); err != nil || d.Wish != portal.WishSealed {
		return err
	}
	return s.settleSealed(ctx, d)
}

// settleMade makes the tenant and the dataset in the cluster.
func (s *Service) settleMade(ctx context.Context, d portal.Dataset) (portal.Dataset, error) {
	if d.UID != "" {
		return d, nil
	}
	if err := s.ensureTenant(ctx, d.Account, d.Namespace); err != nil {
		return d, err
	}
	uid, err := s.cluster.CreateDataset(ctx, portal.DatasetOrder{
		Namespace: d.Namespace, Object: d.ID.Object(), AfterTraining: d.AfterTraining, MaxAge: d.MaxAge,
	})
	if err != nil {
		return d, s.refused(ctx, d, err)
	}
	for d.UID == "" {
		// It may have been there already, from a call whose answer was lost, with windows
		// that have become shorter since. Once the row has the UID, who changes them asks the
		// cluster.
		if err := s.cluster.SetRetention(ctx, d.Namespace, d.ID.Object(), d.AfterTraining, d.MaxAge); err != nil {
			return d, fmt.Errorf("set retention: %w", err)
		}
		with := d
		d, err = s.change(ctx, d, func(d *portal.Dataset) bool {
			if d.UID != "" || d.AfterTraining != with.AfterTraining || d.MaxAge != with.MaxAge {
				return false
			}
			d.UID = uid
			if d.Seen.Reason == portal.ReasonRefused {
				d.Seen.Reason, d.Seen.Message = "", ""
			}
			return true
		})
		if err != nil {
			return d, err
		}
	}
	return d, nil
}

// refused writes why the cluster doesn't take a dataset, for the person to see. It is asked
// again: quotas have room again when others go.
func (s *Service) refused(ctx context.Context, d portal.Dataset, err error) error {
	var told *portal.Error
	if errors.As(err, &told) && told.Kind == portal.KindInvalid {
		_, writing := s.change(ctx, d, func(d *portal.Dataset) bool {
			if d.UID != "" || d.Seen.State != "" || d.Seen.Message == told.Message {
				return false
			}
			d.Seen.Reason, d.Seen.Message = portal.ReasonRefused, told.Message
			return true
		})
		err = errors.Join(err, writing)
	}
	return fmt.Errorf("create dataset: %w", err)
}

// settleErased begins the erase. The row is finished by who sees the object go, but for a
// dataset that never was in the cluster as far as anybody knows: nothing can have been
// uploaded to it. A call to make it may still be under way in another replica, so it is
// deleted until none can land any more.
func (s *Service) settleErased(ctx context.Context, d portal.Dataset) error {
	s.grants.drop(d.ID)
	if err := s.cluster.DeleteDataset(ctx, d.Namespace, d.ID.Object(), d.UID); err != nil {
		return fmt.Errorf("delete dataset: %w", err)
	}
	if d.UID != "" || s.now().Sub(d.WishedAt) < landed {
		return nil
	}
	_, err := s.change(ctx, d, func(d *portal.Dataset) bool {
		never := d.UID == "" && d.Seen.State == "" && d.ErasedAt.IsZero()
		if never {
			d.ErasedAt = s.now()
		}
		return never
	})
	return err
}

// settleSealed completes files that were cut off, puts the manifest and seals. The rows of
// the files stay until the manifest has been seen to be verified, so that whoever does the
// same at the same time writes the same.
func (s *Service) settleSealed(ctx context.Context, d portal.Dataset) error {
	count, err := s.completeAll(ctx, d)
	if err != nil {
		return err
	}
	if count == 0 {
		return nil // The rows went after it was seen sealed.
	}
	if err := s.putManifest(ctx, d, count); err != nil {
		return err
	}
	if err := s.cluster.SealDataset(ctx, d.Namespace, d.ID.Object()); err != nil {
		return fmt.Errorf("seal dataset: %w", err)
	}
	s.grants.drop(d.ID)
	return nil
}

// completeAll completes the uploads whose digest is written, and gives the number of
// files.
func (s *Service) completeAll(ctx context.Context, d portal.Dataset) (int, error) {
	count := 0
	err := s.eachFile(ctx, d.ID, func(f portal.File) error {
		count++
		if f.Upload == "" {
			return nil
		}
		missing, err := s.complete(ctx, d, f, f.SHA256)
		if err == nil && len(missing) > 0 {
			err = fmt.Errorf("complete file: the store lacks %d parts", len(missing))
		}
		return err
	})
	return count, err
}

// Seal ends the upload: the data can't be changed any more, and runs may use it. It
// refuses while files are not complete. Sealed again is a success.
func (s *Service) Seal(ctx context.Context, p portal.Principal, id portal.DatasetID) (portal.DatasetView, error) {
	if err := canWrite(p); err != nil {
		return portal.DatasetView{}, err
	}
	var sealed portal.Dataset
	err := s.store.Write(ctx, func(ctx context.Context, tx portal.Tx) error {
		d, err := tx.Dataset(ctx, p.Account.ID, id)
		if err != nil {
			return err
		}
		sealed = d
		if d.Wish == portal.WishSealed && d.ErasedAt.IsZero() {
			return nil
		}
		if err := open(d); err != nil {
			return err
		}
		if err := allComplete(ctx, tx, id); err != nil {
			return err
		}
		sealed.Wish, sealed.WishedAt = portal.WishSealed, s.now()
		return tx.UpdateDataset(ctx, sealed)
	})
	if err != nil {
		return portal.DatasetView{}, fmt.Errorf("seal dataset: %w", err)
	}
	s.attempt(ctx, sealed)
	return s.Get(ctx, reader(p), id)
}

// open refuses a dataset that takes no files.
func open(d portal.Dataset) error {
	switch {
	case !d.ErasedAt.IsZero() || d.Wish == portal.WishErased:
		return &portal.Error{Kind: portal.KindConflict, Message: "This dataset is being erased, or has been. Make another one."}
	case d.Wish != portal.WishOpen:
		return &portal.Error{Kind: portal.KindConflict, Message: "The upload is finished, and the data can't be changed any more. Upload changed data as a new dataset."}
	}
	return nil
}

// namedFiles is how many incomplete files are named.
const namedFiles = 5

// allComplete refuses a dataset with files that are not in the store, or with none.
func allComplete(ctx context.Context, tx portal.Tx, id portal.DatasetID) error {
	after, files, missing := "", 0, 0
	var names bytes.Buffer
	for {
		page, err := tx.Files(ctx, id, after, pageOfFiles)
		if err != nil {
			return err
		}
		for _, f := range page {
			files, after = files+1, f.Path
			if f.Complete() {
				continue
			}
			if missing++; missing <= namedFiles {
				fmt.Fprintf(&names, "%s“%s”", map[bool]string{true: ", "}[missing > 1], f.Path)
			}
		}
		if len(page) < pageOfFiles {
			break
		}
	}
	switch {
	case files == 0:
		return portal.Invalid("files", "There is no file in the dataset yet. Add one first.")
	case missing > namedFiles:
		fmt.Fprintf(&names, " and %d more", missing-namedFiles)
	}
	if missing > 0 {
		return &portal.Error{
			Kind: portal.KindConflict, Field: "files",
			Message: "Not all files are uploaded yet: " + names.String() + ". Choose them again to go on, or remove them.",
		}
	}
	return nil
}
