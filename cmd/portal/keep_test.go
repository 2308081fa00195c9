package main

import (
	"crypto/tls"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/lethe-dev/lethe/hack/portaldemo/stand"
)

// TestARestoredBackupServes: a copy made while the portal runs, put in another place with
// the same keys, lets the same people in with both factors.
func TestARestoredBackupServes(t *testing.T) {
	t.Parallel()
	settings := []string{"--hash-memory=19"}
	dir := t.TempDir()
	first := runPortal(t, stand.Options{Dir: dir, Settings: settings})
	const email = "ada@people.example"
	person := newVisitor(t, first)
	person.signUp(first, email)
	person.goes(person.post(first.URL+"/sign-in", "email", email, "password", herons), "/account")
	seed := person.enrol(first)

	other := t.TempDir()
	if _, err := first.Command(t.Context(), "backup", filepath.Join(other, "portal.db")); err != nil {
		t.Fatal(err)
	}
	if _, err := first.Command(t.Context(), "backup", filepath.Join(other, "portal.db")); err == nil {
		t.Error("a backup wrote over another one")
	}
	keys, err := os.ReadFile(filepath.Join(dir, "portal.keys"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(other, "portal.keys"), keys, 0o600); err != nil {
		t.Fatal(err)
	}
	second := runPortal(t, stand.Options{Dir: other, Settings: settings})
	again := newVisitor(t, second)
	again.goes(again.post(second.URL+"/sign-in", "email", email, "password", herons), "/sign-in/code")
	again.goes(again.post(second.URL+"/sign-in/code", "code", codeAt(t, seed, 0)), "/account")
}

// TestKeysAreRotatedWhilePeopleSignIn, without a restart: the running portal takes the new
// file, seeds are sealed anew, the password moves at the next sign-in, and when the old key
// is gone, whoever has an account and whoever has none are still answered alike.
func TestKeysAreRotatedWhilePeopleSignIn(t *testing.T) {
	t.Parallel()
	s := runPortal(t, stand.Options{Settings: []string{"--hash-memory=19"}})
	const email = "ada@people.example"
	person := newVisitor(t, s)
	person.signUp(s, email)
	person.goes(person.post(s.URL+"/sign-in", "email", email, "password", herons), "/account")
	seed := person.enrol(s)

	command := func(fails string, args ...string) {
		t.Helper()
		_, err := s.Command(t.Context(), args...)
		if fails == "" && err != nil {
			t.Fatal(err)
		}
		if fails != "" && (err == nil || !strings.Contains(err.Error(), fails)) {
			t.Fatalf("portal %s: %v, want %q", strings.Join(args, " "), err, fails)
		}
	}
	command("", "keys", "rotate")
	logged(t, s, `"what":"the key file"`, 1)
	command("1 seeds of authenticator apps are still sealed", "keys", "retire", "k1")
	command("", "keys", "reseal")
	command("1 passwords still need k1", "keys", "retire", "k1")
	again := newVisitor(t, s)
	again.goes(again.post(s.URL+"/sign-in", "email", email, "password", herons), "/sign-in/code")
	again.goes(again.post(s.URL+"/sign-in/code", "code", codeAt(t, seed, 0)), "/account")
	command("", "keys", "retire", "k1")
	logged(t, s, `"what":"the key file"`, 2)

	stranger := newVisitor(t, s)
	known := stranger.post(s.URL+"/sign-in", "email", email, "password", "not the password of anybody")
	unknown := stranger.post(s.URL+"/sign-in", "email", "nobody@people.example", "password", "not the password of anybody")
	if known.status != http.StatusUnauthorized || unknown.status != known.status {
		t.Errorf("a known address is answered %d, an unknown one %d", known.status, unknown.status)
	}
	again.goes(again.post(s.URL+"/sign-out"), "/sign-in")
	again.goes(again.post(s.URL+"/sign-in", "email", email, "password", herons), "/sign-in/code")
	again.goes(again.post(s.URL+"/sign-in/code", "code", codeAt(t, seed, 1)), "/account")
}

// logged waits until the log has some words so many times, while somebody visits: files are
// looked at when they are needed.
func logged(t *testing.T, s *stand.Stand, words string, times int) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	ticker := time.NewTicker(100 * time.Millisecond)
	defer ticker.Stop()
	for strings.Count(s.Log(), words) < times {
		if time.Now().After(deadline) {
			t.Fatalf("the log never had %s %d times", words, times)
		}
		newVisitor(t, s).post(s.URL+"/sign-in", "email", "nobody@people.example", "password", "x")
		<-ticker.C
	}
}

// TestOldTLSIsRefused, and so is a request without any.
func TestOldTLSIsRefused(t *testing.T) {
	t.Parallel()
	s := runPortal(t, stand.Options{Settings: []string{"--hash-memory=19"}})
	dialer := tls.Dialer{Config: &tls.Config{RootCAs: s.Certificate.Pool, ServerName: "localhost", MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}}
	if conn, err := dialer.DialContext(t.Context(), "tcp", s.Address); err == nil {
		_ = conn.Close()
		t.Error("TLS 1.1 was taken")
	}
	if answer := newVisitor(t, s).get("http://" + s.Address + "/"); answer.status != http.StatusBadRequest {
		t.Errorf("a request in the clear is answered %d", answer.status)
	}
}
