package objectkey_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lethe-dev/lethe/api/objectkey"
)

func moment() time.Time { return time.Date(2026, 1, 2, 3, 4, 5, 6, time.FixedZone("", 3600)) }

func record() objectkey.LedgerRecord {
	return objectkey.LedgerRecord{
		Resource: objectkey.ResourceDataset, Namespace: "ns", UID: uid,
		Store: storeID, Bucket: "lethe-datasets", Prefix: objectkey.OwnerPrefix("ns", uid), KeyID: dataKey,
		CreatedTime: moment(), EraseBy: moment().AddDate(0, 0, 30),
	}
}

func events() map[string]objectkey.LedgerEvent {
	return map[string]objectkey.LedgerEvent{
		"held-20260102T020405Z":     {Event: objectkey.LedgerHeld, Time: moment(), Reason: "case 5\n\"<&>\u2028", Until: moment().AddDate(1, 0, 0)},
		"released-20260102T020405Z": {Event: objectkey.LedgerReleased, Time: moment()},
		"retained":                  {Event: objectkey.LedgerRetained, Time: moment()},
		"orphaned":                  {Event: objectkey.LedgerOrphaned, Time: moment()},
		"erased":                    {Event: objectkey.LedgerErased, Time: moment(), ReceiptDigest: objectkey.Digest(nil)},
	}
}

func TestLedgerIsThatOfTheGoldenFiles(t *testing.T) {
	t.Parallel()
	var all bytes.Buffer
	data, err := record().Encode()
	if err != nil {
		t.Fatalf("encode: %v", err)
	}
	all.WriteString(objectkey.LedgerRecordKey("ns", uid) + "\n" + string(data) + "\n")
	for _, name := range []string{"erased", "held-20260102T020405Z", "orphaned", "released-20260102T020405Z", "retained"} {
		e := events()[name]
		data, err := e.Encode()
		if err != nil {
			t.Fatalf("encode %s: %v", name, err)
		}
		key := objectkey.LedgerEventKey("ns", uid, e)
		if want := objectkey.OwnerPrefix("ns", uid) + name + ".json"; key != want {
			t.Errorf("key is %s, want %s", key, want)
		}
		all.WriteString(key + "\n" + string(data) + "\n")
	}
	wantGolden(t, "ledger.txt", all.Bytes())
}

func TestLedgerRoundTrip(t *testing.T) {
	t.Parallel()
	data, err := record().Encode()
	if err != nil {
		t.Fatalf("encode: %v", err)
	}
	got, err := objectkey.DecodeLedgerRecord(data)
	if err != nil {
		t.Fatalf("decode: %v", err)
	}
	want := record()
	want.Kind = objectkey.LedgerKind
	want.CreatedTime, want.EraseBy = want.CreatedTime.UTC().Truncate(time.Second), want.EraseBy.UTC().Truncate(time.Second)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("record (-want +got):\n%s", diff)
	}
	for name, want := range events() {
		data, err := want.Encode()
		if err != nil {
			t.Fatalf("encode %s: %v", name, err)
		}
		got, err := objectkey.DecodeLedgerEvent(data)
		if err != nil {
			t.Fatalf("decode %s: %v", name, err)
		}
		want.Kind = objectkey.LedgerKind
		want.Time, want.Until = want.Time.UTC().Truncate(time.Second), want.Until.UTC().Truncate(time.Second)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestLedgerEntriesThatDoNotMakeSense(t *testing.T) {
	t.Parallel()
	recordOf := func(change func(*objectkey.LedgerRecord)) func() ([]byte, error) {
		return func() ([]byte, error) { r := record(); change(&r); return r.Encode() }
	}
	eventOf := func(name string, change func(*objectkey.LedgerEvent)) func() ([]byte, error) {
		return func() ([]byte, error) { e := events()[name]; change(&e); return e.Encode() }
	}
	const held, released = "held-20260102T020405Z", "released-20260102T020405Z"
	for name, encode := range map[string]func() ([]byte, error){
		"a record of another format":      recordOf(func(r *objectkey.LedgerRecord) { r.Kind = "v9" }),
		"a record of a resource unknown":  recordOf(func(r *objectkey.LedgerRecord) { r.Resource = "pods" }),
		"a record of nobody":              recordOf(func(r *objectkey.LedgerRecord) { r.UID, r.Prefix = "", "ns//" }),
		"a record without store":          recordOf(func(r *objectkey.LedgerRecord) { r.Store = "" }),
		"a record without bucket":         recordOf(func(r *objectkey.LedgerRecord) { r.Bucket = "" }),
		"a record of another's place":     recordOf(func(r *objectkey.LedgerRecord) { r.Prefix = "ns/" }),
		"a record with the key itself":    recordOf(func(r *objectkey.LedgerRecord) { r.KeyID += r.KeyID }),
		"a record without time":           recordOf(func(r *objectkey.LedgerRecord) { r.CreatedTime = time.Time{} }),
		"an event of another format":      eventOf("erased", func(e *objectkey.LedgerEvent) { e.Kind = "v9" }),
		"an event unknown":                eventOf("erased", func(e *objectkey.LedgerEvent) { e.Event = "../record" }),
		"an event without time":           eventOf("orphaned", func(e *objectkey.LedgerEvent) { e.Time = time.Time{} }),
		"a hold without reason":           eventOf(held, func(e *objectkey.LedgerEvent) { e.Reason = "" }),
		"a hold without end":              eventOf(held, func(e *objectkey.LedgerEvent) { e.Until = time.Time{} }),
		"a reason longer than the API's":  eventOf(held, func(e *objectkey.LedgerEvent) { e.Reason = strings.Repeat("é", 257) }),
		"a reason that is not text":       eventOf(held, func(e *objectkey.LedgerEvent) { e.Reason = "\xff" }),
		"a reason of an erase":            eventOf("erased", func(e *objectkey.LedgerEvent) { e.Reason = "because" }),
		"an end of being retained":        eventOf("retained", func(e *objectkey.LedgerEvent) { e.Until = e.Time }),
		"an erase without receipt":        eventOf("erased", func(e *objectkey.LedgerEvent) { e.ReceiptDigest = "" }),
		"a receipt of what is not erased": eventOf(released, func(e *objectkey.LedgerEvent) { e.ReceiptDigest = objectkey.Digest(nil) }),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if data, err := encode(); data != nil || !errors.Is(err, objectkey.ErrBadLedger) {
				t.Errorf("got %d bytes and error %v, want %v", len(data), err, objectkey.ErrBadLedger)
			}
		})
	}
}

func TestLedgerDecodesStrictly(t *testing.T) {
	t.Parallel()
	data, err := record().Encode()
	if err != nil {
		t.Fatalf("encode: %v", err)
	}
	for name, bad := range map[string]string{
		"nothing":         "",
		"white space":     " " + string(data),
		"a line end":      string(data) + "\n",
		"another field":   strings.Replace(string(data), "{", `{"a":1,`, 1),
		"a field twice":   strings.Replace(string(data), "{", `{"bucket":"x",`, 1),
		"no kind":         strings.Replace(string(data), `"kind":"lethe.dev/ledger/v1",`, "", 1),
		"half of it":      string(data[:len(data)/2]),
		"something else":  `"record"`,
		"an event":        `{"event":"orphaned","kind":"lethe.dev/ledger/v1","time":"2026-01-02T03:04:05Z"}`,
		"no sense at all": strings.Replace(string(data), storeID, "", 1),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, err := objectkey.DecodeLedgerRecord([]byte(bad)); !errors.Is(err, objectkey.ErrBadLedger) {
				t.Errorf("got error %v, want %v", err, objectkey.ErrBadLedger)
			}
		})
	}
}

func TestValidateOwner(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		namespace, uid string
		ok             bool
	}{
		"an object":                 {"ns", uid, true},
		"a namespace called chain":  {"chain", uid, true},
		"no namespace":              {"", uid, false},
		"no UID":                    {"ns", "", false},
		"a namespace with a slash":  {"a/b", uid, false},
		"a way out":                 {"..", uid, false},
		"a UID with something more": {"ns", uid + "/", false},
		"a line more":               {"ns", uid + "\n", false},
		"a namespace that is long":  {strings.Repeat("a", 64), uid, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if err := objectkey.ValidateOwner(c.namespace, c.uid); (err == nil) != c.ok || (err != nil && !errors.Is(err, objectkey.ErrBadOwner)) {
				t.Errorf("got %v, want it to be good: %v", err, c.ok)
			}
		})
	}
}

// FuzzLedger: what is taken has one form.
func FuzzLedger(f *testing.F) {
	data, err := record().Encode()
	if err != nil {
		f.Fatalf("encode: %v", err)
	}
	f.Add(data)
	for name, e := range events() {
		data, err := e.Encode()
		if err != nil {
			f.Fatalf("encode %s: %v", name, err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if r, err := objectkey.DecodeLedgerRecord(data); err == nil {
			if again, err := r.Encode(); err != nil || !bytes.Equal(again, data) {
				t.Errorf("a record has another form: %v", err)
			}
		}
		if e, err := objectkey.DecodeLedgerEvent(data); err == nil {
			if again, err := e.Encode(); err != nil || !bytes.Equal(again, data) {
				t.Errorf("an event has another form: %v", err)
			}
		}
	})
}
