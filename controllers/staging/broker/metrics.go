package broker

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"
)

// Results of writes in metrics.
const (
	writeDone     = "written"
	writeConflict = "conflict"
	writeFailed   = "failed"
)

// metrics are the broker's. Their labels are bounded: no caller can make up a value.
type metrics struct {
	answers  *prometheus.CounterVec
	writes   *prometheus.CounterVec
	logBytes prometheus.Counter
}

func newMetrics() *metrics {
	return &metrics{
		answers: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "lethe_broker_answers_total",
			Help: "Answers of the broker by path and reason; the reason OK is a grant.",
		}, []string{"path", "reason"}),
		writes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "lethe_broker_status_writes_total",
			Help: "Writes of progress and checkpoints into the statuses of runs, by result; a conflict is tried again.",
		}, []string{"result"}),
		logBytes: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "lethe_broker_log_bytes_total",
			Help: "Bytes of trainers' output that the broker has handed to their pods.",
		}),
	}
}

// register registers everything, and how many runs are remembered.
func (m *metrics) register(with prometheus.Registerer, remembered func() int) error {
	return errors.Join(with.Register(m.answers), with.Register(m.writes), with.Register(m.logBytes),
		with.Register(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "lethe_broker_remembered_runs",
			Help: "Runs whose progress the broker keeps in memory.",
		}, func() float64 { return float64(remembered()) })))
}
