package sqlstore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
)

func TestErrorsOfPostgreSQLMeanTheSameWhateverTheyAreWrappedIn(t *testing.T) {
	t.Parallel()
	code := func(code string) error { return &pgconn.PgError{Code: code} }
	for name, test := range map[string]struct {
		err  error
		want class
	}{
		"a value that is taken":       {code("23505"), classUnique},
		"a reference to nothing":      {code("23503"), classMissing},
		"a serialization failure":     {code("40001"), classAgain},
		"a deadlock":                  {code("40P01"), classAgain},
		"too many connections":        {code("53300"), classBusy},
		"a full disk":                 {code("53100"), classBusy},
		"a server that starts":        {code("57P03"), classBusy},
		"a connection that was ended": {code("57P01"), classBusy},
		"a connection that broke":     {io.ErrUnexpectedEOF, classBusy},
		"a check":                     {code("23514"), classOther},
		"a read-only transaction":     {code("25006"), classOther},
		"a transaction that failed":   {code("25P02"), classOther},
		"no code":                     {code(""), classOther},
		"a caller that gave up":       {context.Canceled, classOther},
		"anything else":               {errors.New("anything"), classOther},
	} {
		if got := classifyPostgres(fmt.Errorf("wrapped: %w", test.err)); got != test.want {
			t.Errorf("%s: want class %d, got %d", name, test.want, got)
		}
	}
}

func TestPlaceholdersAreNumbered(t *testing.T) {
	t.Parallel()
	for query, want := range map[string]string{
		"":                         "",
		"SELECT 1":                 "SELECT 1",
		"?":                        "$1",
		"a = ? AND (b, c) < (?,?)": "a = $1 AND (b, c) < ($2,$3)",
		"?????????? ?":             "$1$2$3$4$5$6$7$8$9$10 $11",
	} {
		if got := numberPlaceholders(query); got != want {
			t.Errorf("%q: want %q, got %q", query, want, got)
		}
	}
}
