package main

import (
	"time"

	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	ctrlconfig "sigs.k8s.io/controller-runtime/pkg/config"
)

// The replicas and their leader. A leader that is killed has told nobody; another replica
// takes over when it has seen no renewal for a leaseDuration. It looks every retryPeriod,
// stretched at random up to 2.2 times: once late to see the last renewal, and once late to
// see that the lease is over. So it takes leaseDuration + 4.4 retryPeriod at most, which is
// to stay below takeover. client-go's usual 15 s, 10 s and 2 s would take up to 23.8 s.
//
// A leader that can not renew gives up by itself, retryPeriod + renewDeadline after its
// last renewal, before anybody else may begin. It ends its process then.
const (
	leaseDuration = 13 * time.Second
	renewDeadline = 9 * time.Second
	retryPeriod   = 1500 * time.Millisecond

	// takeover is how long nobody leads at most after the leader was killed; config/README.md
	// promises it.
	takeover = 20 * time.Second
)

// shutdown is how long everything that runs may take to end in order: the broker 10 s, for
// requests and for what it holds back of progress, beside the reconcilers. The lease is
// released after that, and the process has to be over before the kubelet kills it: with
// the preStop pause this is less than terminationGracePeriodSeconds of the Deployment.
const shutdown = 20 * time.Second

// elect makes one replica of several lead, and the others ready to: their caches are
// filled and their queues known before they lead. What writes into the cluster waits until
// then, but for the broker.
func elect(cfg config, options *ctrl.Options) {
	options.LeaderElection = cfg.leaderElect
	options.LeaderElectionID = "manager.lethe.dev"
	options.LeaderElectionNamespace = cfg.namespace
	options.LeaseDuration, options.RenewDeadline, options.RetryPeriod = ptr.To(leaseDuration), ptr.To(renewDeadline), ptr.To(retryPeriod)
	// Nothing is written after the context ends, so the lease may go at once
	// and a rollout loses no time.
	options.LeaderElectionReleaseOnCancel = true
	options.GracefulShutdownTimeout = ptr.To(shutdown)
	options.Controller = ctrlconfig.Controller{EnableWarmup: ptr.To(true)}
}
