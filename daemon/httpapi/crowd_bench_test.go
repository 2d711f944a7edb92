package httpapi_test

import (
	"sync"
	"sync/atomic"
	"testing"

	"github.com/fobd/fobd/daemon/api"
	"github.com/fobd/fobd/daemon/client"
)

// BenchmarkCrowd lets 1,000 programs ask for touches of 8 keys that grant at once.
func BenchmarkCrowd(b *testing.B) {
	const programs, keys = 1000, 8
	names := []string{"a", "b", "c", "d", "e", "f", "g", "h"}
	var requests []api.EmulateAddRequest
	for _, name := range names[:keys] {
		requests = append(requests, api.EmulateAddRequest{Name: name})
	}
	h := open(b, requests...)
	var left atomic.Int64
	left.Store(int64(b.N))
	var running sync.WaitGroup
	b.ReportAllocs()
	b.ResetTimer()
	for i := range programs {
		running.Go(func() {
			c := client.New(h.socket)
			defer c.Close()
			for left.Add(-1) >= 0 {
				if err := c.Do(b.Context(), api.OpTouch, api.TouchRequest{Key: names[i%keys]}, nil, nil); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	running.Wait()
}
