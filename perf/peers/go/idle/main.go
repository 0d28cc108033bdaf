// idle: 1000 goroutines parked on a channel, the main one in a long sleep, nothing to
// run.  cpu_percent of one processor, wakeups_per_s of all threads together.
// ops: milliseconds.
package main

import (
	"sync"
	"time"

	"rt0/perf/peers/go/report"
)

func main() {
	const parked = 1000
	ms := report.Args("milliseconds")[0]
	gate := make(chan struct{})
	var wg sync.WaitGroup
	ran := make(report.Roll, parked)
	wg.Add(parked)
	for i := 0; i < parked; i++ {
		i := i
		go func() {
			<-gate
			ran[i] = true
			wg.Done()
		}()
	}
	time.Sleep(200 * time.Millisecond) // until everything has come to rest
	woken := report.Wakeups()
	clock := report.Start()
	time.Sleep(time.Duration(ms) * time.Millisecond)
	span := clock.Stop()
	wakeups := float64(report.Wakeups() - woken)
	ran.Check(0)
	close(gate)
	wg.Wait()
	ran.Check(parked)
	report.Line("idle", ms, span,
		report.KV{Key: "cpu_percent", Value: 100 * span.CPU / span.Wall},
		report.KV{Key: "wakeups_per_s", Value: wakeups / span.Wall})
}
