package webhook

import (
	"context"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"
)

// answers counts what was answered. How long it took the API server tells
// (apiserver_admission_webhook_admission_duration_seconds), network and all.
type answers struct{ total *prometheus.CounterVec }

func newMetrics(registry prometheus.Registerer) (answers, error) {
	a := answers{prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "lethe_admission_answers_total",
		Help: "Answers to the API server by webhook and what was answered: allowed, warned, refused.",
	}, []string{"webhook", "answer"})}
	if err := registry.Register(a.total); err != nil {
		return answers{}, fmt.Errorf("register the metrics of the webhooks: %w", err)
	}
	return a, nil
}

func (a answers) counted(name string, next admission.Handler) admission.Handler {
	return admission.HandlerFunc(func(ctx context.Context, request admission.Request) admission.Response {
		response := next.Handle(ctx, request)
		answer := "allowed"
		switch {
		case !response.Allowed:
			answer = "refused"
		case len(response.Warnings) > 0:
			answer = "warned"
		}
		a.total.WithLabelValues(name, answer).Inc()
		return response
	})
}
