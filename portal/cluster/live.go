package cluster

import (
	"cmp"
	"context"
	"io"
	"slices"
	"strconv"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/portal"
)

// trainer is the container whose output is a run's log.
const trainer = "trainer"

// maxEvents bounds how many events of a run are read; the API server forgets them after an
// hour.
const maxEvents = 500

// RunEvents gives what happened to a run, oldest first, as far as the cluster remembers.
func (c *Client) RunEvents(ctx context.Context, namespace, object string) ([]portal.RunEvent, error) {
	ctx, cancel := c.bounded(ctx)
	defer cancel()
	var found corev1.EventList
	err := c.live.List(ctx, &found, client.InNamespace(namespace), client.Limit(maxEvents),
		client.MatchingFields{"involvedObject.kind": "TrainingRun", "involvedObject.name": object})
	if err != nil {
		return nil, problem("list the events of a run", err)
	}
	events := make([]portal.RunEvent, 0, len(found.Items))
	for i := range found.Items {
		events = append(events, seenEvent(&found.Items[i]))
	}
	slices.SortStableFunc(events, func(a, b portal.RunEvent) int { return a.At.Compare(b.At) })
	return events, nil
}

func seenEvent(e *corev1.Event) portal.RunEvent {
	seen := portal.RunEvent{
		At: moment(&e.LastTimestamp), Warning: e.Type == corev1.EventTypeWarning,
		Reason: e.Reason, Message: e.Message, Count: max(int(e.Count), 1),
	}
	if seen.At.IsZero() {
		seen.At = e.EventTime.UTC()
	}
	if e.Series != nil {
		seen.At, seen.Count = e.Series.LastObservedTime.UTC(), max(int(e.Series.Count), 1)
	}
	return seen
}

// Logs gives what the run's trainer puts out, and goes on until it ends or the reader is
// closed; each line with its time before it (RFC 3339 with nanoseconds, and a space). It is
// the newest attempt's, on the first node. Lines of the very second of since may come
// again. ErrNotFound when no trainer has begun, or its Pod is gone.
func (c *Client) Logs(ctx context.Context, namespace, object string, since time.Time) (io.ReadCloser, error) {
	pod, err := c.trainerPod(ctx, namespace, object)
	if err != nil {
		return nil, err
	}
	options := &corev1.PodLogOptions{Container: trainer, Follow: true, Timestamps: true}
	if !since.IsZero() {
		options.SinceTime = &metav1.Time{Time: since}
	}
	// The stream may go on for days; only its beginning has a bound.
	ctx, cancel := context.WithCancel(ctx)
	overdue := time.AfterFunc(c.timeout, cancel)
	body, err := c.pods.CoreV1().Pods(namespace).GetLogs(pod, options).Stream(ctx)
	if !overdue.Stop() && err == nil {
		err = context.DeadlineExceeded
		_ = body.Close() // it gave nothing in time
	}
	switch {
	case err == nil:
		return stream{body, cancel}, nil
	case apierrors.IsBadRequest(err): // the container waits to start
		cancel()
		return nil, portal.ErrNotFound
	case ctx.Err() != nil:
		cancel()
		return nil, away(err)
	}
	cancel()
	return nil, problem("open the log of a run", err)
}

// stream ends its context when it is closed.
type stream struct {
	io.ReadCloser
	cancel context.CancelFunc
}

func (s stream) Close() error {
	s.cancel()
	return s.ReadCloser.Close()
}

// trainerPod names the Pod whose trainer counts.
func (c *Client) trainerPod(ctx context.Context, namespace, object string) (string, error) {
	ctx, cancel := c.bounded(ctx)
	defer cancel()
	var pods corev1.PodList
	if err := c.live.List(ctx, &pods, client.InNamespace(namespace), client.MatchingLabels{v1alpha1.LabelRun: object}); err != nil {
		return "", problem("list the Pods of a run", err)
	}
	first := slices.DeleteFunc(pods.Items, func(pod corev1.Pod) bool { return node(&pod) != 0 })
	if len(first) == 0 {
		return "", portal.ErrNotFound
	}
	newest := slices.MaxFunc(first, func(a, b corev1.Pod) int {
		return cmp.Or(cmp.Compare(attempt(&a), attempt(&b)), a.CreationTimestamp.Compare(b.CreationTimestamp.Time))
	})
	if !begun(&newest) {
		return "", portal.ErrNotFound
	}
	return newest.Name, nil
}

// node is the index that the Job controller gives; the Pod of a single node may have none.
func node(pod *corev1.Pod) int {
	return parsed(pod.Annotations[batchv1.JobCompletionIndexAnnotation], 0)
}

func attempt(pod *corev1.Pod) int { return parsed(pod.Labels[v1alpha1.LabelAttempt], 1) }

func parsed(text string, otherwise int) int {
	n, err := strconv.Atoi(text)
	if err != nil {
		return otherwise
	}
	return n
}

// begun says that the trainer runs or has run, so that it has a log.
func begun(pod *corev1.Pod) bool {
	for _, status := range pod.Status.ContainerStatuses {
		if status.Name == trainer {
			return status.State.Running != nil || status.State.Terminated != nil
		}
	}
	return false
}

// Offers gives the kinds of GPUs that the cluster has, by name. KindUnavailable until the
// watch has listed the nodes once.
func (c *Client) Offers(ctx context.Context) ([]portal.GPUOffer, error) {
	if !c.Synced() {
		return nil, &portal.Error{
			Kind: portal.KindUnavailable, RetryAfter: again,
			Message: "The cluster has not told yet which GPUs it has. Try again in a little while.",
		}
	}
	var nodes corev1.NodeList
	if err := c.cache.List(ctx, &nodes); err != nil {
		return nil, problem("list nodes", err)
	}
	return offers(nodes.Items), nil
}

// offers sums the GPUs of nodes up by their kind. Nodes that take no Pods are left out.
func offers(nodes []corev1.Node) []portal.GPUOffer {
	byKind := map[string]portal.GPUOffer{}
	for i := range nodes {
		n := &nodes[i]
		gpus := int(n.Status.Allocatable.Name(v1alpha1.ResourceGPU, "").Value())
		if n.Spec.Unschedulable || gpus <= 0 {
			continue
		}
		kind := n.Labels[v1alpha1.LabelGPUProduct]
		offer := byKind[kind]
		byKind[kind] = portal.GPUOffer{Product: kind, Total: offer.Total + gpus, PerNode: max(offer.PerNode, gpus)}
	}
	all := make([]portal.GPUOffer, 0, len(byKind))
	for _, offer := range byKind {
		all = append(all, offer)
	}
	slices.SortFunc(all, func(a, b portal.GPUOffer) int { return cmp.Compare(a.Product, b.Product) })
	return all
}
