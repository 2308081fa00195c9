package sqlstore

import (
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
)

const defaultConnections = 16

// openPostgres makes one pool for reads and writes; nothing is opened yet.
func openPostgres(dsn string, options Options) (*Store, error) {
	config, err := pgx.ParseConfig(dsn)
	if err != nil {
		// The cause quotes the address, with a user's name and more.
		return nil, errors.New("this is no address of PostgreSQL: it looks like postgres://user:password@host:5432/name?sslmode=verify-full")
	}
	if config.RuntimeParams["application_name"] == "" {
		config.RuntimeParams["application_name"] = "lethe-portal"
	}
	if options.Connections == 0 {
		options.Connections = defaultConnections
	}
	pool := stdlib.OpenDB(*config)
	pool.SetMaxOpenConns(options.Connections)
	pool.SetMaxIdleConns(options.Connections)
	return &Store{dialect: postgresDialect(), writer: pool, reader: pool}, nil
}

var errEncoding = fmt.Errorf("the database's encoding is not UTF8: create it with ENCODING 'UTF8'")
