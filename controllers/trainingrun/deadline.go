package trainingrun

import (
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/controllers/staging"
	"github.com/lethe-dev/lethe/controllers/trainingrun/resources"
)

// deadline is the time to give to a Job from its start. Seconds nil: none.
type deadline struct {
	Job     *batchv1.Job
	Seconds *int64
}

// clockOf is how far the trainers of an attempt have come.
type clockOf struct {
	// running is when the first of those that run has started; zero: none runs.
	running time.Time
	// ended is when the last of those that ended did so; zero: none has.
	ended time.Time
	// waiting says that a newest Pod of a node has not trained yet, or that there is none.
	waiting bool
}

func readClock(o observed) clockOf {
	var c clockOf
	for i := range o.Pods {
		s, ran := trainerSpan(&o.Pods[i], o.Now)
		switch {
		case ran && s.end == nil && (c.running.IsZero() || s.start.Time.Before(c.running)):
			c.running = s.start.Time
		case ran && s.end != nil && s.end.After(c.ended):
			c.ended = s.end.Time
		}
	}
	newest := o.newest()
	c.waiting = len(newest) < o.Run.Spec.Nodes.Size()
	for _, pod := range newest {
		done := container(pod, staging.ContainerTrainer).Terminated != nil
		c.waiting = c.waiting || !done || taken(pod)
	}
	c.waiting = c.waiting && c.running.IsZero()
	return c
}

// taken says that a Pod is on its way out, for another to come in its place.
func taken(pod *corev1.Pod) bool { return disrupted(pod) || !pod.DeletionTimestamp.IsZero() }

// remaining is how long the trainers may still run, from their start or from the end of
// the last ones. It reports false when no limit says.
func remaining(o observed) (time.Duration, bool) {
	limits, gpus := o.Run.Spec.Limits, o.Run.Spec.Nodes.GPUs()
	used := spentBefore(o, readClock(o).running)
	left, limited := time.Duration(0), false
	if limits.MaxDuration != nil {
		left, limited = limits.MaxDuration.Duration-time.Duration(used.TrainingSeconds)*time.Second, true
	}
	if limits.MaxGPUSeconds != nil && gpus > 0 {
		budget := time.Duration((*limits.MaxGPUSeconds-used.GPUSeconds)/gpus) * time.Second
		if !limited || budget < left {
			left, limited = budget, true
		}
	}
	return left, limited
}

// spentBefore is what was consumed before the trainers that run have started: what is
// settled, and what will be. With none running, it is all.
func spentBefore(o observed, start time.Time) v1alpha1.Usage {
	used := ptr.Deref(o.Run.Status.Usage, v1alpha1.Usage{})
	for _, pod := range o.open() {
		s, ran := trainerSpan(&pod, o.Now)
		if !ran || s.end == nil || !start.IsZero() && s.end.After(start) {
			continue
		}
		spent := charge(o, plan{}, &pod)
		used.GPUSeconds += spent.GPUSeconds
		used.TrainingSeconds += spent.TrainingSeconds
	}
	return used
}

// firstDeadline is what a new Job gets: the time to start, and what is left of the
// run's limits. nil: no limit needs one.
func firstDeadline(o observed) *time.Duration {
	left, limited := remaining(o)
	if !limited {
		return nil
	}
	return ptr.To(o.Run.Spec.Limits.Start() + max(left, 0))
}

// deadlineDue corrects the deadline of the Job, from what it may take at most to the
// exact time, as soon as a trainer runs; and back when its Pod was taken away and the
// next one has to start. It holds without the operator from then on. nil: it is right.
func deadlineDue(o observed) *deadline {
	job := o.ownJob()
	want, known := wantedDeadline(o, job)
	seconds := resources.Seconds(want)
	if !known || ptr.Equal(seconds, job.Spec.ActiveDeadlineSeconds) {
		return nil
	}
	return &deadline{Job: job, Seconds: seconds}
}

// wantedDeadline reports false when the one that the Job has will do.
func wantedDeadline(o observed, job *batchv1.Job) (want *time.Duration, known bool) {
	left, limited := remaining(o)
	began := jobStart(job)
	c := readClock(o)
	switch {
	case !limited:
		return nil, true
	case suspendedJob(job):
		return firstDeadline(o), true
	case !c.running.IsZero():
		return ptr.To(c.running.Sub(began) + max(left, 0)), true
	case c.waiting && c.ended.After(began):
		return ptr.To(c.ended.Sub(began) + o.Run.Spec.Limits.Start() + max(left, 0)), true
	case c.waiting:
		return firstDeadline(o), true
	}
	// The trainers have ended. What is left to do takes none of the limited time, so a
	// deadline that comes near, or an upload that takes long, is freed of it.
	current := job.Spec.ActiveDeadlineSeconds
	near := current != nil && began.Add(time.Duration(*current)*time.Second).Sub(o.Now) < time.Minute
	return nil, near || o.Now.Sub(c.ended) >= brief
}

// jobStart is when the time of a Job's deadline began to run.
func jobStart(job *batchv1.Job) time.Time {
	if job.Status.StartTime != nil {
		return job.Status.StartTime.Time
	}
	return job.CreationTimestamp.Time
}

func suspendedJob(job *batchv1.Job) bool { return ptr.Deref(job.Spec.Suspend, false) }

// startBy is how long the attempt may still wait for its trainer, and since when it has
// waited. It reports false when it does not wait.
func startBy(o observed) (left time.Duration, waits bool) {
	c := readClock(o)
	if !c.waiting {
		return 0, false
	}
	from := o.Job.CreationTimestamp.Time
	if c.ended.After(from) {
		from = c.ended
	}
	return o.Run.Spec.Limits.Start() - o.Now.Sub(from), true
}

// newest is the newest Pod of each node that has one, in the order of nodes.
func (o observed) newest() []*corev1.Pod {
	var pods []*corev1.Pod
	for node := range o.Run.Spec.Nodes.Size() {
		var last *corev1.Pod
		for i := range o.Pods {
			if int(nodeIndex(&o.Pods[i])) == node {
				last = &o.Pods[i]
			}
		}
		if last != nil {
			pods = append(pods, last)
		}
	}
	return pods
}
