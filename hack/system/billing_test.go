package system_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/lethe-dev/lethe/api/v1alpha1"
)

// billingGrace is the lab's (config/lab).
const billingGrace = 15 * time.Second

// TestTenantSuspended: who does not pay starts nothing new; what runs goes on for the grace,
// and stops at a checkpoint; who pays again, goes on by himself.
func TestTenantSuspended(t *testing.T) {
	t.Parallel()
	if err := loadUnruly(); err != nil {
		t.Fatal(err)
	}
	ns := newTenant(t, 1)
	upload(t, ns, "digits")
	create(t, unruly(ns, "rich", 80, nil, hardware(1, 1)))
	before := waitCheckpoint(t, ns, "rich", 1)
	setBilling(t, ns, v1alpha1.BillingSuspended, 0)
	suspended := time.Now()
	create(t, unruly(ns, "poor", 4, nil, hardware(1, 1)))
	run := waitRunReason(t, ns, "poor", v1alpha1.ReasonPaymentRequired)
	if run.Status.State != v1alpha1.RunPending || len(podsOf(t, ns, "poor")) > 0 {
		t.Errorf("the run is %s, want it to wait without Pods", outline(run.Status))
	}
	stopped := waitRun(t, ns, "rich", v1alpha1.RunSuspended)
	if stopped.Status.Reason != v1alpha1.ReasonPaymentRequired || newestStep(stopped.Status) <= newestStep(before.Status) {
		t.Errorf("the run stopped as %s, want it to have gone on from step %d to a last checkpoint", outline(stopped.Status), newestStep(before.Status))
	}
	// The grace begins when the operator notes it, in whole seconds.
	if after := time.Since(suspended); after < billingGrace-time.Second {
		t.Errorf("the run was stopped after %s, within the grace of %s", after, billingGrace)
	}
	setBilling(t, ns, v1alpha1.BillingActive, 1)
	rich := waitRun(t, ns, "rich", v1alpha1.RunSucceeded)
	assertAttempts(t, rich, v1alpha1.AttemptSuspended, v1alpha1.AttemptSucceeded)
	assertResumed(t, rich, 2, int(newestStep(stopped.Status)), 80)
	if rich.Status.ChargedAttempts != 0 {
		t.Errorf("%d attempts are charged for a suspension", rich.Status.ChargedAttempts)
	}
	waitRun(t, ns, "poor", v1alpha1.RunSucceeded)
}

// setBilling changes whether a tenant pays, and waits for its quota to have so many GPUs.
func setBilling(t *testing.T, ns string, state v1alpha1.Billing, gpus int64) {
	t.Helper()
	setNamespace(t, ns, fmt.Sprintf(`{"metadata":{"annotations":{%q:%q}}}`, v1alpha1.AnnotationBilling, state))
	eventually(t, fmt.Sprintf("the quota to have %d GPUs", gpus), func(context.Context) (bool, string, error) {
		got := boundsOf(t, ns).Quota["requests.nvidia.com/gpu"]
		return got.Value() == gpus, got.String(), nil
	})
}
