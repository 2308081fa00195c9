package broker

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lethe-dev/lethe/controllers/objectstore"
	"github.com/lethe-dev/lethe/controllers/staging"
	"github.com/lethe-dev/lethe/controllers/staging/brokerclient"
)

// fakeReceipts has one receipt, or fails.
type fakeReceipts struct{ err error }

func (f fakeReceipts) Read(_ context.Context, ns, uid string) ([]byte, string, error) {
	if f.err != nil {
		return nil, "", f.err
	}
	if ns != namespace || uid != datasetUID {
		return nil, "", objectstore.ErrNotFound
	}
	return []byte("{a signed receipt}\n"), "sha256:abc", nil
}

// receives makes a person ask who may read the receipts of the namespace.
func (w *world) receives(receipts Receipts) {
	w.token = humanToken
	w.access.allowed = append(w.access.allowed, "ada get datasetretentions.lethe.dev/receipt "+namespace+"/")
	w.options = func(o *Options) { o.Receipts = receipts }
}

func TestAReceiptIsGivenAsItLiesInTheStore(t *testing.T) {
	t.Parallel()
	w := newWorld()
	w.receives(fakeReceipts{})
	got, err := w.start(t).Receipt(t.Context(), namespace, datasetUID)
	if err != nil {
		t.Fatal(err)
	}
	want := staging.ReceiptAnswer{Envelope: []byte("{a signed receipt}\n"), Digest: "sha256:abc"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("receipt (-want +got):\n%s", diff)
	}
}

func TestReceiptsThatAreRefused(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		change         func(*world)
		namespace, uid string
		status         int
		reason         string
	}{
		"who may not read receipts gets none": {
			change:    func(w *world) { w.access.allowed = nil },
			namespace: namespace, uid: datasetUID, status: http.StatusForbidden, reason: staging.ProblemForbidden,
		},
		"the right in one namespace is none in another": {
			namespace: "team-b", uid: datasetUID, status: http.StatusForbidden, reason: staging.ProblemForbidden,
		},
		"a pod's token is no person's": {
			change:    func(w *world) { w.token = podToken },
			namespace: namespace, uid: datasetUID, status: http.StatusForbidden, reason: staging.ProblemForbidden,
		},
		"there is none before the erase is over": {
			namespace: namespace, uid: runUID, status: http.StatusNotFound, reason: staging.ProblemNotFound,
		},
		"a UID leads nowhere else in the bucket": {
			namespace: namespace, uid: "../chain/00000000000000000001", status: http.StatusBadRequest, reason: staging.ProblemMalformed,
		},
		"a namespace leads nowhere else in the bucket": {
			namespace: "chain/..", uid: datasetUID, status: http.StatusBadRequest, reason: staging.ProblemMalformed,
		},
		"a store that is away is worth another try": {
			change:    func(w *world) { w.receives(fakeReceipts{err: objectstore.ErrUnavailable}) },
			namespace: namespace, uid: datasetUID, status: http.StatusServiceUnavailable, reason: staging.ProblemUnavailable,
		},
		"a broker without receipts says so": {
			change:    func(w *world) { w.receives(nil) },
			namespace: namespace, uid: datasetUID, status: http.StatusNotFound, reason: staging.ProblemNotFound,
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld()
			w.receives(fakeReceipts{})
			if c.change != nil {
				c.change(w)
			}
			_, err := w.start(t).Receipt(t.Context(), c.namespace, c.uid)
			var problem *brokerclient.ProblemError
			if !errors.As(err, &problem) || problem.Problem.Status != c.status || problem.Problem.Reason != c.reason {
				t.Errorf("got %v, want %d %s", err, c.status, c.reason)
			}
		})
	}
}

// What goes wrong with the store stays with the operator.
func TestAReceiptThatCanNotBeReadIsLoggedAndNotTold(t *testing.T) {
	t.Parallel()
	w := newWorld()
	w.receives(fakeReceipts{err: errBroken})
	_, err := w.start(t).Receipt(t.Context(), namespace, datasetUID)
	if err == nil || strings.Contains(err.Error(), errBroken.Error()) {
		t.Errorf("the caller is told %v", err)
	}
	if !slices.ContainsFunc(w.logs(), func(line string) bool { return strings.Contains(line, errBroken.Error()) }) {
		t.Errorf("the log has %v", w.logs())
	}
}
