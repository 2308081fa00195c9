package freeport

import (
	"errors"
	"net"
	"path/filepath"
	"testing"
)

// TestClaimGivesEachAddressOnce also listens on what it got: one that the kernel
// would give to somebody else is of no use.
func TestClaimGivesEachAddressOnce(t *testing.T) {
	t.Parallel()
	given := map[string]bool{}
	for range 200 {
		address, err := Claim()
		if err != nil {
			t.Fatal(err)
		}
		if given[address] {
			t.Fatalf("%s was given twice", address)
		}
		given[address] = true
		listener, err := net.Listen("tcp", address)
		if err != nil {
			t.Fatalf("listen on what was claimed: %v", err)
		}
		defer func() { _ = listener.Close() }()
	}
}

func TestClaimLeavesWhatIsTaken(t *testing.T) {
	t.Parallel()
	locks := t.TempDir()
	address, err := Claim()
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	if err := claim(filepath.Join(locks, "a"), address); !errors.Is(err, errTaken) {
		t.Errorf("a port somebody listens on: %v, want %v", err, errTaken)
	}
	const unused = "127.0.0.1:0"
	if err := claim(filepath.Join(locks, "b"), unused); err != nil {
		t.Fatal(err)
	}
	if err := claim(filepath.Join(locks, "b"), unused); !errors.Is(err, errTaken) {
		t.Errorf("a port that is locked: %v, want %v", err, errTaken)
	}
}
