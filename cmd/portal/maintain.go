package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/lethe-dev/lethe/portal"
	"github.com/lethe-dev/lethe/portal/retention"
	"github.com/lethe-dev/lethe/portal/sqlstore"
)

// say prints a line for who typed the command.
func (i *invocation) say(format string, args ...any) { fmt.Fprintf(i.out, format+"\n", args...) }

// openStore opens a database that is there and of this version's schema.
func (i *invocation) openStore(ctx context.Context) (*sqlstore.Store, error) {
	if err := i.config.checkDatabase(); err != nil {
		return nil, &usageError{err}
	}
	if _, err := os.Stat(i.config.database); !isPostgres(i.config.database) && err != nil {
		return nil, fmt.Errorf("open the database: %w; \"portal migrate\" makes it", err)
	}
	store, err := sqlstore.Open(ctx, i.config.database, sqlstore.Options{})
	if err != nil {
		return nil, err
	}
	if err := store.Ping(ctx); err != nil {
		return nil, errors.Join(err, store.Close())
	}
	return store, nil
}

func migrate(ctx context.Context, i *invocation) error {
	if err := i.config.checkDatabase(); err != nil {
		return &usageError{err}
	}
	store, err := sqlstore.Open(ctx, i.config.database, sqlstore.Options{})
	if err != nil {
		return err
	}
	if err := errors.Join(store.Migrate(ctx), store.Close()); err != nil {
		return err
	}
	i.say("The database has this version's schema.")
	return nil
}

func backup(ctx context.Context, i *invocation) error {
	if isPostgres(i.config.database) {
		return &usageError{errors.New("PostgreSQL is backed up by its own tools, such as pg_dump or pg_basebackup")}
	}
	store, err := i.openStore(ctx)
	if err != nil {
		return err
	}
	if err := errors.Join(store.Backup(ctx, i.args[0]), store.Close()); err != nil {
		return err
	}
	i.say("The database was copied to %s. Keep the key file's copy somewhere else.", i.args[0])
	return nil
}

func restore(ctx context.Context, i *invocation) error {
	if err := i.config.checkDatabase(); err != nil {
		return &usageError{err}
	}
	if isPostgres(i.config.database) {
		return &usageError{errors.New("PostgreSQL is restored by its own tools, such as pg_restore")}
	}
	if err := sqlstore.Restore(ctx, i.args[0], i.config.database); err != nil {
		return err
	}
	i.say("The database is %s. Run \"portal migrate\" before the portal is started.", i.config.database)
	return nil
}

func purge(ctx context.Context, i *invocation) error {
	store, err := i.openStore(ctx)
	if err != nil {
		return err
	}
	defer store.Close() //nolint:errcheck // what was removed is removed
	sweeper, err := retention.New(store, time.Now, retention.Options{Log: i.log})
	if err != nil {
		return err
	}
	report, err := sweeper.Sweep(ctx)
	if err != nil {
		return err
	}
	i.say("Removed: %d security events, %d sessions and devices, %d links, %d counts of failures, %d mails.",
		report.Events, report.Sessions, report.Links, report.Throttles, report.Mails)
	return nil
}

func verifyAudit(ctx context.Context, i *invocation) error {
	core, err := i.openCore(ctx)
	if err != nil {
		return err
	}
	defer core.close(i.log)
	report, err := core.review.CheckAudit(ctx)
	if err != nil {
		return err
	}
	if report.BrokenAt != 0 {
		return fmt.Errorf("the audit log is broken at row %d of %d: that row does not follow the one before it", report.BrokenAt, report.Rows)
	}
	i.say("The audit log has %d rows, each following the one before.\nhead %s\nKeep the head somewhere else: rows cut off at the end show only there.", report.Rows, report.Head)
	return nil
}

func (i *invocation) roleSetting() []setting {
	return []setting{{name: "role", help: "support, security, finance or admin (" + i.role + ")", set: text(&i.role)}}
}

// invite makes the first of the staff. There is no default password: the link sets one.
func invite(ctx context.Context, i *invocation) error {
	role := portal.Role(i.role)
	if !role.Staff() {
		return &usageError{fmt.Errorf("--role: %q is none of support, security, finance, admin", i.role)}
	}
	email, err := portal.ParseEmail(i.args[0])
	if err != nil {
		return &usageError{errors.New("that is not an email address")}
	}
	if err := i.config.checkOrigin(); err != nil {
		return &usageError{err}
	}
	core, err := i.openCore(ctx)
	if err != nil {
		return err
	}
	defer core.close(i.log)
	link, err := core.auth.Invite(ctx, string(email), role)
	if err != nil {
		return err
	}
	i.say("The role is %s, once a second factor is set up.", role)
	i.say("This link sets the password, once, within %s. Whoever has it can: hand it over in private.\n%s%s",
		strings.TrimSuffix(portal.PurposeReset.Life().String(), "0s"), i.config.origin, link)
	return nil
}
