package transfer

import (
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/lethe-dev/lethe/controllers/objectstore"
	"github.com/lethe-dev/lethe/controllers/staging"
	"github.com/lethe-dev/lethe/controllers/staging/agent"
)

// canary is a key that nothing may show.
const canary = "Canary-of-exactly-32-bytes-here!"

func keyID(t *testing.T, raw string) string {
	t.Helper()
	key, err := objectstore.NewKey([]byte(raw))
	if err != nil {
		t.Fatal(err)
	}
	return key.ID()
}

// TestFilesAreSentUnderTheDatasetsKeyOrNotAtAll: whatever the broker says, nothing goes
// to the store under another key than the one that is destroyed with the dataset.
func TestFilesAreSentUnderTheDatasetsKeyOrNotAtAll(t *testing.T) {
	t.Parallel()
	const other = "Another-canary-of-just-32-bytes!"
	cases := map[string]struct {
		granted string
		keyID   string
		says    string // of the error; empty if all is well
		is      error
	}{
		"its key":                  {granted: canary, keyID: keyID(t, canary)},
		"no key, as it has none":   {},
		"none, though it has one":  {keyID: keyID(t, canary), says: "gave no key", is: ErrDenied},
		"one, though it has none":  {granted: canary, says: "to be under no key", is: ErrDenied},
		"another one than its own": {granted: other, keyID: keyID(t, canary), says: "gave the key " + keyID(t, other), is: ErrDenied},
		"one that is none":         {granted: canary[:31], keyID: keyID(t, canary), says: "31 bytes"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, dir := newWorld(), t.TempDir()
			write(t, dir, map[string]string{"a": "data"})
			w.key = []byte(tc.granted)
			folder, err := Survey(dir)
			if err != nil {
				t.Fatal(err)
			}
			journal, err := OpenJournal(t.TempDir(), "uid", false)
			if err != nil {
				t.Fatal(err)
			}
			to := dataset
			to.KeyID = tc.keyID
			_, err = Upload(t.Context(), w.options(), to, folder, journal)
			if tc.says == "" {
				if err != nil || len(w.objects) != 2 || string(w.connected[0].EncryptionKey) != tc.granted {
					t.Errorf("got %v and %d objects, want both under the key", err, len(w.objects))
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), tc.says) || (tc.is != nil && !errors.Is(err, tc.is)) {
				t.Errorf("error: got %v, want %v with %q", err, tc.is, tc.says)
			}
			if len(w.objects) > 0 || len(w.connected) > 0 {
				t.Error("something was sent all the same")
			}
			told := fmt.Sprintf("%v %+v %v", err, err, w.notices)
			for _, raw := range []string{canary, canary[:31], other} {
				for _, form := range []string{raw, hex.EncodeToString([]byte(raw)), base64.RawStdEncoding.EncodeToString([]byte(raw))} {
					if strings.Contains(told, form) {
						t.Errorf("the error shows the key: %s", told)
					}
				}
			}
		})
	}
}

func TestAKeyWithoutTLSIsExplained(t *testing.T) {
	t.Parallel()
	w, dir := newWorld(), t.TempDir()
	write(t, dir, map[string]string{"a": "data"})
	w.key = []byte(canary)
	folder, err := Survey(dir)
	if err != nil {
		t.Fatal(err)
	}
	journal, err := OpenJournal(t.TempDir(), "uid", false)
	if err != nil {
		t.Fatal(err)
	}
	o := w.options()
	o.Connect = func(grant staging.StoreGrant, credentials agent.CredentialsFunc, connections int) (agent.Store, error) {
		grant.Endpoint, grant.InsecurePlaintext = "http://store", true
		return agent.ConnectStore(grant, credentials, connections)
	}
	to := dataset
	to.KeyID = keyID(t, canary)
	_, err = Upload(t.Context(), o, to, folder, journal)
	if err == nil || !strings.Contains(err.Error(), "Give the store a certificate") {
		t.Errorf("error: got %v, want what to do", err)
	}
}
