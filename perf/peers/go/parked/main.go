// parkedN: N goroutines park on one channel; closing it wakes them all.
// bytes: resident set and page tables per parked goroutine.  ns_create: from the first
// go statement until the last goroutine has reached its receive; ns_wake: from close
// until the last one has run.  ops: goroutines; seconds: both stretches.
package main

import (
	"sync"
	"time"

	"rt0/perf/peers/go/report"
)

var ran report.Roll // no part of a closure, whose size counts here

func main() {
	n := report.Args("goroutines")[0]
	gate := make(chan struct{})
	var started, woken sync.WaitGroup
	ran = make(report.Roll, n)
	started.Add(n)
	woken.Add(n)
	before := report.ResidentBytes()
	clock := report.Start()
	for i := 0; i < n; i++ {
		i := i
		go func() {
			started.Done()
			<-gate
			ran[i] = true
			woken.Done()
		}()
	}
	started.Wait()
	create := clock.Stop()
	time.Sleep(100 * time.Millisecond) // the last ones on their way into the receive
	bytes := report.ResidentBytes() - before
	ran.Check(0)
	clock = report.Start()
	close(gate)
	woken.Wait()
	wake := clock.Stop()
	ran.Check(n)
	ops := float64(n)
	report.Line("parked"+report.Short(n), n, report.Span{Wall: create.Wall + wake.Wall, CPU: create.CPU + wake.CPU},
		report.KV{Key: "bytes", Value: float64(bytes) / ops},
		report.KV{Key: "ns_create", Value: create.Wall * 1e9 / ops},
		report.KV{Key: "ns_wake", Value: wake.Wall * 1e9 / ops})
}
