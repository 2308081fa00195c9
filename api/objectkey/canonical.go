package objectkey

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"
)

// maxInteger is the greatest integer that every reader of JSON gets exactly
// (RFC 7493, section 2.2, on which RFC 8785 builds).
const maxInteger = 1<<53 - 1

var (
	errNotJSON      = errors.New("it is not a JSON object with the fields of this format")
	errNotCanonical = errors.New("it is not in its canonical form (RFC 8785)")
)

// form is a format that has one sequence of bytes for one content.
type form[T any] interface {
	// normal gives the content in the only way in which it is written.
	normal() T
	// Validate says what is wrong with the content.
	Validate() error
}

// encodeCanonical validates and writes.
func encodeCanonical[T form[T]](v T) ([]byte, error) {
	v = v.normal()
	if err := v.Validate(); err != nil {
		return nil, err
	}
	return canonical(v)
}

// decodeCanonical reads what encodeCanonical writes, and nothing else: the value is
// written again and compared, which no unknown, doubled or differently spelled
// field, no other form of a number, string or time, and nothing behind it survives.
func decodeCanonical[T form[T]](data []byte) (T, error) {
	var v, none T
	if err := strictJSON(data, &v); err != nil {
		return none, errNotJSON
	}
	v = v.normal()
	again, err := canonical(v)
	if err != nil || !bytes.Equal(data, again) {
		return none, errNotCanonical
	}
	if err := v.Validate(); err != nil {
		return none, err
	}
	return v, nil
}

// canonical writes a value as RFC 8785 says, for what the formats here hold: objects
// with names of ASCII letters, for which the order of bytes is the one of UTF-16
// that is asked for, arrays, valid strings, and integers within maxInteger.
func canonical(v any) ([]byte, error) {
	plain, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("encode JSON: %w", err)
	}
	decoder := json.NewDecoder(bytes.NewReader(plain))
	decoder.UseNumber()
	var tree any
	if err := decoder.Decode(&tree); err != nil {
		return nil, fmt.Errorf("decode JSON: %w", err)
	}
	return appendValue(nil, tree)
}

func appendValue(out []byte, v any) ([]byte, error) {
	switch v := v.(type) {
	case string:
		return appendString(out, v), nil
	case json.Number:
		n, err := strconv.ParseInt(v.String(), 10, 64)
		if err != nil || n > maxInteger || n < -maxInteger {
			return nil, errors.New("a number is not an integer within 2^53")
		}
		return strconv.AppendInt(out, n, 10), nil
	case []any:
		return appendArray(out, v)
	case map[string]any:
		return appendObject(out, v)
	}
	return nil, fmt.Errorf("a value of type %T has no place in this format", v)
}

func appendArray(out []byte, values []any) ([]byte, error) {
	var err error
	out = append(out, '[')
	for i, v := range values {
		if i > 0 {
			out = append(out, ',')
		}
		if out, err = appendValue(out, v); err != nil {
			return nil, err
		}
	}
	return append(out, ']'), nil
}

func appendObject(out []byte, fields map[string]any) ([]byte, error) {
	var err error
	out = append(out, '{')
	for i, name := range slices.Sorted(maps.Keys(fields)) {
		if i > 0 {
			out = append(out, ',')
		}
		out = append(appendString(out, name), ':')
		if out, err = appendValue(out, fields[name]); err != nil {
			return nil, err
		}
	}
	return append(out, '}'), nil
}

// appendString escapes what RFC 8785, section 3.2.2.2, says and nothing else.
func appendString(out []byte, s string) []byte {
	const short = "\b\t\n\f\r"
	const letters = "btnfr"
	out = append(out, '"')
	for i := range len(s) {
		c := s[i]
		at := bytes.IndexByte([]byte(short), c)
		switch {
		case c == '"' || c == '\\':
			out = append(out, '\\', c)
		case at >= 0:
			out = append(out, '\\', letters[at])
		case c < ' ':
			out = fmt.Appendf(out, `\u%04x`, c)
		default:
			out = append(out, c)
		}
	}
	return append(out, '"')
}

// wholeSecond is the form in which every format here writes a time: UTC, cut off.
func wholeSecond(t time.Time) time.Time { return t.UTC().Truncate(time.Second) }
