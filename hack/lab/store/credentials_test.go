package store

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestCredentialsAreMadeOnce(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "lab", "credentials.json")
	made, err := LoadCredentials(path)
	if err != nil {
		t.Fatalf("make credentials: %v", err)
	}
	again, err := LoadCredentials(path)
	if err != nil {
		t.Fatalf("load credentials: %v", err)
	}
	if diff := cmp.Diff(made, again); diff != "" {
		t.Errorf("the second time (-first +second):\n%s", diff)
	}
	for what, value := range map[string]string{
		"root": made.RootPassword, "operator": made.OperatorSecretKey, "auditor": made.AuditorSecretKey,
	} {
		if len(value) < 20 {
			t.Errorf("the secret of %s has %d characters", what, len(value))
		}
	}
	if made.AuditorAccessKey == made.OperatorAccessKey || made.AuditorSecretKey == made.OperatorSecretKey {
		t.Error("auditor and operator are one")
	}
}

func TestOlderCredentialsAreFilled(t *testing.T) {
	t.Parallel()
	old := Credentials{
		RootUser: "root", RootPassword: "p", OperatorAccessKey: "operator", OperatorSecretKey: "s", KMSKey: "k", EtcdKey: "e",
	}
	data, err := json.Marshal(old)
	if err != nil {
		t.Fatalf("encode: %v", err)
	}
	path := filepath.Join(t.TempDir(), "credentials.json")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatalf("write: %v", err)
	}
	filled, err := LoadCredentials(path)
	if err != nil {
		t.Fatalf("load credentials: %v", err)
	}
	want := old
	want.AuditorAccessKey, want.AuditorSecretKey = auditorName, filled.AuditorSecretKey
	if diff := cmp.Diff(want, filled); diff != "" || filled.AuditorSecretKey == "" {
		t.Errorf("credentials (-want +got):\n%s", diff)
	}
	saved, err := LoadCredentials(path)
	if err != nil {
		t.Fatalf("load credentials: %v", err)
	}
	if diff := cmp.Diff(filled, saved); diff != "" {
		t.Errorf("saved (-want +got):\n%s", diff)
	}
	if err := os.WriteFile(path, []byte("{"), 0o600); err != nil {
		t.Fatalf("write: %v", err)
	}
	if _, err := LoadCredentials(path); err == nil {
		t.Error("credentials that can not be read are replaced")
	}
}
