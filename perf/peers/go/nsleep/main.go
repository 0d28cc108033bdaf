// nsleep: N goroutines, each in one nanosleep(2) of 10 ms; Go's is a declared system call.
// ops: goroutines; what counts is wall_ms.
package main

import (
	"sync"
	"sync/atomic"
	"syscall"

	"rt0/perf/peers/go/report"
)

func main() {
	n := report.Args("goroutines")[0]
	var slept int64
	var wg sync.WaitGroup
	wg.Add(n)
	clock := report.Start()
	for i := 0; i < n; i++ {
		go func() {
			t := syscall.Timespec{Nsec: 10000000}
			for {
				var rest syscall.Timespec
				err := syscall.Nanosleep(&t, &rest)
				if err == nil {
					break
				}
				t = rest // Go's own preemption signals interrupt it
			}
			atomic.AddInt64(&slept, 1)
			wg.Done()
		}()
	}
	wg.Wait()
	span := clock.Stop()
	if slept != int64(n) {
		report.Fail("%d of %d slept", slept, n)
	}
	report.Line("nsleep"+report.Short(n), n, span, report.KV{Key: "wall_ms", Value: span.Wall * 1e3})
}
