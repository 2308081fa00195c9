package sqlstoretest

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/lethe-dev/lethe/portal"
)

var fileTests = map[string]func(*testing.T, portal.Store){
	"a file is created, replaced and removed by its path": testFile,
	"files are paged in the order of their paths' bytes":  testFiles,
	"files go with the erase of their dataset":            testFilesGo,
	"files are counted, and go together":                  testCountFiles,
}

func putFile(t *testing.T, s portal.Store, f portal.File) portal.File {
	t.Helper()
	write(t, s, func(ctx context.Context, tx portal.Tx) error { return tx.PutFile(ctx, f) })
	return f
}

func fileOf(t *testing.T, s portal.Store, d portal.DatasetID, path string) (portal.File, error) {
	t.Helper()
	return tryRead(t, s, func(ctx context.Context, tx portal.Tx) (portal.File, error) { return tx.File(ctx, d, path) })
}

func pathsOf(t *testing.T, s portal.Store, d portal.DatasetID, after string, limit int) []string {
	t.Helper()
	all := read(t, s, func(ctx context.Context, tx portal.Tx) ([]portal.File, error) { return tx.Files(ctx, d, after, limit) })
	return ids(all, func(f portal.File) string { return f.Path })
}

func testFile(t *testing.T, s portal.Store) {
	n := tenant(t, s)
	a, b := putDataset(t, s, newDataset(n, "a", 0)), putDataset(t, s, newDataset(n, "b", 0))
	first := putFile(t, s, portal.File{
		Dataset: a.ID, Path: "train/'%_?.wav", Size: 300 << 20, Fingerprint: "1700000000.5", Upload: "upload~1", PartSize: 16 << 20,
	})
	others := putFile(t, s, portal.File{Dataset: b.ID, Path: first.Path, Size: 1})
	got, err := fileOf(t, s, a.ID, first.Path)
	equal(t, "file", first, got)
	gives(t, "file", nil, err)
	first.Size, first.Fingerprint, first.Upload, first.PartSize, first.SHA256 = 0, "", "", 0, strings.Repeat("ab", 32)
	putFile(t, s, first)
	got, _ = fileOf(t, s, a.ID, first.Path)
	equal(t, "file that was replaced", first, got)
	got, _ = fileOf(t, s, b.ID, first.Path)
	equal(t, "another's file", others, got)
	write(t, s, func(ctx context.Context, tx portal.Tx) error {
		gives(t, "a file of no dataset", portal.ErrNotFound, tx.PutFile(ctx, portal.File{Dataset: "none", Path: "x"}))
		refused(t, "a path that can't be kept", tx.PutFile(ctx, portal.File{Dataset: a.ID, Path: "x\x00"}))
		gives(t, "one that is not there", portal.ErrNotFound, tx.DeleteFile(ctx, a.ID, "none"))
		return tx.DeleteFile(ctx, a.ID, first.Path)
	})
	_, err = fileOf(t, s, a.ID, first.Path)
	gives(t, "one that was removed", portal.ErrNotFound, err)
	equal(t, "another's files", []string{first.Path}, pathsOf(t, s, b.ID, "", 10))
}

func testFiles(t *testing.T, s portal.Store) {
	d := putDataset(t, s, newDataset(tenant(t, s), "it", 0))
	for _, path := range []string{"b", "a/b", "ä", "Z", "a", "a b", "🙂", "\uffee"} {
		putFile(t, s, portal.File{Dataset: d.ID, Path: path})
	}
	sorted := []string{"Z", "a", "a b", "a/b", "b", "ä", "\uffee", "🙂"}
	equal(t, "all", sorted, pathsOf(t, s, d.ID, "", 10))
	equal(t, "a page", sorted[2:4], pathsOf(t, s, d.ID, "a", 2))
	equal(t, "after one that is not there", sorted[4:], pathsOf(t, s, d.ID, "a/bb", 10))
	equal(t, "no room", []string{}, pathsOf(t, s, d.ID, "", -1))
	equal(t, "of no dataset", []string{}, pathsOf(t, s, "none", "", 10))
}

func testFilesGo(t *testing.T, s portal.Store) {
	n := tenant(t, s)
	a, b := putDataset(t, s, newDataset(n, "a", 0)), putDataset(t, s, newDataset(n, "b", 0))
	for _, d := range []portal.Dataset{a, b} {
		putFile(t, s, portal.File{Dataset: d.ID, Path: "secret"})
	}
	a.Wish = portal.WishErased
	a = updateDataset(t, s, a)
	equal(t, "files of one that is to be erased", []string{"secret"}, pathsOf(t, s, a.ID, "", 10))
	stale := a
	stale.Revision, stale.ErasedAt = 0, minute(1)
	write(t, s, func(ctx context.Context, tx portal.Tx) error {
		gives(t, "an old revision", portal.ErrConflict, tx.UpdateDataset(ctx, stale))
		return nil
	})
	equal(t, "files after an update that failed", []string{"secret"}, pathsOf(t, s, a.ID, "", 10))
	a.ErasedAt = minute(1)
	updateDataset(t, s, a)
	equal(t, "files of one that was erased", []string{}, pathsOf(t, s, a.ID, "", 10))
	equal(t, "another's files", []string{"secret"}, pathsOf(t, s, b.ID, "", 10))
}

func testCountFiles(t *testing.T, s portal.Store) {
	n := tenant(t, s)
	a, b := putDataset(t, s, newDataset(n, "a", 0)), putDataset(t, s, newDataset(n, "b", 0))
	for i := range 3 {
		f := portal.File{Dataset: a.ID, Path: fmt.Sprint(i), Size: 1 << 40}
		if i > 0 {
			f.SHA256 = strings.Repeat("0", 64)
		}
		putFile(t, s, f)
	}
	putFile(t, s, portal.File{Dataset: b.ID, Path: "0", Size: 7})
	count := func(d portal.DatasetID) portal.FileCount {
		return read(t, s, func(ctx context.Context, tx portal.Tx) (portal.FileCount, error) { return tx.CountFiles(ctx, d) })
	}
	equal(t, "count", portal.FileCount{Files: 3, Complete: 2, Bytes: 3 << 40}, count(a.ID))
	equal(t, "nothing", portal.FileCount{}, count("none"))
	write(t, s, func(ctx context.Context, tx portal.Tx) error { return tx.DeleteFiles(ctx, a.ID) })
	equal(t, "after they went", portal.FileCount{}, count(a.ID))
	equal(t, "another's", portal.FileCount{Files: 1, Bytes: 7}, count(b.ID))
}
