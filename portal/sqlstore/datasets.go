package sqlstore

import (
	"context"
	"time"

	"github.com/lethe-dev/lethe/portal"
)

const datasetColumns = `id, account, namespace, name, uid, after_training, max_age, wish, created_at, wished_at,
	seen, erased_at, receipt, revision`

func scanDataset(r row) (portal.Dataset, error) {
	var d portal.Dataset
	err := r.Scan(&d.ID, &d.Account, &d.Namespace, &d.Name, &d.UID, &d.AfterTraining, &d.MaxAge, &d.Wish,
		into(&d.CreatedAt), into(&d.WishedAt), fromJSON(&d.Seen), into(&d.ErasedAt), &d.Receipt, &d.Revision)
	return d, err
}

func (t *tx) CreateDataset(ctx context.Context, d portal.Dataset) error {
	_, err := t.put(ctx, "create a dataset",
		`INSERT INTO datasets (`+datasetColumns+`, settled) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		d.ID, d.Account, d.Namespace, d.Name, d.UID, d.AfterTraining, d.MaxAge, d.Wish, d.CreatedAt, d.WishedAt,
		datasetSeen(d.Seen), maybe(d.ErasedAt), d.Receipt, d.Revision, d.Settled())
	return err
}

func (t *tx) Dataset(ctx context.Context, a portal.AccountID, id portal.DatasetID) (portal.Dataset, error) {
	return one(ctx, t, "read a dataset", scanDataset,
		`SELECT `+datasetColumns+` FROM datasets WHERE account = ? AND id = ?`, a, id)
}

func (t *tx) DatasetByObject(ctx context.Context, namespace string, id portal.DatasetID) (portal.Dataset, error) {
	return one(ctx, t, "find a dataset by object", scanDataset,
		`SELECT `+datasetColumns+` FROM datasets WHERE namespace = ? AND id = ?`, namespace, id)
}

func (t *tx) UpdateDataset(ctx context.Context, d portal.Dataset) error {
	const doing = "update a dataset"
	rows, err := t.exec(ctx, doing,
		`UPDATE datasets SET name = ?, uid = ?, after_training = ?, max_age = ?, wish = ?, wished_at = ?,
			seen = ?, erased_at = ?, receipt = ?, settled = ?, revision = revision + 1
		WHERE id = ? AND revision = ?`,
		d.Name, d.UID, d.AfterTraining, d.MaxAge, d.Wish, d.WishedAt,
		datasetSeen(d.Seen), maybe(d.ErasedAt), d.Receipt, d.Settled(), d.ID, d.Revision)
	if err != nil {
		return err
	}
	if rows > 0 {
		if d.ErasedAt.IsZero() {
			return nil
		}
		return t.DeleteFiles(ctx, d.ID)
	}
	if _, err := one(ctx, t, doing, scanInt, `SELECT 1 FROM datasets WHERE id = ?`, d.ID); err != nil {
		return err
	}
	return portal.ErrConflict
}

func (t *tx) AccountDatasets(ctx context.Context, a portal.AccountID, erased bool, after portal.PageCursor, limit int) ([]portal.Dataset, error) {
	where, args := `account = ?`, []any{a}
	if !erased {
		where += ` AND erased_at IS NULL`
	}
	where, args = olderThan(where, args, `created_at, id`, after)
	return list(ctx, t, "list datasets", scanDataset,
		`SELECT `+datasetColumns+` FROM datasets WHERE `+where+` ORDER BY created_at DESC, id DESC LIMIT ?`,
		append(args, max(limit, 0))...)
}

func (t *tx) UnsettledDatasets(ctx context.Context, after portal.PageCursor, limit int) ([]portal.Dataset, error) {
	where, args := `NOT settled`, []any{}
	if !after.Time.IsZero() || after.ID != "" {
		where += ` AND (wished_at, id) > (?, ?)`
		args = append(args, after.Time, after.ID)
	}
	return list(ctx, t, "list unsettled datasets", scanDataset,
		`SELECT `+datasetColumns+` FROM datasets WHERE `+where+` ORDER BY wished_at, id LIMIT ?`, append(args, max(limit, 0))...)
}

func (t *tx) LiveDatasets(ctx context.Context, after portal.DatasetID, limit int) ([]portal.Dataset, error) {
	return list(ctx, t, "list live datasets", scanDataset,
		`SELECT `+datasetColumns+` FROM datasets WHERE erased_at IS NULL AND id > ? ORDER BY id LIMIT ?`,
		after, max(limit, 0))
}

// olderThan adds what comes after a cursor in a list that is newest first.
func olderThan(where string, args []any, columns string, after portal.PageCursor) (string, []any) {
	if after.Time.IsZero() && after.ID == "" {
		return where, args
	}
	return where + ` AND (` + columns + `) < (?, ?)`, append(args, after.Time, after.ID)
}

// datasetSeen is the column's JSON, with times as the other columns keep them.
func datasetSeen(s portal.DatasetSeen) string {
	roundTimes(&s.At, &s.ExpiresAt, &s.HoldUntil, &s.EraseStartedAt)
	return toJSON(s)
}

// roundTimes makes times UTC and drops what is finer than a microsecond.
func roundTimes(times ...*time.Time) {
	for _, at := range times {
		*at = at.UTC().Truncate(time.Microsecond)
	}
}
