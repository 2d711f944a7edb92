// Package metrics counts what a daemon does, for Prometheus.
//
// It is for cmd/fobd, which makes it the engine's observer and serves it on the socket. Labels are names
// of operations, results and states, never of users, programs or sites: those are in the audit log.
package metrics

import (
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/fobd/fobd/daemon"
)

// Metrics implement [daemon.Observer]. They are made by [New].
type Metrics struct {
	registry   *prometheus.Registry
	operations *prometheus.CounterVec
	duration   *prometheus.HistogramVec
	wait       prometheus.Histogram
	touch      prometheus.Histogram
	faults     *prometheus.CounterVec
	decisions  *prometheus.CounterVec
}

var _ daemon.Observer = (*Metrics)(nil)

// New returns metrics in which nothing has been counted.
func New() *Metrics {
	const namespace = "fobd"
	// From what a key in software needs to what a person does.
	buckets := []float64{.0001, .0005, .001, .005, .01, .05, .1, .5, 1, 2, 5, 10, 20, 30, 60}
	m := &Metrics{
		registry: prometheus.NewRegistry(),
		operations: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: namespace, Name: "operations_total", Help: "Operations that have ended, by name and result (ok, or the code of the error).",
		}, []string{"operation", "result"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Namespace: namespace, Name: "operation_duration_seconds", Help: "How long operations took, with all waiting.", Buckets: buckets,
		}, []string{"operation"}),
		wait: prometheus.NewHistogram(prometheus.HistogramOpts{
			Namespace: namespace, Name: "queue_wait_seconds", Help: "How long operations waited for their turn at a key.", Buckets: buckets,
		}),
		touch: prometheus.NewHistogram(prometheus.HistogramOpts{
			Namespace: namespace, Name: "touch_seconds", Help: "How long keys waited for a person's touch.", Buckets: buckets,
		}),
		faults: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: namespace, Name: "key_faults_total", Help: "Operations that a key ended badly: key-gone, key-silent, key-error.",
		}, []string{"fault"}),
		decisions: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: namespace, Name: "decisions_total", Help: "What the policy, people and polkit said of operations.",
		}, []string{"decision"}),
	}
	m.registry.MustRegister(m.operations, m.duration, m.wait, m.touch, m.faults, m.decisions,
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), collectors.NewGoCollector())
	return m
}

// Watch adds what an engine has at the moment. It is called once.
func (m *Metrics) Watch(stats func() daemon.Stats) {
	for _, g := range []struct {
		name, help string
		value      func(daemon.Stats) int
	}{
		{"keys", "Keys that are attached.", func(s daemon.Stats) int { return s.Keys }},
		{"keys_busy", "Keys that an operation has taken.", func(s daemon.Stats) int { return s.Busy }},
		{"operations_running", "Operations that run, those that wait included.", func(s daemon.Stats) int { return s.Running }},
		{"operations_waiting", "Operations that wait for their turn at a key.", func(s daemon.Stats) int { return s.Waiting }},
		{"event_subscribers", "Programs that follow the events.", func(s daemon.Stats) int { return s.Subscribers }},
		{"agents", "Programs that show prompts.", func(s daemon.Stats) int { return s.Agents }},
		{"leases", "Leases that hold.", func(s daemon.Stats) int { return s.Leases }},
		{"grants", "Grants that hold.", func(s daemon.Stats) int { return s.Grants }},
	} {
		m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Namespace: "fobd", Name: g.name, Help: g.help}, func() float64 {
			return float64(g.value(stats()))
		}))
	}
}

// Handler serves the metrics in Prometheus' text form.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{})
}

// Operation implements [daemon.Observer].
func (m *Metrics) Operation(o daemon.Observation) {
	m.operations.WithLabelValues(o.Operation, o.Result).Inc()
	m.duration.WithLabelValues(o.Operation).Observe(o.Took.Seconds())
	if o.Decision != "" {
		m.decisions.WithLabelValues(o.Decision).Inc()
	}
	switch o.Result {
	case "key-gone", "key-silent", "key-error":
		m.faults.WithLabelValues(o.Result).Inc()
	}
}

// Waited implements [daemon.Observer].
func (m *Metrics) Waited(d time.Duration) { m.wait.Observe(d.Seconds()) }

// Touched implements [daemon.Observer].
func (m *Metrics) Touched(d time.Duration) { m.touch.Observe(d.Seconds()) }
