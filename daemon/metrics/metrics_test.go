package metrics_test

import (
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/fobd/fobd/daemon"
	"github.com/fobd/fobd/daemon/metrics"
)

func TestMetrics(t *testing.T) {
	m := metrics.New()
	m.Watch(func() daemon.Stats {
		return daemon.Stats{Keys: 3, Busy: 2, Running: 5, Waiting: 1, Subscribers: 7, Agents: 4, Leases: 6, Grants: 8}
	})
	m.Operation(daemon.Observation{Operation: "touch", Result: "ok", Decision: "allow", Took: 20 * time.Millisecond})
	m.Operation(daemon.Observation{Operation: "touch", Result: "key-gone", Decision: "allow", Took: time.Second})
	m.Operation(daemon.Observation{Operation: "reset", Result: "denied", Decision: "deny"})
	m.Waited(2 * time.Second)
	m.Touched(3 * time.Second)
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	got := w.Body.String()
	for _, want := range []string{
		`fobd_operations_total{operation="touch",result="ok"} 1`,
		`fobd_operations_total{operation="touch",result="key-gone"} 1`,
		`fobd_operations_total{operation="reset",result="denied"} 1`,
		`fobd_operation_duration_seconds_bucket{operation="touch",le="0.05"} 1`,
		`fobd_key_faults_total{fault="key-gone"} 1`,
		`fobd_decisions_total{decision="allow"} 2`,
		`fobd_decisions_total{decision="deny"} 1`,
		"fobd_queue_wait_seconds_sum 2", "fobd_touch_seconds_sum 3",
		"fobd_keys 3", "fobd_keys_busy 2", "fobd_operations_running 5", "fobd_operations_waiting 1",
		"fobd_event_subscribers 7", "fobd_agents 4", "fobd_leases 6", "fobd_grants 8",
		"process_resident_memory_bytes",
	} {
		if !strings.Contains(got, want+"\n") && !strings.Contains(got, want+" ") {
			t.Errorf("no %s in\n%s", want, got)
		}
	}
}
