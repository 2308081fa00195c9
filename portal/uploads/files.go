package uploads

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"golang.org/x/sync/errgroup"

	"github.com/lethe-dev/lethe/api/objectkey"
	"github.com/lethe-dev/lethe/portal"
)

const (
	// SinglePut is the size in bytes up to which a file is sent by one request, and
	// partSize is that of the parts of others. What is lost with a connection is four of
	// them at most.
	SinglePut = 16 << 20
	partSize  = 16 << 20
	// maxParts is S3's bound for one upload, and maxFile in bytes for an object.
	maxParts = 10_000
	maxFile  = 5 << 40
	// listAtOnce are the uploads whose parts are asked for at once.
	listAtOnce = 8
)

// partSizeOf is 0 for a file that goes by one request.
func partSizeOf(size int64) int64 {
	if size <= SinglePut {
		return 0
	}
	const step = 1 << 20
	return max(partSize, (size/maxParts/step+1)*step)
}

// partsOf is how many requests a file takes. The row's PartSize says so also before the
// store has an upload for it.
func partsOf(f portal.File) int {
	if f.PartSize <= 0 {
		return 1
	}
	return int((f.Size + f.PartSize - 1) / f.PartSize)
}

// lengthOf is the size of one part, in bytes.
func lengthOf(f portal.File, part int) int64 {
	if f.PartSize <= 0 {
		return f.Size
	}
	return min(f.PartSize, f.Size-int64(part-1)*f.PartSize)
}

// finished reports whether the file is in the store and nothing is left to do.
func finished(f portal.File) bool { return f.Complete() && f.Upload == "" }

// AddFiles takes note of files that are to be sent and says how, for all of them or none.
// One that was told of before, with the same size and fingerprint, is gone on with; with
// others it begins anew.
func (s *Service) AddFiles(ctx context.Context, p portal.Principal, id portal.DatasetID, claims []portal.FileClaim) ([]portal.FilePlan, error) {
	if err := canWrite(p); err != nil {
		return nil, err
	}
	files, err := s.checkClaims(claims)
	if err != nil {
		return nil, err
	}
	var dataset portal.Dataset
	var kept, replaced []portal.File
	err = s.store.Write(ctx, func(ctx context.Context, tx portal.Tx) error {
		d, err := tx.Dataset(ctx, p.Account.ID, id)
		if err != nil {
			return err
		}
		dataset = d
		if err := open(d); err != nil {
			return err
		}
		kept, replaced, err = s.putAll(ctx, tx, id, files)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("add files: %w", err)
	}
	s.abortAll(ctx, dataset, replaced)
	return s.plans(ctx, dataset, kept)
}

// putAll writes files, unless they would be too many, and gives the rows and those that
// they replace.
func (s *Service) putAll(
	ctx context.Context, tx portal.Tx, id portal.DatasetID, files []portal.File,
) (kept, replaced []portal.File, err error) {
	count, err := tx.CountFiles(ctx, id)
	if err != nil {
		return nil, nil, err
	}
	folders := map[string]bool{}
	for _, f := range files {
		f.Dataset = id
		old, err := put(ctx, tx, f, &count, folders)
		if err != nil {
			return nil, nil, err
		}
		if same(old, f) {
			f = old
		} else if old.Upload != "" {
			replaced = append(replaced, old)
		}
		kept = append(kept, f)
	}
	return kept, replaced, s.within(count)
}

// same reports whether a file that was told of before is this one.
func same(old, f portal.File) bool {
	return old.Path == f.Path && old.Size == f.Size && old.Fingerprint == f.Fingerprint
}

// put writes a file that is new or another, gives the one that was there, and counts.
// folders are those that are known to be no files.
func put(
	ctx context.Context, tx portal.Tx, f portal.File, count *portal.FileCount, folders map[string]bool,
) (portal.File, error) {
	old, err := tx.File(ctx, f.Dataset, f.Path)
	switch {
	case err == nil && same(old, f):
		return old, nil
	case err == nil:
		count.Bytes -= old.Size
	case errors.Is(err, portal.ErrNotFound):
		old = portal.File{}
		count.Files++
		if err := noFolder(ctx, tx, f, folders); err != nil {
			return old, err
		}
	default:
		return old, err
	}
	count.Bytes += f.Size
	return old, tx.PutFile(ctx, f)
}

// noFolder refuses a file in the place of a folder, and a folder in the place of a file:
// the disk of a run can't have both.
func noFolder(ctx context.Context, tx portal.Tx, f portal.File, folders map[string]bool) error {
	clash := portal.Invalid("files", "“"+shown(f.Path)+"” would be a file and a folder at once. Rename one of them.")
	if folders[f.Path] {
		return clash
	}
	for i, char := range f.Path {
		if char != '/' || folders[f.Path[:i]] {
			continue
		}
		if _, err := tx.File(ctx, f.Dataset, f.Path[:i]); err == nil {
			return clash
		} else if !errors.Is(err, portal.ErrNotFound) {
			return err
		}
		folders[f.Path[:i]] = true
	}
	below, err := tx.Files(ctx, f.Dataset, f.Path+"/", 1)
	if err == nil && len(below) == 1 && strings.HasPrefix(below[0].Path, f.Path+"/") {
		return clash
	}
	return err
}

// within refuses what would be too much, before a byte of it is sent.
func (s *Service) within(count portal.FileCount) error {
	switch {
	case count.Bytes > s.options.MaxBytes:
		return portal.Invalid("files", fmt.Sprintf(
			"With these files the dataset would have %s; it may have %s. None of them was taken.",
			portal.ByteSize(count.Bytes), portal.ByteSize(s.options.MaxBytes)))
	case count.Files > portal.MaxDatasetFiles:
		return portal.Invalid("files", fmt.Sprintf(
			"With these the dataset would have %d files; it may have %d. None of them was taken. Pack small files together.",
			count.Files, portal.MaxDatasetFiles))
	}
	return nil
}

func (s *Service) checkClaims(claims []portal.FileClaim) ([]portal.File, error) {
	if len(claims) == 0 || len(claims) > portal.MaxFileBatch {
		return nil, portal.Invalid("files", fmt.Sprintf("Tell of 1 to %d files at once.", portal.MaxFileBatch))
	}
	files, seen := make([]portal.File, 0, len(claims)), map[string]bool{}
	for _, c := range claims {
		path, err := cleanPath(c.Path)
		if err != nil {
			return nil, err
		}
		switch {
		case seen[path]:
			return nil, portal.Invalid("files", "“"+shown(path)+"” is there twice. Rename one of the files.")
		case c.Size < 0:
			return nil, portal.Invalid("files", "The size of “"+shown(path)+"” is not known.")
		case c.Size > min(s.options.MaxBytes, maxFile):
			return nil, portal.Invalid("files", fmt.Sprintf("“%s” has %s; a file may have %s. Split it.",
				shown(path), portal.ByteSize(c.Size), portal.ByteSize(min(s.options.MaxBytes, maxFile))))
		case len(c.Fingerprint) > portal.MaxFingerprint || !utf8.ValidString(c.Fingerprint):
			return nil, portal.Invalid("files", fmt.Sprintf("A fingerprint has at most %d characters.", portal.MaxFingerprint))
		}
		seen[path] = true
		files = append(files, portal.File{Path: path, Size: c.Size, Fingerprint: c.Fingerprint, PartSize: partSizeOf(c.Size)})
	}
	return files, nil
}

// plans asks the store which parts it has of uploads that were begun.
func (s *Service) plans(ctx context.Context, d portal.Dataset, files []portal.File) ([]portal.FilePlan, error) {
	plans := make([]portal.FilePlan, len(files))
	asking, ctx := errgroup.WithContext(ctx)
	asking.SetLimit(listAtOnce)
	for i, f := range files {
		plans[i] = portal.FilePlan{Path: f.Path, Status: portal.FileWhole, PartSize: f.PartSize, Parts: partsOf(f)}
		switch {
		case finished(f):
			plans[i].Status = portal.FileComplete
		case f.PartSize > 0:
			plans[i].Status = portal.FileInParts
		}
		if f.Upload == "" {
			continue
		}
		asking.Go(func() error { return s.planParts(ctx, d, f, &plans[i]) })
	}
	if err := asking.Wait(); err != nil {
		return nil, fmt.Errorf("plan upload: %w", err)
	}
	return plans, nil
}

// planParts writes into a plan what the store has.
func (s *Service) planParts(ctx context.Context, d portal.Dataset, f portal.File, plan *portal.FilePlan) error {
	have, err := s.stored(ctx, d, f)
	if errors.Is(err, ErrNoUpload) {
		if f.SHA256 != "" {
			plan.Status = portal.FileComplete
		}
		return nil
	}
	for _, part := range have {
		plan.Have = append(plan.Have, part.Number)
	}
	return err
}

// stored gives the parts of a file that the store has whole. ErrNoUpload: it does not know
// the upload, which is forgotten then. If the digest was written, it was completed.
func (s *Service) stored(ctx context.Context, d portal.Dataset, f portal.File) ([]Part, error) {
	grant, err := s.grants.of(ctx, d)
	if err != nil {
		return nil, err
	}
	parts, err := s.objects.Parts(ctx, grant, objectkey.Data(grant.Prefix, f.Path), f.Upload)
	if errors.Is(err, ErrNoUpload) {
		return nil, errors.Join(err, s.changeFile(ctx, d, f, func(f *portal.File) error {
			f.Upload = ""
			return nil
		}))
	}
	if err != nil {
		return nil, err
	}
	whole := parts[:0:0]
	for _, part := range parts {
		if part.Number >= 1 && part.Number <= partsOf(f) && part.Size == lengthOf(f, part.Number) {
			whole = append(whole, part)
		}
	}
	return whole, nil
}

// changeFile changes the row of a file, if it is still that one with that upload, and
// gives ErrConflict otherwise.
func (s *Service) changeFile(
	ctx context.Context, d portal.Dataset, was portal.File, change func(*portal.File) error,
) error {
	err := s.store.Write(ctx, func(ctx context.Context, tx portal.Tx) error {
		f, err := tx.File(ctx, d.ID, was.Path)
		if err != nil {
			return err
		}
		if !same(f, was) || f.Upload != was.Upload {
			return portal.ErrConflict
		}
		if err := change(&f); err != nil {
			return err
		}
		return tx.PutFile(ctx, f)
	})
	if err != nil {
		return fmt.Errorf("change file: %w", err)
	}
	return nil
}

// abortAll removes parts of uploads that nobody goes on with. What is missed goes with the
// dataset.
func (s *Service) abortAll(ctx context.Context, d portal.Dataset, files []portal.File) {
	for _, f := range files {
		if f.Upload == "" {
			continue
		}
		grant, err := s.grants.of(ctx, d)
		if err == nil {
			err = s.objects.Abort(ctx, grant, objectkey.Data(grant.Prefix, f.Path), f.Upload)
		}
		if err != nil {
			s.log.WarnContext(ctx, "Parts stay until the dataset is erased", "dataset", d.ID, "error", err)
			return
		}
	}
}

// Files gives at most limit of the files that were told of, in the order of their paths,
// after one ("" for the first).
func (s *Service) Files(
	ctx context.Context, p portal.Principal, id portal.DatasetID, after string, limit int,
) ([]portal.File, error) {
	if err := canRead(p); err != nil {
		return nil, err
	}
	var files []portal.File
	err := s.store.Read(ctx, func(ctx context.Context, tx portal.Tx) error {
		if _, err := tx.Dataset(ctx, p.Account.ID, id); err != nil {
			return err
		}
		found, err := tx.Files(ctx, id, after, limit)
		files = found
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("list files: %w", err)
	}
	return files, nil
}

// Remove takes files out of a dataset that is open; those that are not there are left out.
func (s *Service) Remove(ctx context.Context, p portal.Principal, id portal.DatasetID, paths []string) error {
	if err := canWrite(p); err != nil {
		return err
	}
	if len(paths) == 0 || len(paths) > portal.MaxFileBatch {
		return portal.Invalid("files", fmt.Sprintf("Remove 1 to %d files at once.", portal.MaxFileBatch))
	}
	var dataset portal.Dataset
	var gone []portal.File
	err := s.store.Write(ctx, func(ctx context.Context, tx portal.Tx) error {
		d, err := tx.Dataset(ctx, p.Account.ID, id)
		if err != nil {
			return err
		}
		dataset = d
		if err := open(d); err != nil {
			return err
		}
		gone, err = take(ctx, tx, id, paths)
		return err
	})
	if err != nil {
		return fmt.Errorf("remove files: %w", err)
	}
	s.abortAll(ctx, dataset, gone)
	return nil
}

// take removes rows of files and gives those that were there.
func take(ctx context.Context, tx portal.Tx, id portal.DatasetID, paths []string) ([]portal.File, error) {
	var gone []portal.File
	for _, path := range paths {
		f, err := tx.File(ctx, id, path)
		if errors.Is(err, portal.ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if err := tx.DeleteFile(ctx, id, path); err != nil {
			return nil, err
		}
		gone = append(gone, f)
	}
	return gone, nil
}
