package main

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"galley/engine"
)

// metrics are what Prometheus can ask for. Gauges come from the status at the moment of the asking.
type metrics struct {
	registry *prometheus.Registry
	status   *statusWriter
	took     prometheus.Histogram
	failures prometheus.Counter

	services, up, restarts, engine, success, images *prometheus.Desc
}

func newMetrics(status *statusWriter) *metrics {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("galley_"+name, help, labels, nil)
	}
	m := &metrics{
		registry: prometheus.NewRegistry(),
		status:   status,
		took: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "galley_convergence_duration_seconds",
			Help:    "How long convergences that changed something, and succeeded, took.",
			Buckets: prometheus.ExponentialBuckets(0.1, 2, 12),
		}),
		failures: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "galley_convergence_failures_total",
			Help: "How many convergences failed.",
		}),
		services: desc("services", "How many services are in each state.", "state"),
		up:       desc("service_up", "Whether a service is up, or completed.", "service"),
		restarts: desc("service_restarts_total", "How often containers of a service came back after their end.", "service"),
		engine:   desc("engine_up", "Whether the Engine can be reached."),
		success:  desc("last_success_timestamp_seconds", "When something was last changed with success."),
		images:   desc("image_bytes", "Size of the images that the project's containers use, on disk."),
	}
	m.registry.MustRegister(m, m.took, m.failures,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// note counts convergences.
func (m *metrics) note(n engine.Note) {
	switch n.Kind {
	case engine.NoteConverged:
		m.took.Observe(n.Took.Seconds())
	case engine.NoteFailed:
		m.failures.Inc()
	}
}

// Describe names what Collect gives, for the registry.
func (m *metrics) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{m.services, m.up, m.restarts, m.engine, m.success, m.images} {
		to <- d
	}
}

// Collect gives what the status says now.
func (m *metrics) Collect(to chan<- prometheus.Metric) {
	s := m.status.status()
	gauge := func(d *prometheus.Desc, value float64, labels ...string) {
		to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
	}
	states := map[string]int{}
	for _, phase := range phases() {
		states[string(phase)] = 0
	}
	for _, one := range s.Services {
		states[one.State]++
		gauge(m.up, truth(isGood(one.State)), one.Name)
		to <- prometheus.MustNewConstMetric(m.restarts, prometheus.CounterValue, float64(one.Restarts), one.Name)
	}
	for state, n := range states {
		gauge(m.services, float64(n), state)
	}
	gauge(m.engine, truth(s.Engine.Error == "" && s.Engine.Host != ""))
	gauge(m.images, float64(m.status.bytes()))
	if s.Converged != nil {
		gauge(m.success, float64(s.Converged.UnixNano())/1e9)
	}
}

func truth(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}

// phases are all states that a service can have.
func phases() []engine.Phase {
	return []engine.Phase{
		engine.PhaseUp, engine.PhaseCompleted, engine.PhaseStarting, engine.PhaseWaiting,
		engine.PhaseRestarting, engine.PhaseFailed, engine.PhaseStopped, engine.PhaseUnknown,
	}
}
