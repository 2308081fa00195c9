package sqlstore

import (
	"database/sql"
	"encoding/json"
	"fmt"
	"net/netip"
	"reflect"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/lethe-dev/lethe/portal"
)

// maybe is a time whose zero value means that something has not happened; it is kept as
// NULL.
type maybe time.Time

// optional is a text whose zero value means that there is none; it is kept as NULL.
type optional string

// errText refuses what PostgreSQL can't keep, for SQLite too.
var errText = portal.Invalid("", "This text holds characters that can't be kept. Remove them and try again.")

// bind turns arguments into what both databases take. The only error is errText.
func bind(args []any) ([]any, error) {
	bound := make([]any, len(args))
	for i, arg := range args {
		bound[i] = bindOne(arg)
		text, ok := bound[i].(string)
		if ok && (!utf8.ValidString(text) || strings.ContainsRune(text, 0)) {
			return nil, errText
		}
	}
	return bound, nil
}

func bindOne(arg any) any {
	switch v := arg.(type) {
	case bool, int64, []byte:
		return v
	case int:
		return int64(v)
	case time.Time:
		return v.UnixMicro()
	case time.Duration:
		return int64(v)
	case maybe:
		if time.Time(v).IsZero() {
			return nil
		}
		return time.Time(v).UnixMicro()
	case optional:
		if v == "" {
			return nil
		}
		return string(v)
	case portal.Digest:
		return v[:]
	case netip.Addr:
		if !v.IsValid() {
			return nil
		}
		return v.Unmap().WithZone("").AsSlice()
	}
	if v := reflect.ValueOf(arg); v.Kind() == reflect.String {
		return v.String()
	}
	panic(fmt.Sprintf("the store has no form for a %T", arg))
}

// into makes the destination of one column, for those whose form bind chose.
func into(destination any) sql.Scanner { return column{destination} }

type column struct{ to any }

// Scan implements sql.Scanner.
func (c column) Scan(value any) error {
	switch to := c.to.(type) {
	case *time.Time:
		return scanTime(to, value)
	case *portal.Digest:
		return scanDigest(to, value)
	case *netip.Addr:
		return scanIP(to, value)
	}
	v := reflect.ValueOf(c.to).Elem()
	switch value := value.(type) {
	case nil:
		v.SetString("")
	case string:
		v.SetString(value)
	default:
		return fmt.Errorf("a column holds %T where a text belongs", value)
	}
	return nil
}

func scanTime(to *time.Time, value any) error {
	switch value := value.(type) {
	case nil:
		*to = time.Time{}
	case int64:
		*to = time.UnixMicro(value).UTC()
	default:
		return fmt.Errorf("a column holds %T where a time belongs", value)
	}
	return nil
}

func scanDigest(to *portal.Digest, value any) error {
	b, ok := value.([]byte)
	if !ok || len(b) != len(to) {
		return fmt.Errorf("a column holds %T of another length where a digest belongs", value)
	}
	copy(to[:], b)
	return nil
}

func scanIP(to *netip.Addr, value any) error {
	b, ok := value.([]byte)
	if value == nil {
		*to = netip.Addr{}
		return nil
	}
	addr, fits := netip.AddrFromSlice(b)
	if !ok || !fits {
		return fmt.Errorf("a column holds %T where an address belongs", value)
	}
	*to = addr
	return nil
}

// toJSON encodes what is ours and can always be encoded.
func toJSON(value any) string {
	text, err := json.Marshal(value)
	if err != nil {
		panic(fmt.Sprintf("encode a %T: %v", value, err))
	}
	return string(text)
}

// fromJSON makes the destination of a column in JSON; an empty one leaves the zero value.
func fromJSON(destination any) sql.Scanner { return jsonColumn{destination} }

type jsonColumn struct{ to any }

// Scan implements sql.Scanner.
func (c jsonColumn) Scan(value any) error {
	text, ok := value.(string)
	if !ok {
		return fmt.Errorf("a column holds %T where JSON belongs", value)
	}
	if text == "" {
		return nil
	}
	if err := json.Unmarshal([]byte(text), c.to); err != nil {
		return fmt.Errorf("decode a column: %w", err)
	}
	return nil
}
