package sqlstore

import (
	"context"

	"github.com/lethe-dev/lethe/portal"
)

const fileColumns = `dataset, path, size, fingerprint, upload, part_size, sha256`

func scanFile(r row) (portal.File, error) {
	var f portal.File
	err := r.Scan(&f.Dataset, &f.Path, &f.Size, &f.Fingerprint, &f.Upload, &f.PartSize, &f.SHA256)
	return f, err
}

func (t *tx) PutFile(ctx context.Context, f portal.File) error {
	_, err := t.put(ctx, "put a file",
		`INSERT INTO files (`+fileColumns+`) VALUES (?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT (dataset, path) DO UPDATE SET size = excluded.size, fingerprint = excluded.fingerprint,
			upload = excluded.upload, part_size = excluded.part_size, sha256 = excluded.sha256`,
		f.Dataset, f.Path, f.Size, f.Fingerprint, f.Upload, f.PartSize, f.SHA256)
	return err
}

func (t *tx) File(ctx context.Context, d portal.DatasetID, path string) (portal.File, error) {
	return one(ctx, t, "find a file", scanFile,
		`SELECT `+fileColumns+` FROM files WHERE dataset = ? AND path = ?`, d, path)
}

func (t *tx) Files(ctx context.Context, d portal.DatasetID, after string, limit int) ([]portal.File, error) {
	return list(ctx, t, "list files", scanFile,
		`SELECT `+fileColumns+` FROM files WHERE dataset = ? AND path > ? ORDER BY path LIMIT ?`,
		d, after, max(limit, 0))
}

func (t *tx) CountFiles(ctx context.Context, d portal.DatasetID) (portal.FileCount, error) {
	// PostgreSQL's sums are of another type.
	return one(ctx, t, "count files", scanFileCount,
		`SELECT COUNT(*), CAST(coalesce(SUM(CASE sha256 WHEN '' THEN 0 ELSE 1 END), 0) AS BIGINT),
			CAST(coalesce(SUM(size), 0) AS BIGINT)
		FROM files WHERE dataset = ?`, d)
}

func scanFileCount(r row) (portal.FileCount, error) {
	var c portal.FileCount
	err := r.Scan(&c.Files, &c.Complete, &c.Bytes)
	return c, err
}

func (t *tx) DeleteFile(ctx context.Context, d portal.DatasetID, path string) error {
	return t.execOne(ctx, "delete a file", `DELETE FROM files WHERE dataset = ? AND path = ?`, d, path)
}

func (t *tx) DeleteFiles(ctx context.Context, d portal.DatasetID) error {
	rows, err := t.exec(ctx, "delete files", `DELETE FROM files WHERE dataset = ?`, d)
	t.purged = t.purged || rows > 0 // paths tell of the data
	return err
}
