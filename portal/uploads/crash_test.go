package uploads_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/lethe-dev/lethe/portal"
	"github.com/lethe-dev/lethe/portal/uploads"
)

// crash is a world in which a person does one thing after the other, and the portal is
// killed at one of its calls to the database, the cluster or the store.
type crash struct {
	*world
	p  portal.Principal
	id portal.DatasetID
}

// act is what a person does; it may be done again.
type act func(s *uploads.Service) error

func (c *crash) acts() []act {
	ctx := c.t.Context()
	return []act{
		func(s *uploads.Service) error { _, err := s.Create(ctx, c.p, newDataset(c.id)); return err },
		func(s *uploads.Service) error { return upload(c.world, s, c.p, c.id, someFiles) },
		func(s *uploads.Service) error { _, err := s.Seal(ctx, c.p, c.id); return err },
		func(s *uploads.Service) error { _, err := s.Erase(ctx, c.p, c.id, true); return err },
	}
}

// dataset is its row, and whether there is one.
func (c *crash) dataset() (portal.Dataset, bool) {
	c.t.Helper()
	var d portal.Dataset
	err := c.store.Read(c.t.Context(), func(ctx context.Context, tx portal.Tx) error {
		found, err := tx.Dataset(ctx, c.p.Account.ID, c.id)
		d = found
		return err
	})
	if err != nil && !errors.Is(err, portal.ErrNotFound) {
		c.t.Fatal(err)
	}
	return d, err == nil
}

// rows counts the files that the database knows.
func (w *world) rows(d portal.Dataset) int64 {
	w.t.Helper()
	var count portal.FileCount
	err := w.store.Read(w.t.Context(), func(ctx context.Context, tx portal.Tx) error {
		found, err := tx.CountFiles(ctx, d.ID)
		count = found
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return count.Files
}

// promised fails unless all that was wished is so, and nothing is there twice.
func (c *crash) promised(ended int) {
	c.t.Helper()
	if len(c.objects) > 1 || len(c.tenants) > 1 {
		c.t.Errorf("there are %d datasets and %d tenants in the cluster", len(c.objects), len(c.tenants))
	}
	d, there := c.dataset()
	if !there {
		if ended > 0 {
			c.t.Error("a dataset that was made is not there")
		}
		return
	}
	object := c.objects[place(d.Namespace, d.ID.Object())]
	if object == nil || d.UID != object.uid {
		c.t.Fatalf("the row has the UID %q, the cluster %+v", d.UID, object)
	}
	switch {
	case d.Wish == portal.WishOpen && object.sealed, d.Wish != portal.WishErased && object.deleting:
		c.t.Errorf("nobody wished that: %s, %+v", d.Wish, object)
	case d.Wish == portal.WishSealed:
		c.sealed(d, someFiles)
		if left := c.rows(d); left != int64(len(someFiles)) {
			c.t.Errorf("%d rows of files are left of a dataset that is not verified yet", left)
		}
	case d.Wish == portal.WishErased && !object.deleting:
		c.t.Error("a dataset that is to be erased stays")
	}
	if want := []portal.DatasetWish{"", portal.WishOpen, portal.WishOpen, portal.WishSealed, portal.WishErased}[ended]; ended > 0 && rank(d.Wish) < rank(want) {
		c.t.Errorf("the wish is %s after act %d had succeeded", d.Wish, ended)
	}
}

func rank(w portal.DatasetWish) int {
	return map[portal.DatasetWish]int{portal.WishOpen: 1, portal.WishSealed: 2, portal.WishErased: 3}[w]
}

// TestKilledAnywhere kills the portal before and after each call that it makes while a
// dataset is made, uploaded, sealed and erased. Then another portal is started: what was
// wished is so after it has settled once, and the person can do the rest.
func TestKilledAnywhere(t *testing.T) {
	t.Parallel()
	for _, until := range []int{3, 4} { // without and with the erase
		for point := range callsOf(t, until) {
			for _, after := range []bool{false, true} {
				t.Run(fmt.Sprintf("%d acts, killed at call %d, after it: %t", until, point+1, after), func(t *testing.T) {
					t.Parallel()
					killAt(t, until, point+1, after)
				})
			}
		}
	}
}

// callsOf is how many calls the acts make when nobody kills the portal.
func callsOf(t *testing.T, until int) int {
	t.Helper()
	w := newWorld(t)
	c := &crash{world: w, p: w.person()}
	s := w.service(uploads.Options{})
	c.id = s.NewID()
	for i, act := range c.acts()[:until] {
		if err := act(s); err != nil {
			t.Fatalf("act %d: %v", i+1, err)
		}
	}
	if w.calls.made < 20 {
		t.Fatalf("%d calls: the acts do less than they should", w.calls.made)
	}
	return w.calls.made
}

func killAt(t *testing.T, until, point int, after bool) {
	t.Helper()
	w := newWorld(t)
	c := &crash{world: w, p: w.person()}
	s := w.service(uploads.Options{})
	c.id = s.NewID()
	w.calls.at, w.calls.after = point, after
	ended := 0
	for _, act := range c.acts()[:until] {
		if err := act(s); err != nil {
			if !w.calls.dead {
				t.Fatalf("act %d: %v", ended+1, err)
			}
			break
		}
		ended++
	}
	if !w.calls.dead {
		t.Fatal("the portal was not killed")
	}
	name := w.calls.names[len(w.calls.names)-1]

	w.calls = &calls{}
	restarted := w.service(uploads.Options{})
	if _, err := restarted.Settle(t.Context()); err != nil {
		t.Fatalf("settle: %v", err)
	}
	c.promised(ended)
	if d, there := c.dataset(); there && d.Wish == portal.WishErased {
		return
	}
	for i, act := range c.acts()[:until] {
		if d, _ := c.dataset(); i == 1 && d.Wish == portal.WishSealed {
			continue // the person sees that it is done
		}
		if err := act(restarted); err != nil {
			t.Fatalf("act %d, after a kill at %q: %v", i+1, name, err)
		}
	}
	c.promised(until)
}
