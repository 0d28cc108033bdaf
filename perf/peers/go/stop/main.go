// stopN: stopping and restarting the world beside N loops that yield about once a millisecond: GOMAXPROCS up and down by one.
// ops: stops; each is timed.
package main

import (
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"rt0/perf/peers/go/report"
)

func main() {
	args := report.Args("loops", "stops")
	n, stops := args[0], args[1]
	procs := runtime.GOMAXPROCS(0)
	var stop, looping int64
	var wg sync.WaitGroup
	wg.Add(n)
	for i := 0; i < n; i++ {
		go func() {
			atomic.AddInt64(&looping, 1)
			for atomic.LoadInt64(&stop) == 0 {
				for k := 0; k < 2_000_000; k++ {
				}
				runtime.Gosched()
			}
			wg.Done()
		}()
	}
	for atomic.LoadInt64(&looping) < int64(n) {
		runtime.Gosched()
	}
	took := make([]int64, stops)
	clock := report.Start()
	for i := range took {
		time.Sleep(2 * time.Millisecond)
		t := time.Now()
		former := runtime.GOMAXPROCS(procs + (i+1)%2)
		took[i] = int64(time.Since(t))
		if now := runtime.GOMAXPROCS(0); former != procs+i%2 || now != procs+(i+1)%2 {
			report.Fail("%d Ps and then %d", former, now)
		}
	}
	span := clock.Stop()
	atomic.StoreInt64(&stop, 1)
	wg.Wait()
	report.Line("stop"+report.Short(n), stops, span,
		report.KV{Key: "p50_us", Value: report.Percentile(took, 0.50) / 1e3},
		report.KV{Key: "p90_us", Value: report.Percentile(took, 0.90) / 1e3},
		report.KV{Key: "p99_us", Value: report.Percentile(took, 0.99) / 1e3},
		report.KV{Key: "max_us", Value: report.Percentile(took, 1) / 1e3})
}
