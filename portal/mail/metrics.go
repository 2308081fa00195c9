package mail

import (
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/lethe-dev/lethe/portal"
)

// Reasons for which a mail is given up.
const (
	reasonBroken  = "broken"  // it can't be rendered
	reasonLate    = "late"    // its link has expired, or it has waited for GiveUpAfter
	reasonRefused = "refused" // there is no such mailbox, or no try is left
)

type metrics struct {
	sent     *prometheus.CounterVec
	failures *prometheus.CounterVec
	givenUp  *prometheus.CounterVec
	success  prometheus.Gauge
}

func newMetrics(into prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		sent: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "lethe_portal_mails_sent_total",
			Help: "Mails that the mail server has taken, by kind.",
		}, []string{"kind"}),
		failures: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "lethe_portal_mail_failures_total",
			Help: "Deliveries that failed, by how far they got (connect, sender, recipient, data).",
		}, []string{"stage"}),
		givenUp: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "lethe_portal_mails_given_up_total",
			Help: "Mails that are not tried any more, by why (broken, late, refused).",
		}, []string{"reason"}),
		success: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "lethe_portal_mail_last_success_timestamp_seconds",
			Help: "When the mail server last took a mail; 0: not since the start.",
		}),
	}
	for _, kind := range portal.MailKinds() {
		m.sent.WithLabelValues(string(kind)).Add(0)
	}
	for _, stage := range []Stage{StageConnect, StageSender, StageRecipient, StageData} {
		m.failures.WithLabelValues(string(stage)).Add(0)
	}
	for _, reason := range []string{reasonBroken, reasonLate, reasonRefused} {
		m.givenUp.WithLabelValues(reason).Add(0)
	}
	if into == nil {
		return m, nil
	}
	var errs []error
	for _, c := range []prometheus.Collector{m.sent, m.failures, m.givenUp, m.success} {
		errs = append(errs, into.Register(c))
	}
	return m, errors.Join(errs...)
}

// stageOf is the label of a failure.
func stageOf(err error) string {
	var refusal *Refusal
	if errors.As(err, &refusal) {
		return string(refusal.Stage)
	}
	return string(StageConnect)
}

func seconds(t time.Time) float64 { return float64(t.UnixNano()) / 1e9 }
