// hogN: N endless loops without any call, then a goroutine that sleeps 1 ms K times.
// first_ms: from the start of the loops until that goroutine runs at all;
// lateness: how long after its time a sleep ended.
// ops: sleeps.
package main

import (
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"rt0/perf/peers/go/report"
)

func main() {
	args := report.Args("loops", "sleeps")
	n, sleeps := args[0], args[1]
	var stop, looping int64
	var wg sync.WaitGroup
	wg.Add(n)
	begin := time.Now()
	for i := 0; i < n; i++ {
		go func() {
			atomic.AddInt64(&looping, 1)
			for atomic.LoadInt64(&stop) == 0 {
			}
			wg.Done()
		}()
	}
	for atomic.LoadInt64(&looping) < int64(n) {
		runtime.Gosched()
	}
	first := time.Since(begin)
	late := make([]int64, sleeps)
	const d = time.Millisecond
	clock := report.Start()
	for i := range late {
		t := time.Now()
		time.Sleep(d)
		late[i] = int64(time.Since(t) - d)
	}
	span := clock.Stop()
	atomic.StoreInt64(&stop, 1)
	wg.Wait()
	report.CheckNoneEarly(late)
	report.Line("hog"+report.Short(n), sleeps, span,
		report.KV{Key: "first_ms", Value: float64(first) / 1e6},
		report.KV{Key: "lateness_p50_us", Value: report.Percentile(late, 0.50) / 1e3},
		report.KV{Key: "lateness_p99_us", Value: report.Percentile(late, 0.99) / 1e3})
}
