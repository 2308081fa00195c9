// Package webhook answers the API server's questions about runs and datasets that are made
// or changed: what can never come to anything is refused, what is likely a mistake is
// warned of. The rules are in api/v1alpha1/validation; here is only how they are asked.
//
// # Why so little
//
// What must hold is no webhook's task, because a webhook holds only while it answers. Rules
// of one object are CEL in its CRD. Who may do what, what a tenant's Pods are, images,
// statuses and finalizers are ValidatingAdmissionPolicies (config/policies), which the API
// server evaluates by itself; so is the one default that is no constant, the run's
// finalizer, a MutatingAdmissionPolicy. So there is no mutating webhook: it would cost each
// run another call, and be one more thing that has to be up. What is left needs other
// objects, the operator's settings or the clock, and is said to people before it costs them
// a wait: everything that is refused here is also held by something else (package
// validation says by what).
//
// # How the API server is told (config/webhook)
//
//	failurePolicy      Ignore: while the operator is away, runs and datasets are made as
//	                   ever, only without the warnings; nothing that is promised depends on
//	                   it. Fail would make an operator that is down an outage of everybody,
//	                   and of its own recovery.
//	timeoutSeconds     2: an answer takes milliseconds. Who creates something waits for no
//	                   more than that when a node is lost; the work here stops before.
//	sideEffects        None: nothing is written, so that --dry-run=server asks too.
//	matchPolicy        Equivalent: an older or newer version of the API asks too.
//	rules              CREATE and UPDATE of the main resources. Not status, which is the
//	                   operator's. Not DELETE: nothing holds up a namespace that goes.
//	matchConditions    not the operator itself; of updates only those that change the spec,
//	                   so that finalizers, labels and owners cost no call.
//	namespaceSelector  not kube-*, and not the operator's own namespace: whatever happens
//	                   here, the cluster and the operator can be repaired. Not only
//	                   tenants' namespaces, because the warnings are for everybody.
//
// # Who may ask
//
// The API server shows no certificate to webhooks unless its own configuration says so, and
// who reaches the port could ask whether a dataset exists in any namespace whose name he
// knows. So questions are answered only under a path that cannot be guessed. The operator
// derives it from the key of its CA and writes it into the ValidatingWebhookConfiguration,
// which administrators and the API server read. All else is not found. It is never logged
// and no label of a metric.
//
// # Certificates
//
// The operator issues them itself, as it does for the broker: one CA in a Secret of its
// namespace, from which each replica mints its own certificate in memory, for a month, and
// another when half of that is over (controllers/staging/broker, Certificates). cert-manager
// would be a second operator that has to be there first; open-policy-agent/cert-controller
// keeps the serving key in a Secret, writes it into files, restarts the process for it and
// reads Secrets through a cache. What was there does less, and is tested. The package gets
// the certificates as a function and knows nothing of this.
//
// The Publisher writes CA and path into the ValidatingWebhookConfiguration, and the image
// policy into a ConfigMap (config/manager/images.yaml).
//
// # Looking twice
//
// Facts come from the cache, which costs the API server nothing. When they would give an
// error or a warning, they are read again from the API server itself, because an allowance
// that was raised, or a dataset that was made, a moment ago may not be in the cache yet.
// What can not be read is not known, and not held against anybody.
//
// Every replica answers, whoever leads.
package webhook
