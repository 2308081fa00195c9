package main

import (
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

// metrics of the process and its HTTP server. Labels are bounded: a route is its pattern,
// never a path, and whatever matches none is "none".
type metrics struct {
	registry  *prometheus.Registry
	requests  *prometheus.CounterVec
	durations *prometheus.HistogramVec
	underWay  prometheus.Gauge
	errors    *prometheus.CounterVec
}

func newMetrics() *metrics {
	m := &metrics{
		registry: prometheus.NewRegistry(),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "lethe_portal_http_requests_total", Help: "Requests answered, by method, pattern of the route and status.",
		}, []string{"method", "route", "status"}),
		durations: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "lethe_portal_http_request_duration_seconds", Help: "Time to answer, by pattern of the route.",
			Buckets: []float64{0.005, 0.025, 0.1, 0.25, 0.5, 1, 2.5, 10, 30},
		}, []string{"route"}),
		underWay: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "lethe_portal_http_requests_under_way", Help: "Requests that are being answered.",
		}),
		errors: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "lethe_portal_http_server_errors_total", Help: "Errors below the handlers, such as TLS handshakes that failed, by kind.",
		}, []string{"kind"}),
	}
	m.registry.MustRegister(m.requests, m.durations, m.underWay, m.errors,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// gauge registers a value that is read when metrics are.
func (m *metrics) gauge(name, help string, read func() float64) {
	m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, read))
}

func (m *metrics) countError(kind string) { m.errors.WithLabelValues(kind).Inc() }

func (m *metrics) observe(method, route string, status int, took time.Duration) {
	m.requests.WithLabelValues(method, route, strconv.Itoa(status)).Inc()
	m.durations.WithLabelValues(route).Observe(took.Seconds())
}

// boundedMethod is the method as a label: clients may send any word.
func boundedMethod(method string) string {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions:
		return method
	default:
		return "other"
	}
}
