package sqlstore

import (
	"context"
	"slices"
	"strings"

	"github.com/lethe-dev/lethe/portal"
)

const runColumns = `id, account, namespace, name, dataset, uid, spec, wish, created_at, wished_at,
	seen, refused, gone_at, revision`

func scanRun(r row) (portal.Run, error) {
	var run portal.Run
	err := r.Scan(&run.ID, &run.Account, &run.Namespace, &run.Name, &run.Dataset, &run.UID, fromJSON(&run.Spec),
		&run.Wish, into(&run.CreatedAt), into(&run.WishedAt), fromJSON(&run.Seen), &run.Refused,
		into(&run.GoneAt), &run.Revision)
	return run, err
}

func (t *tx) CreateRun(ctx context.Context, r portal.Run) error {
	_, err := t.put(ctx, "create a run",
		`INSERT INTO runs (`+runColumns+`, name_key, state, settled)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		r.ID, r.Account, r.Namespace, r.Name, r.Dataset, r.UID, toJSON(r.Spec), r.Wish, r.CreatedAt, r.WishedAt,
		runSeen(r.Seen), r.Refused, maybe(r.GoneAt), r.Revision, strings.ToLower(r.Name), r.Seen.State, r.Settled())
	return err
}

func (t *tx) Run(ctx context.Context, a portal.AccountID, id portal.RunID) (portal.Run, error) {
	return one(ctx, t, "read a run", scanRun, `SELECT `+runColumns+` FROM runs WHERE account = ? AND id = ?`, a, id)
}

func (t *tx) RunByObject(ctx context.Context, namespace string, id portal.RunID) (portal.Run, error) {
	return one(ctx, t, "find a run by object", scanRun,
		`SELECT `+runColumns+` FROM runs WHERE namespace = ? AND id = ?`, namespace, id)
}

func (t *tx) UpdateRun(ctx context.Context, r portal.Run) error {
	const doing = "update a run"
	rows, err := t.exec(ctx, doing,
		`UPDATE runs SET name = ?, name_key = ?, uid = ?, wish = ?, wished_at = ?, seen = ?, state = ?,
			refused = ?, gone_at = ?, settled = ?, revision = revision + 1
		WHERE id = ? AND revision = ?`,
		r.Name, strings.ToLower(r.Name), r.UID, r.Wish, r.WishedAt, runSeen(r.Seen), r.Seen.State,
		r.Refused, maybe(r.GoneAt), r.Settled(), r.ID, r.Revision)
	if err != nil || rows > 0 {
		return err
	}
	if _, err := one(ctx, t, doing, scanInt, `SELECT 1 FROM runs WHERE id = ?`, r.ID); err != nil {
		return err
	}
	return portal.ErrConflict
}

func (t *tx) AccountRuns(ctx context.Context, a portal.AccountID, f portal.RunFilter, after portal.PageCursor, limit int) ([]portal.Run, error) {
	where := `account = ? AND refused = '' AND NOT (gone_at IS NOT NULL AND wish = '` + string(portal.WishDeleted) + `')`
	args := []any{a}
	if f.State != "" {
		state := f.State
		if state == portal.RunWaiting {
			state = ""
		}
		where, args = where+` AND state = ?`, append(args, state)
	}
	if f.Dataset != "" {
		where, args = where+` AND dataset = ?`, append(args, f.Dataset)
	}
	if f.Text != "" {
		where, args = where+` AND name_key LIKE ? ESCAPE '\'`, append(args, `%`+plainPattern.Replace(strings.ToLower(f.Text))+`%`)
	}
	where, args = olderThan(where, args, `created_at, id`, after)
	return list(ctx, t, "list runs", scanRun,
		`SELECT `+runColumns+` FROM runs WHERE `+where+` ORDER BY created_at DESC, id DESC LIMIT ?`,
		append(args, max(limit, 0))...)
}

// plainPattern makes a text mean itself in LIKE.
var plainPattern = strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`)

func (t *tx) UnsettledRuns(ctx context.Context, limit int) ([]portal.Run, error) {
	return list(ctx, t, "list unsettled runs", scanRun,
		`SELECT `+runColumns+` FROM runs WHERE NOT settled ORDER BY wished_at, id LIMIT ?`, max(limit, 0))
}

func (t *tx) LiveRuns(ctx context.Context, after portal.RunID, limit int) ([]portal.Run, error) {
	return list(ctx, t, "list live runs", scanRun,
		`SELECT `+runColumns+` FROM runs WHERE gone_at IS NULL AND refused = '' AND id > ? ORDER BY id LIMIT ?`,
		after, max(limit, 0))
}

func (t *tx) DraftRun(ctx context.Context, a portal.AccountID, id portal.RunID) (portal.RunID, error) {
	const doing = "draft a run"
	_, err := t.put(ctx, doing, `INSERT INTO drafts (account, id) VALUES (?, ?) ON CONFLICT (account) DO NOTHING`, a, id)
	if err != nil {
		return "", err
	}
	return one(ctx, t, doing, scanDraft, `SELECT id FROM drafts WHERE account = ?`, a)
}

func scanDraft(r row) (portal.RunID, error) {
	var id portal.RunID
	err := r.Scan(&id)
	return id, err
}

func (t *tx) UseDraft(ctx context.Context, a portal.AccountID, id portal.RunID) error {
	rows, err := t.exec(ctx, "use a draft", `DELETE FROM drafts WHERE account = ? AND id = ?`, a, id)
	if err == nil && rows == 0 {
		return portal.ErrConflict
	}
	return err
}

// runSeen is the column's JSON, with times as the other columns keep them.
func runSeen(s portal.RunSeen) string {
	roundTimes(&s.At, &s.StartedAt, &s.EndedAt, &s.CheckpointAt, &s.Progress.At, &s.Progress.EndsAt)
	s.Attempts = slices.Clone(s.Attempts)
	for i := range s.Attempts {
		roundTimes(&s.Attempts[i].StartedAt, &s.Attempts[i].EndedAt)
	}
	return toJSON(s)
}
