package rest

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/lethe-dev/lethe/portal"
)

// Bounds of what is sent, in bytes: a batch of files with long paths, and everything else.
const (
	maxFilesBody = 2 << 20
	maxBody      = 256 << 10
)

// reply is an answer with another status than 200.
type reply struct {
	status   int
	location string
	body     any
}

// created says that there is a thing now, and where; made by this request or by one like it
// before.
func created(location string, body any) reply {
	return reply{status: http.StatusCreated, location: location, body: body}
}

// stream is an answer that is written as it is made.
type stream func(w http.ResponseWriter)

// decodeBody reads the JSON that was sent.
func decodeBody[T any](r *request, most int64) (T, error) {
	var into T
	media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || media != "application/json" {
		return into, portal.Invalid("", "Send JSON, with Content-Type: application/json.")
	}
	text, err := io.ReadAll(io.LimitReader(r.Body, most+1))
	if err != nil {
		return into, &portal.Error{Kind: portal.KindInvalid, Message: "What was sent was cut off. Send it again.", Err: err}
	}
	if int64(len(text)) > most {
		return into, portal.Invalid("", "This is too large: at most "+portal.ByteSize(most)+" at once.")
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&into); err != nil {
		return into, notJSON(err)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return into, portal.Invalid("", "There is more after the JSON.")
	}
	return into, nil
}

// notJSON says what can't be read. Names in it are those of the document, or what was sent.
func notJSON(err error) error {
	var wrong *json.UnmarshalTypeError
	if errors.As(err, &wrong) && wrong.Field != "" {
		return &pointed{pointer: "/" + strings.ReplaceAll(wrong.Field, ".", "/"), err: portal.Invalid("", "This is a "+wrong.Value+", which it can't be.")}
	}
	if _, name, ok := strings.Cut(err.Error(), "unknown field "); ok {
		return portal.Invalid("", "There is no member "+name+" here. The document has those that there are.")
	}
	return portal.Invalid("", "This is not JSON that can be read.")
}

// pointed is an error with the place in the body that is at fault (RFC 6901).
type pointed struct {
	pointer string
	err     error
}

func (p *pointed) Error() string { return p.err.Error() }
func (p *pointed) Unwrap() error { return p.err }

// pointers are where the fields of use cases are in bodies.
var pointers = map[string]string{
	"name": "/name", "dataset": "/dataset", "files": "/files",
	"after_training": "/afterTrainingSeconds", "max_age": "/maxAgeSeconds",
	"image": "/spec/image", "command": "/spec/command", "args": "/spec/args", "env": "/spec/env",
	"cpu": "/spec/cpu", "memory": "/spec/memory", "nodes": "/spec/nodes", "gpus": "/spec/gpus", "product": "/spec/product",
	"sharded": "/spec/sharded", "max_duration": "/spec/maxDurationSeconds", "max_gpu_seconds": "/spec/maxGpuSeconds",
	"start_within": "/spec/startWithinSeconds", "stalled_after": "/spec/stalledAfterSeconds", "retries": "/spec/retries",
	"checkpoint_every": "/spec/checkpointEverySeconds", "keep_last": "/spec/keepLast", "resume_from": "/spec/resumeFrom",
}

// pointing gives the errors of a use case the places in the body that they are about.
func pointing(err error) error {
	var e *portal.Error
	if !errors.As(err, &e) || e.Kind != portal.KindInvalid {
		return err
	}
	var all []error
	for _, one := range apart(err) {
		var e *portal.Error
		if pointer, ok := "", false; errors.As(one, &e) {
			if pointer, ok = pointers[e.Field]; ok {
				one = &pointed{pointer: pointer, err: one}
			}
		}
		all = append(all, one)
	}
	return errors.Join(all...)
}

// apart are the errors of which one is joined, however deep.
func apart(err error) []error {
	for inner := err; inner != nil; inner = errors.Unwrap(inner) {
		switch inner.(type) { //nolint:errorlint // each layer is looked at
		case *portal.Error, *pointed:
			return []error{err} // what is below are causes of one thing
		}
		joined, ok := inner.(interface{ Unwrap() []error })
		if !ok {
			continue
		}
		var all []error
		for _, one := range joined.Unwrap() {
			all = append(all, apart(one)...)
		}
		return all
	}
	return []error{err}
}

// keyForm is what an Idempotency-Key may be.
var keyForm = regexp.MustCompile(`^[!-~]{1,200}$`)

// keyHeader names a request, so that it counts once however often it is sent.
const keyHeader = "Idempotency-Key"

// keyedID makes the ID of a thing out of the request's key: the same for the same account
// and key. "" without a key.
func keyedID[T ~string](r *request, kind string) (T, error) {
	values := r.Header.Values(keyHeader)
	if len(values) == 0 {
		return "", nil
	}
	if len(values) > 1 || !keyForm.MatchString(values[0]) {
		return "", portal.Invalid(keyHeader, "Idempotency-Key is 1 to 200 visible ASCII characters that you choose, once.")
	}
	sum := sha256.Sum256([]byte(kind + "\x00" + string(r.who.Account.ID) + "\x00" + values[0]))
	return portal.NewID[T](bytes.NewReader(sum[:])), nil
}

// maxMicros is the year 9999, which is as far as databases go.
const maxMicros = 253_402_300_799_999_999

var cursorID = regexp.MustCompile(`^[0-9a-zA-Z-]{1,64}$`)

// pageCursor reads where a page begins; a query without one begins at the start.
func pageCursor(r *request) (portal.PageCursor, error) {
	text := r.URL.Query().Get("after")
	if text == "" {
		return portal.PageCursor{}, nil
	}
	wrong := portal.Invalid("after", "after is the value of next of the page before, unchanged.")
	plain, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil {
		return portal.PageCursor{}, wrong
	}
	micros, id, _ := strings.Cut(string(plain), ".")
	at, err := strconv.ParseInt(micros, 10, 64)
	if err != nil || at <= 0 || at > maxMicros || strconv.FormatInt(at, 10) != micros || !cursorID.MatchString(id) {
		return portal.PageCursor{}, wrong
	}
	return portal.PageCursor{Time: time.UnixMicro(at).UTC(), ID: id}, nil
}

// cursorText writes a cursor for the caller; "" after the last page.
func cursorText(c portal.PageCursor) string {
	if c.ID == "" {
		return ""
	}
	return base64.RawURLEncoding.EncodeToString([]byte(strconv.FormatInt(c.Time.UnixMicro(), 10) + "." + c.ID))
}

// flag reads true or false of a query; false when it is not there.
func flag(r *request, name string) (bool, error) {
	switch r.URL.Query().Get(name) {
	case "", "false":
		return false, nil
	case "true":
		return true, nil
	default:
		return false, portal.Invalid(name, name+" is true or false.")
	}
}

// limitOf reads how much a page is to have.
func limitOf(r *request, most int) (int, error) {
	text := r.URL.Query().Get("limit")
	if text == "" {
		return most, nil
	}
	limit, err := strconv.Atoi(text)
	if err != nil || limit < 1 || limit > most {
		return 0, portal.Invalid("limit", "limit is a number from 1 to "+strconv.Itoa(most)+".")
	}
	return limit, nil
}

// longestSeconds is more than any window; what is longer would not fit in a time.Duration.
const longestSeconds = 1 << 33

// duration makes whole seconds a time; what can't be one is refused by the use case.
func duration(seconds int64) time.Duration {
	if seconds < -1 || seconds > longestSeconds {
		return -time.Second
	}
	return time.Duration(seconds) * time.Second
}

// moment is a time for JSON; nil for none.
func moment(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}

// Money is an amount.
type Money struct {
	// Micros is in millionths of the currency's unit.
	Micros   int64  `json:"micros"`
	Currency string `json:"currency"`
}

func moneyOf(m portal.Money) *Money { return &Money{Micros: m.Micros, Currency: m.Currency} }
