package uploads

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"time"

	"github.com/lethe-dev/lethe/api/objectkey"
	"github.com/lethe-dev/lethe/portal"
)

const (
	// settleEvery is a poll, since what is waited for (an API server or a store that
	// answers again) tells nobody that it does. It runs while something is unsettled.
	settleEvery = 15 * time.Second
	// settleSoon is for what only needs a moment: a namespace that has just been made.
	settleSoon = 2 * time.Second
	// settleAtOnce is how many datasets are looked at in one round.
	settleAtOnce = 100
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
// how many datasets are left.
func (s *Service) Settle(ctx context.Context) (int, error) {
	var list []portal.Dataset
	err := s.store.Read(ctx, func(ctx context.Context, tx portal.Tx) error {
		found, err := tx.UnsettledDatasets(ctx, settleAtOnce)
		list = found
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("find unsettled datasets: %w", err)
	}
	for _, d := range list {
		s.logFailure(ctx, d, s.settle(ctx, d))
	}
	return len(list), ctx.Err()
}

// attempt settles, and leaves to Run what does not work now.
func (s *Service) attempt(ctx context.Context, d portal.Dataset) {
	if err := s.settle(ctx, d); err != nil {
		s.logFailure(ctx, d, err)
		s.Wake()
	}
}

// logFailure leaves out what only needs another try.
func (s *Service) logFailure(ctx context.Context, d portal.Dataset, err error) {
	if err != nil && portal.KindOf(err) != portal.KindUnavailable && ctx.Err() == nil {
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
		return d, fmt.Errorf("create dataset: %w", err)
	}
	return s.change(ctx, d, func(d *portal.Dataset) bool {
		changed := d.UID == ""
		if changed {
			d.UID = uid
		}
		return changed
	})
}

// settleErased begins the erase. The row is finished by who sees the object go, but for a
// dataset that never was in the cluster as far as anybody knows: nothing can have been
// uploaded to it.
func (s *Service) settleErased(ctx context.Context, d portal.Dataset) error {
	s.grants.drop(d.ID)
	if err := s.cluster.DeleteDataset(ctx, d.Namespace, d.ID.Object(), d.UID); err != nil {
		return fmt.Errorf("delete dataset: %w", err)
	}
	if d.UID != "" {
		return nil
	}
	_, err := s.change(ctx, d, func(d *portal.Dataset) bool {
		d.ErasedAt = s.now()
		return true
	})
	return err
}

// settleSealed completes files that were cut off, puts the manifest and seals.
func (s *Service) settleSealed(ctx context.Context, d portal.Dataset) error {
	count, err := s.completeAll(ctx, d)
	if err != nil {
		return err
	}
	if count == 0 {
		return nil // The rows went after it was sealed.
	}
	if err := s.putManifest(ctx, d); err != nil {
		return err
	}
	if err := s.cluster.SealDataset(ctx, d.Namespace, d.ID.Object()); err != nil {
		return fmt.Errorf("seal dataset: %w", err)
	}
	s.grants.drop(d.ID)
	err = s.store.Write(ctx, func(ctx context.Context, tx portal.Tx) error { return tx.DeleteFiles(ctx, d.ID) })
	if err != nil {
		return fmt.Errorf("forget files: %w", err)
	}
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

// putManifest puts it under the dataset's key. Where the place takes nothing any more the
// dataset is sealed already, and what is left is to say so once more.
func (s *Service) putManifest(ctx context.Context, d portal.Dataset) error {
	grant, err := s.grants.of(ctx, d)
	if portal.KindOf(err) == portal.KindConflict {
		return nil
	}
	if err != nil {
		return fmt.Errorf("get grant: %w", err)
	}
	// Its size is needed first. Nobody can change the rows, so both are the same.
	var size counter
	if err := s.writeManifest(ctx, d.ID, &size); err != nil {
		return err
	}
	body, out := io.Pipe()
	go func() { out.CloseWithError(s.writeManifest(ctx, d.ID, out)) }()
	err = s.objects.Put(ctx, grant, objectkey.Manifest(grant.Prefix), body, int64(size))
	_ = body.Close() // It ends the writer, if the store did not read on.
	if err != nil {
		return fmt.Errorf("put manifest: %w", err)
	}
	return nil
}

type counter int64

func (c *counter) Write(b []byte) (int, error) {
	*c += counter(len(b))
	return len(b), nil
}

func (s *Service) writeManifest(ctx context.Context, id portal.DatasetID, out io.Writer) error {
	manifest := objectkey.NewManifestWriter(out)
	err := s.eachFile(ctx, id, func(f portal.File) error {
		return manifest.Add(objectkey.Entry{Path: f.Path, Size: f.Size, SHA256: f.SHA256})
	})
	if err == nil {
		_, err = manifest.Close()
	}
	if err != nil {
		return fmt.Errorf("write manifest: %w", err)
	}
	return nil
}

// pageOfFiles is how many rows are in memory at once.
const pageOfFiles = 1000

// eachFile gives all files in the order of their paths. f runs outside of transactions.
func (s *Service) eachFile(ctx context.Context, id portal.DatasetID, f func(portal.File) error) error {
	after := ""
	for {
		var page []portal.File
		err := s.store.Read(ctx, func(ctx context.Context, tx portal.Tx) error {
			found, err := tx.Files(ctx, id, after, pageOfFiles)
			page = found
			return err
		})
		if err != nil {
			return fmt.Errorf("read files: %w", err)
		}
		for _, file := range page {
			if err := f(file); err != nil {
				return err
			}
			after = file.Path
		}
		if len(page) < pageOfFiles {
			return nil
		}
	}
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
