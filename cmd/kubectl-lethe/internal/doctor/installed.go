package doctor

import (
	"cmp"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/url"
	"slices"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/controllers/staging/discovery"
)

// apply is how most of what is missing comes back.
const apply = "install it: kubectl apply --server-side -k config/overlays/production (or the overlay that was installed)"

func checkKinds(f Facts) verdict {
	if f.Kinds.Err != nil {
		return unseen(f.Kinds.Err)
	}
	const crds = "bring the definitions up to date: kubectl apply --server-side -k config/crd"
	var wrong []string
	for _, name := range slices.Sorted(maps.Keys(kinds)) {
		kind, there := f.Kinds.Value[name]
		missing := slices.DeleteFunc(slices.Clone(kinds[name]), func(field string) bool { return kind.Fields[field] })
		switch {
		case !there:
			wrong = append(wrong, name+" is missing")
		case !slices.Contains(kind.Served, v1alpha1.GroupVersion.Version):
			wrong = append(wrong, name+" is not served in "+v1alpha1.GroupVersion.Version)
		case !kind.Established:
			wrong = append(wrong, name+" is not established")
		case len(missing) > 0:
			wrong = append(wrong, name+" is older than this program; it lacks "+strings.Join(missing, ", "))
		}
	}
	if len(wrong) > 0 {
		return fail(strings.Join(wrong, "; "), crds)
	}
	return pass("both are served in %s, with all the fields that this program knows", v1alpha1.GroupVersion.Version)
}

func checkOperator(f Facts) verdict {
	const watch = "see what its Pods say: kubectl -n lethe-system get pods,events; kubectl -n lethe-system logs deploy/lethe-manager"
	switch {
	case f.Operator.absent():
		return fail("there is no Deployment lethe-system/lethe-manager", apply)
	case f.Operator.Err != nil:
		return unseen(f.Operator.Err)
	}
	status, wanted := f.Operator.Value.Status, int32(1)
	if f.Operator.Value.Spec.Replicas != nil {
		wanted = *f.Operator.Value.Spec.Replicas
	}
	text := fmt.Sprintf("%d of %d replicas are ready", status.ReadyReplicas, wanted)
	switch {
	case wanted == 0:
		return fail("it is scaled to 0, so nobody erases data", "kubectl -n lethe-system scale deploy/lethe-manager --replicas=2")
	case status.ReadyReplicas < wanted:
		return fail(text+waiting(f.OperatorPods.Value), watch)
	case status.UpdatedReplicas < wanted || status.ObservedGeneration < f.Operator.Value.Generation:
		return fail(text+", and not all of them are of the newest version", "wait for it: kubectl -n lethe-system rollout status deploy/lethe-manager", watch)
	case wanted == 1:
		return pass("%s; while it restarts nobody gives out credentials. Two replicas mend that (config/overlays/production)", text)
	case !leads(&f.Operator.Value):
		return fail(text+", and none of them knows of the others", "start them with --leader-elect")
	}
	return pass("%s", text)
}

func leads(operator *appsv1.Deployment) bool {
	return slices.ContainsFunc(operator.Spec.Template.Spec.Containers, func(c corev1.Container) bool {
		return slices.Contains(c.Args, "--leader-elect") || slices.Contains(c.Args, "--leader-elect=true")
	})
}

// waiting says what the first container waits for that waits.
func waiting(pods []corev1.Pod) string {
	for i := range pods {
		for _, status := range pods[i].Status.ContainerStatuses {
			if w := status.State.Waiting; w != nil {
				return fmt.Sprintf("; Pod %s: %s %s", pods[i].Name, w.Reason, w.Message)
			}
		}
		for _, c := range pods[i].Status.Conditions {
			if c.Type == corev1.PodScheduled && c.Status == corev1.ConditionFalse {
				return fmt.Sprintf("; Pod %s has no node: %s", pods[i].Name, c.Message)
			}
		}
	}
	return ""
}

func checkLeader(f Facts) verdict {
	const logs = "look at its log: kubectl -n lethe-system logs deploy/lethe-manager"
	spec := f.Lease.Value.Spec
	switch {
	case f.Lease.absent():
		return fail("no replica has ever led, so nothing is reconciled", logs)
	case f.Lease.Err != nil:
		return unseen(f.Lease.Err)
	case spec.HolderIdentity == nil || *spec.HolderIdentity == "" || spec.RenewTime == nil || spec.LeaseDurationSeconds == nil:
		return fail("nobody leads", logs)
	}
	ago := f.Now.Sub(spec.RenewTime.Time)
	// Twice, because this machine's clock may not be the operator's.
	if ago > 2*time.Duration(*spec.LeaseDurationSeconds)*time.Second {
		return fail(fmt.Sprintf("%s led, and has not said so for %s", *spec.HolderIdentity, ago.Round(time.Second)), logs)
	}
	return pass("%s leads", *spec.HolderIdentity)
}

func checkPublished(f Facts) verdict {
	const restart = "see why the operator does not publish it: kubectl -n lethe-system logs deploy/lethe-manager"
	switch {
	case f.Published.absent():
		return fail("there is no ConfigMap kube-public/lethe-broker, so people's tools do not find the broker", apply)
	case f.Published.Err != nil:
		return unseen(f.Published.Err)
	}
	address, ca := f.Published.Value.Data[discovery.KeyURL], f.Published.Value.Data[discovery.KeyCA]
	if address == "" || ca == "" {
		return fail("the operator has not published its broker yet", restart)
	}
	if err := usable(ca, f.Now); err != nil {
		return fail("the published certificates: "+err.Error(), restart)
	}
	switch {
	case f.TrustBundle.absent():
		return fail("there is no ClusterTrustBundle lethe-broker, so no Pod of a run starts", restart)
	case f.TrustBundle.Err != nil:
		return unseen(f.TrustBundle.Err)
	case f.TrustBundle.Value.Spec.TrustBundle != ca:
		return fail("Pods and people are told different certificates", restart)
	}
	return pass("the broker is at %s, and Pods and people are told the same certificates", address)
}

// usable says what is wrong with certificates of authorities, PEM: one at least has to be
// good for a while.
func usable(text string, now time.Time) error {
	err := errors.New("there is none")
	for rest := []byte(text); ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			return err
		}
		certificate, parseErr := x509.ParseCertificate(block.Bytes)
		switch {
		case parseErr != nil:
			err = errors.New("they can not be read")
		case now.After(certificate.NotAfter):
			err = fmt.Errorf("they ended at %s", certificate.NotAfter.UTC().Format(time.RFC3339))
		default:
			return nil
		}
	}
}

func checkBroker(f Facts) verdict {
	address := f.Published.Value.Data[discovery.KeyURL]
	host := address
	if u, err := url.Parse(address); err == nil {
		host = cmp.Or(u.Hostname(), address)
	}
	err := f.Broker.Err
	var dns *net.DNSError
	switch {
	case err == nil:
		return pass("it answers at %s", address)
	case errors.Is(err, errNotLooked):
		return unknown("nobody has published where it is", "see the check published")
	case errors.As(err, &dns) && strings.HasSuffix(host, ".svc"), errors.As(err, &dns) && strings.HasSuffix(host, ".cluster.local"):
		return unknown(host+" is a name that only Pods know, so people can not upload from here",
			"to let people reach it, publish the Service lethe-broker (LoadBalancer, or a Gateway that passes TLS through) and start the operator with --broker-public-url",
			"or run this from a Pod of the cluster")
	}
	return fail("it does not answer at "+address+": "+err.Error(),
		"check the network between here and there; a proxy that ends TLS must pass it through instead",
		"see whether its replicas are ready: kubectl -n lethe-system get pods,endpointslices")
}

func checkHooks(f Facts) verdict {
	switch {
	case f.Hooks.absent():
		return fail("there is none, so nobody is warned of likely mistakes", apply)
	case f.Hooks.Err != nil:
		return unseen(f.Hooks.Err)
	}
	var there, wrong []string
	for _, hook := range f.Hooks.Value.Webhooks {
		there = append(there, hook.Name)
		if err := usable(string(hook.ClientConfig.CABundle), f.Now); err != nil {
			wrong = append(wrong, "the certificates of "+hook.Name+": "+err.Error())
		}
	}
	for _, name := range Hooks {
		if !slices.Contains(there, name) {
			wrong = append(wrong, name+" is missing")
		}
	}
	if len(wrong) > 0 {
		return fail(strings.Join(wrong, "; "), "see whether the operator is ready, which writes the certificates", apply)
	}
	return pass("%s are there, with certificates", strings.Join(Hooks, " and "))
}
