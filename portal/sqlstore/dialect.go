package sqlstore

import (
	"database/sql"
	"database/sql/driver"
	"embed"
	"errors"
	"io"
	"net"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/pressly/goose/v3"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

//go:embed migrations
var migrations embed.FS

// class is what a database's error means to us.
type class int

const (
	// classOther is ours or the database's to mend.
	classOther class = iota
	// classUnique: a value is taken.
	classUnique
	// classMissing: what a row refers to is not there.
	classMissing
	// classAgain: another transaction was in the way; the same may work now.
	classAgain
	// classBusy: the database does not answer in time.
	classBusy
)

// dialect is where the two differ.
type dialect struct {
	goose goose.Dialect
	// folder of migrations.
	folder string
	// rewrite turns question marks into the database's placeholders.
	rewrite  func(query string) string
	classify func(error) class
	// write and read are how transactions begin.
	write, read sql.TxOptions
	// alone is a statement that waits until all writes have ended and keeps others from
	// beginning; beside is what those run that may go beside each other. They are "" where
	// writes are alone anyway.
	alone, beside string
	// settle is a statement after which what was purged is in no file; "" where that is the
	// database's own business.
	settle string
	// table is a query for whether a table of a name is there.
	table string
}

func sqliteDialect() dialect {
	return dialect{
		goose:    goose.DialectSQLite3,
		folder:   "migrations/sqlite",
		rewrite:  func(query string) string { return query },
		classify: classifySQLite,
		// The connections of writers and readers differ; the options don't.
		// Else the rows would stay in the log, and in the file until the log is full.
		settle: `PRAGMA wal_checkpoint(TRUNCATE)`,
		table:  `SELECT COUNT(*) FROM sqlite_schema WHERE type = 'table' AND name = ?`,
	}
}

func postgresDialect() dialect {
	return dialect{
		goose:    goose.DialectPostgres,
		folder:   "migrations/postgres",
		rewrite:  numberPlaceholders,
		classify: classifyPostgres,
		write:    sql.TxOptions{Isolation: sql.LevelSerializable},
		read:     sql.TxOptions{Isolation: sql.LevelRepeatableRead, ReadOnly: true},
		// They have to be a transaction's first statement: the snapshot is taken after it.
		alone:  `LOCK TABLE turns IN EXCLUSIVE MODE`,
		beside: `LOCK TABLE turns IN ROW SHARE MODE`,
		table:  `SELECT COUNT(*) FROM pg_tables WHERE schemaname = ANY (current_schemas(false)) AND tablename = $1`,
	}
}

// numberPlaceholders turns each question mark into $1, $2 and so on. No query of ours has
// one that is not a placeholder.
func numberPlaceholders(query string) string {
	parts := strings.Split(query, "?")
	var b strings.Builder
	b.Grow(len(query) + 2*len(parts))
	for i, part := range parts {
		if i > 0 {
			b.WriteByte('$')
			b.WriteString(strconv.Itoa(i))
		}
		b.WriteString(part)
	}
	return b.String()
}

func classifySQLite(err error) class {
	var e *sqlite.Error
	if !errors.As(err, &e) {
		return classOther
	}
	switch e.Code() {
	case sqlite3.SQLITE_CONSTRAINT_UNIQUE, sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY:
		return classUnique
	case sqlite3.SQLITE_CONSTRAINT_FOREIGNKEY:
		return classMissing
	}
	if e.Code()&0xff == sqlite3.SQLITE_BUSY {
		return classBusy
	}
	return classOther
}

// classifyPostgres goes by SQLSTATE (PostgreSQL's manual, appendix A).
func classifyPostgres(err error) class {
	var e *pgconn.PgError
	if !errors.As(err, &e) {
		// Nothing was answered: the server is not there, or has gone.
		var connect *pgconn.ConnectError
		var network net.Error
		if errors.As(err, &connect) || errors.As(err, &network) ||
			errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, driver.ErrBadConn) {
			return classBusy
		}
		return classOther
	}
	switch e.Code {
	case "23505":
		return classUnique
	case "23503":
		return classMissing
	case "40001", "40P01": // serialization failure, deadlock
		return classAgain
	}
	// No resources; it starts, stops, or was told to end this.
	if strings.HasPrefix(e.Code, "53") || strings.HasPrefix(e.Code, "57") {
		return classBusy
	}
	return classOther
}
