package uploads

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/lethe-dev/lethe/api/objectkey"
	"github.com/lethe-dev/lethe/portal"
)

// Sign gives requests that may be sent to the store, each for one part and its length, for
// half a minute at least. Parts of files that are complete are left out.
func (s *Service) Sign(ctx context.Context, p portal.Principal, id portal.DatasetID, wanted []portal.WantedParts) ([]portal.SignedPart, error) {
	if err := canWrite(p); err != nil {
		return nil, err
	}
	total, err := countParts(wanted)
	if err != nil {
		return nil, err
	}
	paths := make([]string, 0, len(wanted))
	for _, w := range wanted {
		paths = append(paths, w.Path)
	}
	d, files, err := s.openFiles(ctx, p, id, paths)
	if err != nil {
		return nil, fmt.Errorf("sign requests: %w", err)
	}
	if d, err = s.made(ctx, d); err != nil {
		return nil, fmt.Errorf("sign requests: %w", err)
	}
	signed := make([]portal.SignedPart, 0, total)
	for i, f := range files {
		if finished(f) {
			continue
		}
		more, err := s.signFile(ctx, d, f, wanted[i].Parts)
		if err != nil {
			return nil, fmt.Errorf("sign requests: %w", err)
		}
		signed = append(signed, more...)
	}
	return signed, nil
}

// countParts counts what is asked for, and refuses files without parts: each file is read.
func countParts(wanted []portal.WantedParts) (int, error) {
	total, most := 0, fmt.Sprintf("Ask for 1 to %d parts at once.", portal.MaxSignedParts)
	if len(wanted) == 0 || len(wanted) > portal.MaxSignedParts {
		return 0, portal.Invalid("files", most)
	}
	for _, w := range wanted {
		if len(w.Parts) == 0 {
			return 0, portal.Invalid("files", "Name the parts of each file that you ask for.")
		}
		total += len(w.Parts)
	}
	if total > portal.MaxSignedParts {
		return 0, portal.Invalid("files", most)
	}
	return total, nil
}

// openFiles gives an open dataset and files of it.
func (s *Service) openFiles(
	ctx context.Context, p portal.Principal, id portal.DatasetID, paths []string,
) (portal.Dataset, []portal.File, error) {
	var dataset portal.Dataset
	var files []portal.File
	err := s.store.Read(ctx, func(ctx context.Context, tx portal.Tx) error {
		files = nil
		d, err := tx.Dataset(ctx, p.Account.ID, id)
		if err != nil {
			return err
		}
		dataset = d
		if err := open(d); err != nil {
			return err
		}
		for _, path := range paths {
			f, err := tx.File(ctx, id, path)
			if errors.Is(err, portal.ErrNotFound) {
				return portal.Invalid("files", "“"+shown(path)+"” was not told of, or was removed. Add it again.")
			}
			if err != nil {
				return err
			}
			files = append(files, f)
		}
		return nil
	})
	return dataset, files, err
}

// made waits for nothing: a dataset that the cluster does not have yet is asked for once
// more.
func (s *Service) made(ctx context.Context, d portal.Dataset) (portal.Dataset, error) {
	if d.UID != "" {
		return d, nil
	}
	if err := s.settle(ctx, d); err != nil {
		return d, err
	}
	return s.change(ctx, d, func(*portal.Dataset) bool { return false })
}

func (s *Service) signFile(ctx context.Context, d portal.Dataset, f portal.File, parts []int) ([]portal.SignedPart, error) {
	grant, err := s.grants.of(ctx, d)
	if err != nil {
		return nil, err
	}
	key := objectkey.Data(grant.Prefix, f.Path)
	if f.PartSize > 0 && f.Upload == "" {
		if f, err = s.begin(ctx, d, grant, f); err != nil {
			return nil, err
		}
	}
	signed := make([]portal.SignedPart, 0, len(parts))
	for _, part := range parts {
		if part < 1 || part > partsOf(f) {
			return nil, portal.Invalid("files", fmt.Sprintf("“%s” has %d parts; there is no part %d.", shown(f.Path), partsOf(f), part))
		}
		request := Request{Key: key, Upload: f.Upload, Part: part, Length: lengthOf(f, part)}
		made, err := s.objects.Presign(ctx, grant, request)
		if err != nil {
			return nil, err
		}
		signed = append(signed, portal.SignedPart{Path: f.Path, Part: part, SignedRequest: made})
	}
	return signed, nil
}

// begin makes an upload in the store and writes it to the row. Who is cut off in between
// leaves an upload without parts, which goes with the dataset.
func (s *Service) begin(ctx context.Context, d portal.Dataset, grant portal.Grant, f portal.File) (portal.File, error) {
	key := objectkey.Data(grant.Prefix, f.Path)
	upload, err := s.objects.Begin(ctx, grant, key)
	if err != nil {
		return f, err
	}
	err = s.changeFile(ctx, d, f, func(f *portal.File) error {
		f.Upload = upload
		return nil
	})
	if err == nil {
		f.Upload = upload
		return f, nil
	}
	if !errors.Is(err, portal.ErrConflict) {
		return f, err
	}
	// Another tab was faster.
	if err := s.objects.Abort(ctx, grant, key, upload); err != nil {
		s.log.WarnContext(ctx, "An upload stays until the dataset is erased", "dataset", d.ID, "error", err)
	}
	var now portal.File
	err = s.store.Read(ctx, func(ctx context.Context, tx portal.Tx) error {
		found, err := tx.File(ctx, d.ID, f.Path)
		now = found
		return err
	})
	if err == nil && (!same(now, f) || now.Upload == "") {
		err = portal.ErrConflict
	}
	return now, err
}

// Finish completes files. It may be asked again; a file that is complete with another
// digest is a conflict. Answers come in the order of what was asked.
func (s *Service) Finish(ctx context.Context, p portal.Principal, id portal.DatasetID, done []portal.FileDone) ([]portal.FileResult, error) {
	if err := canWrite(p); err != nil {
		return nil, err
	}
	if len(done) == 0 || len(done) > portal.MaxFileBatch {
		return nil, portal.Invalid("files", fmt.Sprintf("Finish 1 to %d files at once.", portal.MaxFileBatch))
	}
	paths := make([]string, 0, len(done))
	for _, one := range done {
		if b, err := hex.DecodeString(one.SHA256); err != nil || len(b) != 32 || strings.ToLower(one.SHA256) != one.SHA256 {
			return nil, portal.Invalid("files", "The digest of “"+shown(one.Path)+"” is not 64 lower-case hexadecimal digits.")
		}
		paths = append(paths, one.Path)
	}
	d, files, err := s.openFiles(ctx, p, id, paths)
	if err != nil {
		return nil, fmt.Errorf("finish files: %w", err)
	}
	if err := s.finishSingles(ctx, d, files, done); err != nil {
		return nil, fmt.Errorf("finish files: %w", err)
	}
	answers := make([]portal.FileResult, len(done))
	asking, ctx := errgroup.WithContext(ctx)
	asking.SetLimit(listAtOnce)
	for i, f := range files {
		answers[i] = portal.FileResult{Path: f.Path, Complete: true}
		if f.PartSize <= 0 {
			continue
		}
		asking.Go(func() error {
			missing, err := s.complete(ctx, d, f, done[i].SHA256)
			answers[i].Complete, answers[i].Missing = len(missing) == 0, missing
			return err
		})
	}
	if err := asking.Wait(); err != nil {
		return nil, fmt.Errorf("finish files: %w", err)
	}
	return answers, nil
}

// finishSingles writes the digests of files that went by one request, in one transaction.
func (s *Service) finishSingles(ctx context.Context, d portal.Dataset, files []portal.File, done []portal.FileDone) error {
	return s.store.Write(ctx, func(ctx context.Context, tx portal.Tx) error {
		now, err := tx.Dataset(ctx, d.Account, d.ID)
		if err != nil {
			return err
		}
		if err := open(now); err != nil {
			return err
		}
		for i, was := range files {
			if was.PartSize > 0 {
				continue
			}
			if err := finishWhole(ctx, tx, was, done[i].SHA256); err != nil {
				return err
			}
		}
		return nil
	})
}

// finishWhole writes the digest of a file, if its row is still that one's.
func finishWhole(ctx context.Context, tx portal.Tx, was portal.File, digest string) error {
	f, err := tx.File(ctx, was.Dataset, was.Path)
	if err != nil {
		return err
	}
	if !same(f, was) {
		return portal.ErrConflict
	}
	if err := setDigest(&f, digest); err != nil {
		return err
	}
	return tx.PutFile(ctx, f)
}

// setDigest sets it. It never changes.
func setDigest(f *portal.File, digest string) error {
	if f.SHA256 != "" && f.SHA256 != digest {
		return &portal.Error{
			Kind: portal.KindConflict, Field: "files",
			Message: "“" + shown(f.Path) + "” is complete, with other contents. Remove it and add it again.",
		}
	}
	f.SHA256 = digest
	return nil
}

// complete completes a file that was sent in parts, and gives the parts that are missing.
// It may be done again, also after it was cut off anywhere, and by two at once.
func (s *Service) complete(ctx context.Context, d portal.Dataset, f portal.File, digest string) ([]int, error) {
	if f.SHA256 != "" && f.SHA256 != digest || finished(f) {
		return nil, setDigest(&f, digest)
	}
	if f.Upload == "" {
		return missingParts(f, nil), nil
	}
	missing, err := s.completeParts(ctx, d, f, digest)
	if err == nil || !errors.Is(err, portal.ErrConflict) {
		return missing, err
	}
	// The row has changed: perhaps another has completed it.
	var now portal.File
	again := s.store.Read(ctx, func(ctx context.Context, tx portal.Tx) error {
		found, err := tx.File(ctx, d.ID, f.Path)
		now = found
		return err
	})
	if again == nil && same(now, f) && finished(now) && now.SHA256 == digest {
		return nil, nil
	}
	return nil, err
}

func (s *Service) completeParts(ctx context.Context, d portal.Dataset, f portal.File, digest string) ([]int, error) {
	parts, err := s.stored(ctx, d, f)
	if errors.Is(err, ErrNoUpload) {
		if errors.Is(err, portal.ErrConflict) || f.SHA256 != "" {
			return nil, withoutNoUpload(err)
		}
		return missingParts(f, nil), nil
	}
	if err != nil {
		return nil, err
	}
	if missing := missingParts(f, parts); len(missing) > 0 {
		return missing, nil
	}
	err = s.changeFile(ctx, d, f, func(f *portal.File) error { return setDigest(f, digest) })
	if err != nil {
		return nil, err
	}
	grant, err := s.grants.of(ctx, d)
	if err != nil {
		return nil, err
	}
	err = s.objects.Complete(ctx, grant, objectkey.Data(grant.Prefix, f.Path), f.Upload, parts)
	if err != nil && !errors.Is(err, ErrNoUpload) { // another has completed it in the meantime
		return nil, err
	}
	return nil, s.changeFile(ctx, d, f, func(f *portal.File) error {
		f.Upload = ""
		return nil
	})
}

// withoutNoUpload leaves of an upload that is gone only what went wrong with its row.
func withoutNoUpload(err error) error {
	if errors.Is(err, portal.ErrConflict) {
		return portal.ErrConflict
	}
	return nil
}

func missingParts(f portal.File, have []Part) []int {
	there := map[int]bool{}
	for _, part := range have {
		there[part.Number] = true
	}
	var missing []int
	for n := 1; n <= partsOf(f); n++ {
		if !there[n] {
			missing = append(missing, n)
		}
	}
	return missing
}
