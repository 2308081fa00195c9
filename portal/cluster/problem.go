package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/lethe-dev/lethe/portal"
)

// again is when it is worth to ask an API server again that was away.
const again = 5 * time.Second

// problem turns an error of the API server into one with words for people. What is
// refused for its content is KindInvalid, with the form's field; what may pass by itself is
// KindUnavailable; what is the operator's own mistake (a right that the portal lacks, a
// kind that is not installed) stays KindInternal, for the log.
func problem(act string, err error) error {
	if err == nil {
		return nil
	}
	err = fmt.Errorf("%s: %w", act, err)
	var status apierrors.APIStatus
	if !errors.As(err, &status) {
		if errors.Is(err, context.Canceled) || apimeta.IsNoMatchError(err) {
			return err
		}
		return away(err) // no answer at all
	}
	said := status.Status()
	switch {
	case apierrors.IsNotFound(err):
		return notThere(said, err)
	case apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause):
		return &portal.Error{Kind: portal.KindConflict, Message: "Your place in the cluster is being deleted, so nothing new is made in it.", Err: err}
	case apierrors.IsConflict(err), anotherUID(said):
		return &portal.Error{Kind: portal.KindConflict, Message: portal.ErrConflict.Message, Err: err}
	case apierrors.IsInvalid(err), denied(said):
		return refused(said, err)
	case said.Code == http.StatusTooManyRequests, said.Code >= http.StatusInternalServerError, apierrors.IsTimeout(err):
		return away(err)
	}
	return err
}

// away says that it is worth trying later.
func away(err error) error {
	wait := again
	if seconds, suggested := apierrors.SuggestsClientDelay(err); suggested && seconds > 0 {
		wait = time.Duration(seconds) * time.Second
	}
	return &portal.Error{
		Kind: portal.KindUnavailable, RetryAfter: wait, Err: err,
		Message: "The cluster does not answer at the moment. Nothing is lost; try again in a little while.",
	}
}

// notThere tells an object that is missing from a namespace that is not made yet, and from
// a kind that is not installed.
func notThere(said metav1.Status, err error) error {
	switch {
	case apierrors.HasStatusCause(err, metav1.CauseTypeUnexpectedServerResponse):
		return err
	case said.Details != nil && said.Details.Kind == "namespaces":
		return &portal.Error{
			Kind: portal.KindUnavailable, RetryAfter: again, Err: err,
			Message: "Your place in the cluster is being made. Try again in a moment.",
		}
	}
	return &portal.Error{Kind: portal.KindNotFound, Message: portal.ErrNotFound.Message, Err: err}
}

// anotherUID reports whether a patch was meant for another object of that name: custom
// resources answer so, where others answer with a conflict.
func anotherUID(said metav1.Status) bool {
	return said.Details != nil && slices.ContainsFunc(said.Details.Causes, func(c metav1.StatusCause) bool { return c.Field == "metadata.uid" })
}

// Words that the API server puts before those of a policy, of a webhook, and of a quota.
const (
	policyDenied  = " denied request: "
	webhookDenied = " denied the request: "
	quotaDenied   = "exceeded quota: "
)

// denied reports whether admission refused what was sent for its content.
func denied(said metav1.Status) bool {
	return strings.Contains(said.Message, policyDenied) || strings.Contains(said.Message, webhookDenied) ||
		strings.Contains(said.Message, quotaDenied)
}

// refused tells what was wrong with what was sent: the first cause that belongs to a field
// of a form, otherwise the first.
func refused(said metav1.Status, err error) error {
	chosen := metav1.StatusCause{Message: said.Message}
	if said.Details != nil && len(said.Details.Causes) > 0 {
		chosen = said.Details.Causes[0]
		for _, cause := range said.Details.Causes {
			if formField(cause) != "" {
				chosen = cause
				break
			}
		}
	}
	field := formField(chosen)
	if strings.Contains(said.Message, quotaDenied) {
		return &portal.Error{Kind: portal.KindInvalid, Err: err, Message: "You have as many of these as you may have. Delete one that you don't need any more, then try again."}
	}
	return &portal.Error{Kind: portal.KindInvalid, Field: field, Message: sentence(words(chosen.Message)), Err: err}
}

// words are what the API server says without what it puts before it.
func words(message string) string {
	for _, before := range []string{policyDenied, webhookDenied} {
		if _, after, found := strings.Cut(message, before); found {
			message = after
		}
	}
	if rest, is := strings.CutPrefix(message, "Invalid value: "); is {
		message = withoutValue(rest)
	}
	return strings.TrimSpace(message)
}

// withoutValue takes the value away that the API server puts before a field's error, as
// JSON. Not all have one.
func withoutValue(text string) string {
	decoder := json.NewDecoder(strings.NewReader(text))
	var value any
	if err := decoder.Decode(&value); err != nil {
		return text
	}
	if after, is := strings.CutPrefix(text[decoder.InputOffset():], ": "); is {
		return after
	}
	return text
}

// sentence begins with a capital letter and ends with a full stop.
func sentence(text string) string {
	if text == "" {
		return "The cluster does not take this."
	}
	text = strings.ToUpper(text[:1]) + text[1:]
	if !strings.ContainsAny(text[len(text)-1:], ".!?") {
		text += "."
	}
	return text
}

// fields are the form's fields by the paths of the API, the longer first where one begins
// with another.
var fields = []struct{ path, field string }{
	{"spec.trainer.image", "image"},
	{"spec.trainer.command", "command"},
	{"spec.trainer.args", "args"},
	{"spec.trainer.env", "env"},
	{"spec.trainer.resources.cpu", "cpu"},
	{"spec.trainer.resources.memory", "memory"},
	{"spec.nodes.count", "nodes"},
	{"spec.nodes.gpusPerNode", "gpus"},
	{"spec.nodes.gpuProduct", "product"},
	{"spec.nodes", "gpus"},
	{"spec.limits.maxDuration", "max_duration"},
	{"spec.limits.maxGPUSeconds", "max_gpu_seconds"},
	{"spec.limits.startWithin", "start_within"},
	{"spec.limits.stalledAfter", "stalled_after"},
	{"spec.retry", "retries"},
	{"spec.checkpoint.interval", "checkpoint_every"},
	{"spec.checkpoint.keepLast", "keep_last"},
	{"spec.checkpoint.from", "resume_from"},
	{"spec.datasetRef.distribution", "sharded"},
	{"spec.datasetRef", "dataset"},
	{"spec.retention.afterTraining", "after_training"},
	{"spec.retention.maxAge", "max_age"},
}

// policies are the form's fields that admission policies are about.
var policies = map[string]string{
	"lethe-images": "image",
}

// formField is the form's field that a cause is about; "" for none.
func formField(cause metav1.StatusCause) string {
	for _, known := range fields {
		rest, is := strings.CutPrefix(cause.Field, known.path)
		if is && (rest == "" || rest[0] == '.' || rest[0] == '[') {
			return known.field
		}
	}
	for policy, field := range policies {
		if strings.Contains(cause.Message, "'"+policy+"'") {
			return field
		}
	}
	if strings.Contains(cause.Message, "at most 256 GPUs") {
		return "gpus"
	}
	return ""
}
