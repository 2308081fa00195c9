package keyring_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lethe-dev/lethe/portal"
	"github.com/lethe-dev/lethe/portal/keyring"
	"github.com/lethe-dev/lethe/portal/portaltest"
)

const (
	wantMAC    = "16e98e0c891839aebc6437749e6db0776a7acc256cb896161df9ce4c9be564ad"
	wantPepper = "ce8e4543045594b86b9dff85cf2161503e233f5d0078173b465c5956baee3249"
	wantBox    = "000102030405060708090a0bffa641b0ec1a31969a77e7aba0724a8efdfc84ec"
)

func newFile(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "keys.json")
	if err := keyring.Create(path, portaltest.Random(1)); err != nil {
		t.Fatalf("create: %v", err)
	}
	return path
}

func load(t *testing.T, path string) *keyring.Ring {
	t.Helper()
	ring, err := keyring.Load(path)
	if err != nil {
		t.Fatalf("load: %v", err)
	}
	return ring
}

func rotate(t *testing.T, path string, seed uint64) {
	t.Helper()
	if err := keyring.Rotate(path, portaltest.Random(seed)); err != nil {
		t.Fatalf("rotate: %v", err)
	}
}

func seal(t *testing.T, ring *keyring.Ring, plain, context string) portal.Sealed {
	t.Helper()
	sealed, err := ring.Seal([]byte(plain), []byte(context))
	if err != nil {
		t.Fatalf("seal: %v", err)
	}
	return sealed
}

func TestASecretOpensOnlyInItsContextAndUnchanged(t *testing.T) {
	t.Parallel()
	ring := load(t, newFile(t))
	sealed := seal(t, ring, "seed", "factor and account")
	if bytes.Contains(sealed.Box, []byte("seed")) {
		t.Error("the secret is in the box as it is")
	}
	plain, err := ring.Open(sealed, []byte("factor and account"))
	if err != nil || string(plain) != "seed" {
		t.Errorf("open: got %q, %v", plain, err)
	}
	if again := seal(t, ring, "seed", "factor and account"); bytes.Equal(sealed.Box, again.Box) {
		t.Error("the same secret is sealed to the same box twice")
	}
	for name, test := range map[string]struct {
		sealed  portal.Sealed
		context string
		want    error
	}{
		"another context": {sealed, "another factor", keyring.ErrCannotOpen},
		"no context":      {sealed, "", keyring.ErrCannotOpen},
		"no box":          {portal.Sealed{KeyID: "k1"}, "factor and account", keyring.ErrCannotOpen},
		"a short box":     {portal.Sealed{KeyID: "k1", Box: sealed.Box[:12]}, "factor and account", keyring.ErrCannotOpen},
		"an unknown key":  {portal.Sealed{KeyID: "k2", Box: sealed.Box}, "factor and account", keyring.ErrUnknownKey},
		"no key":          {portal.Sealed{Box: sealed.Box}, "factor and account", keyring.ErrUnknownKey},
	} {
		if _, err := ring.Open(test.sealed, []byte(test.context)); !errors.Is(err, test.want) {
			t.Errorf("%s: want %v, got %v", name, test.want, err)
		}
	}
	for i := range sealed.Box {
		changed := portal.Sealed{KeyID: "k1", Box: bytes.Clone(sealed.Box)}
		changed.Box[i] ^= 1
		if _, err := ring.Open(changed, []byte("factor and account")); !errors.Is(err, keyring.ErrCannotOpen) {
			t.Errorf("byte %d changed: want %v, got %v", i, keyring.ErrCannotOpen, err)
		}
	}
}

func TestARotationGoesInSteps(t *testing.T) {
	t.Parallel()
	path := newFile(t)
	before := load(t, path)
	sealed := seal(t, before, "seed", "x")
	pepper, mac := mustPepper(t, before, "k1"), before.MAC("throttle", []byte("data"))

	rotate(t, path, 2)
	during := load(t, path)
	if diff := cmp.Diff([]string{"k1", "k2"}, during.IDs()); diff != "" {
		t.Errorf("keys (-want +got):\n%s", diff)
	}
	if during.Current() != "k2" || seal(t, during, "seed", "x").KeyID != "k2" {
		t.Error("the new key is not the current one")
	}
	if plain, err := during.Open(sealed, []byte("x")); err != nil || string(plain) != "seed" {
		t.Errorf("open what the old key sealed: got %q, %v", plain, err)
	}
	if diff := cmp.Diff(pepper, mustPepper(t, during, "k1")); diff != "" {
		t.Errorf("the old key's pepper changed (-want +got):\n%s", diff)
	}
	if bytes.Equal(pepper, mustPepper(t, during, "k2")) {
		t.Error("both keys have one pepper")
	}
	if during.MAC("throttle", []byte("data")) != mac {
		t.Error("the MAC changed with the rotation")
	}

	if err := keyring.Retire(path, "k1"); err != nil {
		t.Fatalf("retire: %v", err)
	}
	after := load(t, path)
	if _, err := after.Open(sealed, []byte("x")); !errors.Is(err, keyring.ErrUnknownKey) {
		t.Errorf("open what a retired key sealed: got %v", err)
	}
	if _, err := after.Pepper("k1", nil); !errors.Is(err, keyring.ErrUnknownKey) {
		t.Errorf("pepper with a retired key: got %v", err)
	}
	if after.MAC("throttle", []byte("data")) == mac {
		t.Error("the MAC is still the retired key's")
	}
}

func mustPepper(t *testing.T, ring *keyring.Ring, id string) []byte {
	t.Helper()
	pepper, err := ring.Pepper(id, []byte("password"))
	if err != nil {
		t.Fatalf("pepper: %v", err)
	}
	return pepper
}

func TestTheTenthKeyIsYoungerThanTheNinth(t *testing.T) {
	t.Parallel()
	path := newFile(t)
	mac := load(t, path).MAC("p", nil)
	for i := range uint64(10) {
		rotate(t, path, i+2)
	}
	ring := load(t, path)
	want := []string{"k1", "k2", "k3", "k4", "k5", "k6", "k7", "k8", "k9", "k10", "k11"}
	if diff := cmp.Diff(want, ring.IDs()); diff != "" {
		t.Errorf("keys (-want +got):\n%s", diff)
	}
	if ring.Current() != "k11" || ring.MAC("p", nil) != mac {
		t.Errorf("current is %s, or the oldest is not k1", ring.Current())
	}
	if err := keyring.Retire(path, "k2"); err != nil {
		t.Fatal(err)
	}
	rotate(t, path, 99)
	if got := load(t, path).Current(); got != "k12" {
		t.Errorf("a name is used again: %s", got)
	}
}

func TestPurposesHaveNothingInCommon(t *testing.T) {
	t.Parallel()
	ring := load(t, newFile(t))
	seen := map[string]string{}
	note := func(name string, value []byte) {
		if other, ok := seen[string(value)]; ok {
			t.Errorf("%s and %s are the same", name, other)
		}
		seen[string(value)] = name
	}
	data := []byte("password")
	for _, purpose := range []string{"", "a", "b", "lethe portal pepper 1", "lethe portal seal 1"} {
		sum := ring.MAC(purpose, data)
		note("MAC for "+purpose, sum[:])
	}
	note("pepper", mustPepper(t, ring, "k1"))
	other := ring.MAC("a", []byte("other data"))
	note("MAC of other data", other[:])
}

// These were computed by another program (in Python);
// what is in databases depends on them.
func TestKeysAreDerivedAsTheyAlwaysWere(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "keys.json")
	text := `{"current":"k1","keys":{"k1":"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="}}`
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	ring := load(t, path)
	mac := ring.MAC("throttle", []byte("data"))
	for name, got := range map[string][2]string{
		"MAC":    {wantMAC, hex.EncodeToString(mac[:])},
		"pepper": {wantPepper, hex.EncodeToString(mustPepper(t, ring, "k1"))},
	} {
		if got[0] != got[1] {
			t.Errorf("%s: want %s, got %s", name, got[0], got[1])
		}
	}
	box, err := hex.DecodeString(wantBox)
	if err != nil {
		t.Fatal(err)
	}
	if plain, err := ring.Open(portal.Sealed{KeyID: "k1", Box: box}, []byte("context")); err != nil || string(plain) != "seed" {
		t.Errorf("open: got %q, %v", plain, err)
	}
}

func TestARingIsPrintedWithoutItsKeys(t *testing.T) {
	t.Parallel()
	path := newFile(t)
	ring := load(t, path)
	key := strings.Split(string(read(t, path)), `"`)[9]
	if len(key) != 44 {
		t.Fatalf("the test looks for the wrong text: %q", key)
	}
	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "ring", ring, "value", *ring)
	all := log.String()
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%d", "%x", "%q"} {
		all += fmt.Sprintf(verb, ring) + fmt.Sprintf(verb, *ring)
	}
	if strings.Contains(all, key) || len(all) > 2000 {
		t.Errorf("printed: %s", all)
	}
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestManyUseARingAtOnce(t *testing.T) {
	t.Parallel()
	ring := load(t, newFile(t))
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			sealed, err := ring.Seal([]byte("seed"), nil)
			if err != nil {
				t.Error(err)
				return
			}
			if _, err := ring.Open(sealed, nil); err != nil {
				t.Error(err)
			}
			ring.MAC("p", nil)
		})
	}
	group.Wait()
}
