package daemon

import (
	"context"
	"path/filepath"
	"testing"
	"time"
)

func newKeeper(t *testing.T) (Keeper, Spec) {
	t.Helper()
	dir := t.TempDir()
	k := Keeper{Dir: filepath.Join(dir, "run"), Marker: "LETHE_LAB_TEST=" + dir, Now: time.Now}
	s := Spec{Name: "sleeper", Exe: "/bin/sleep", Args: []string{"600"}, Log: filepath.Join(dir, "log")}
	t.Cleanup(func() {
		if err := k.Stop(context.Background(), s.Name); err != nil {
			t.Error(err)
		}
	})
	return k, s
}

func ensure(t *testing.T, k Keeper, s Spec) (did string, record Record) {
	t.Helper()
	did, err := k.Ensure(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	record, known, err := k.Record(s.Name)
	if err != nil || !known {
		t.Fatalf("no record after start: %v", err)
	}
	return did, record
}

func TestEnsureRestartsOnlyWhatDiffers(t *testing.T) {
	t.Parallel()
	k, s := newKeeper(t)
	did, first := ensure(t, k, s)
	if did != "started" || !first.Alive() {
		t.Fatalf("first: %s, alive %t", did, first.Alive())
	}
	if did, again := ensure(t, k, s); did != "running" || again.Process != first.Process {
		t.Errorf("same spec: %s, process %v, want %v", did, again.Process, first.Process)
	}
	s.Args = []string{"601"}
	did, changed := ensure(t, k, s)
	if did != "restarted" || changed.Process == first.Process || first.Alive() {
		t.Errorf("changed spec: %s, process %v, old one alive: %t", did, changed.Process, first.Alive())
	}
}

func TestStopForgetsTheComponentAndMayBeRepeated(t *testing.T) {
	t.Parallel()
	k, s := newKeeper(t)
	_, record := ensure(t, k, s)
	for range 2 {
		if err := k.Stop(t.Context(), s.Name); err != nil {
			t.Fatal(err)
		}
	}
	if record.Alive() {
		t.Error("still alive after stop")
	}
	if did, _ := ensure(t, k, s); did != "started" {
		t.Errorf("after stop: %s, want started", did)
	}
}

func TestFindKnowsAProcessByItsMarkerWithoutARecord(t *testing.T) {
	t.Parallel()
	k, s := newKeeper(t)
	_, record := ensure(t, k, s)
	found, err := Find(k.Marker, "no-such-cgroup")
	if err != nil {
		t.Fatal(err)
	}
	if len(found) != 1 || found[0] != record.Process {
		t.Errorf("found %v, want %v", found, record.Process)
	}
}
