package main

import (
	"os"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/yaml"
)

// jitter is by how many percent client-go stretches a pause at most (JitterFactor).
const jitter = time.Duration(100 * leaderelection.JitterFactor)

// TestTakeoverIsInTime also when the other replica looks at the lease as late as it can.
func TestTakeoverIsInTime(t *testing.T) {
	t.Parallel()
	look := retryPeriod + retryPeriod*jitter/100
	if latest := look + leaseDuration + look; latest > takeover {
		t.Errorf("nobody leads for up to %s, want %s at most", latest, takeover)
	}
}

// TestLeaderGivesUpInTime: the one that can not renew is silent before another leads. A
// try to renew may begin a retryPeriod after the last one that succeeded.
func TestLeaderGivesUpInTime(t *testing.T) {
	t.Parallel()
	const apart = 2 * time.Second
	if silent := retryPeriod + renewDeadline; silent+apart > leaseDuration {
		t.Errorf("the leader gives up after %s, want it %s before %s", silent, apart, leaseDuration)
	}
}

func TestReplicasElect(t *testing.T) {
	t.Parallel()
	var options ctrl.Options
	elect(config{leaderElect: true, namespace: "lethe-system"}, &options)
	if !options.LeaderElection || options.LeaderElectionNamespace != "lethe-system" || !options.LeaderElectionReleaseOnCancel {
		t.Errorf("leader election %+v", options)
	}
	if !ptr.Deref(options.Controller.EnableWarmup, false) {
		t.Error("the replica that does not lead is not ready to")
	}
}

// TestKubeletWaitsForTheEnd: the Deployment gives the operator the time that it takes.
func TestKubeletWaitsForTheEnd(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../config/manager/deployment.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var deployment appsv1.Deployment
	if err := yaml.UnmarshalStrict(text, &deployment); err != nil {
		t.Fatal(err)
	}
	pod := deployment.Spec.Template.Spec
	lifecycle := pod.Containers[0].Lifecycle
	if lifecycle == nil || lifecycle.PreStop == nil || lifecycle.PreStop.Sleep == nil {
		t.Fatal("the operator is stopped while it is still asked")
	}
	pause := time.Duration(lifecycle.PreStop.Sleep.Seconds) * time.Second
	if grace := time.Duration(ptr.Deref(pod.TerminationGracePeriodSeconds, 30)) * time.Second; grace < pause+shutdown+time.Second {
		t.Errorf("the kubelet kills it after %s, want more than the pause of %s and the %s for its end", grace, pause, shutdown)
	}
}
