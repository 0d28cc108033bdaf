// timersN: N goroutines, each sleeping K times between 1 and 100 ms (uniform, the same
// durations for every peer).  lateness_p99_us: how long after its time a sleep ended.
// ops: sleeps; what counts is cpu_ns_per_op, the wall time is mostly the sleeping.
package main

import (
	"sync"
	"time"

	"rt0/perf/peers/go/report"
)

// duration is the k-th sleep of goroutine i, ns: a hash (splitmix64) into 1..100 ms.
func duration(i, k int) int64 {
	x := uint64(i)*0x9e3779b97f4a7c15 + uint64(k)*0xd1b54a32d192ed03
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	x ^= x >> 31
	return int64(1000000 + x%99000000)
}

func main() {
	args := report.Args("goroutines", "sleeps-each")
	n, each := args[0], args[1]
	late := make([]int64, n*each)
	var wg sync.WaitGroup
	wg.Add(n)
	clock := report.Start()
	for i := 0; i < n; i++ {
		i := i
		go func() {
			for k := 0; k < each; k++ {
				d := duration(i, k)
				t := time.Now()
				time.Sleep(time.Duration(d))
				late[i*each+k] = int64(time.Since(t)) - d
			}
			wg.Done()
		}()
	}
	wg.Wait()
	span := clock.Stop()
	report.CheckNoneEarly(late)
	report.Line("timers"+report.Short(n), n*each, span,
		report.KV{Key: "sleeps_per_s", Value: float64(n*each) / span.Wall},
		report.KV{Key: "lateness_p50_us", Value: report.Percentile(late, 0.50) / 1e3},
		report.KV{Key: "lateness_p99_us", Value: report.Percentile(late, 0.99) / 1e3})
}
