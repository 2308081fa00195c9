package objectstoretest

import (
	"context"
	"fmt"

	"github.com/lethe-dev/lethe/controllers/objectstore"
)

// Fault makes one call fail.
type Fault struct {
	// Call is its number, from 1, counted from the moment the fault was set. Each
	// request counts: a page of a listing, a batch of removals.
	Call int
	// After lets the call take effect first, as when its answer is lost.
	After bool
	// Crash fails all calls from then on, until SetDown(false): the caller died.
	Crash bool
	// Err is what the call gives; nil for objectstore.ErrUnavailable.
	Err error
}

type faults struct {
	calls  int
	fault  Fault
	down   error
	ofKeys map[[2]string]error
}

// SetFault sets the only fault, or none for Fault{}, and counts calls anew.
func (s *Store) SetFault(f Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults.calls, s.faults.fault = 0, f
}

// Calls says how many calls there were since the last SetFault.
func (s *Store) Calls() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.faults.calls
}

// SetDown makes all calls fail with objectstore.ErrUnavailable, or no longer.
func (s *Store) SetDown(down bool) {
	if down {
		s.FailAll(objectstore.ErrUnavailable)
		return
	}
	s.FailAll(nil)
}

// FailAll makes all calls fail with err; with nil, no longer.
func (s *Store) FailAll(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults.down = err
}

// FailKey keeps the versions of one key from being removed; with nil, no longer.
func (s *Store) FailKey(bucketName, key string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.faults.ofKeys == nil {
		s.faults.ofKeys = map[[2]string]error{}
	}
	s.faults.ofKeys[[2]string{bucketName, key}] = err
}

// Corrupt changes one byte of the current object, whose size stays.
func (s *Store) Corrupt(bucketName, key string) {
	s.damage(bucketName, key, func(data []byte) []byte {
		data[len(data)/2] ^= 0xff
		return data
	})
}

// Truncate takes away the second half of the current object.
func (s *Store) Truncate(bucketName, key string) {
	s.damage(bucketName, key, func(data []byte) []byte { return data[:len(data)/2] })
}

func (s *Store) damage(bucketName, key string, how func([]byte) []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	v := s.buckets[bucketName].current(key)
	v.data = how(append([]byte(nil), v.data...))
}

func (f *faults) ofKey(bucketName, key string) error { return f.ofKeys[[2]string{bucketName, key}] }

// call counts a call and lets it take effect, unless it is to fail.
func (s *Store) call(ctx context.Context, what string, effect func() error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	s.faults.calls++
	if s.faults.down != nil {
		return fmt.Errorf("%s: %w", what, s.faults.down)
	}
	f := s.faults.fault
	if f.Call != s.faults.calls {
		return wrap(what, effect())
	}
	if f.Err == nil {
		f.Err = objectstore.ErrUnavailable
	}
	if f.Crash {
		s.faults.down = f.Err
	}
	if f.After {
		if err := effect(); err != nil {
			return wrap(what, err)
		}
	}
	return fmt.Errorf("%s: %w", what, f.Err)
}

func wrap(what string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", what, err)
}
