// wake: a goroutine of an otherwise idle process, woken every 2 ms by a thread that
// sends on a channel.  Go has no threads but its own: the waker is a goroutine locked
// to its thread that sleeps in the kernel.  ops: wake-ups; what counts is p50_us and
// p99_us, from before the send until the receiver runs.
package main

import (
	"runtime"
	"syscall"
	"time"

	"rt0/perf/peers/go/report"
)

func main() {
	n := report.Args("wake-ups")[0]
	ch := make(chan time.Time)
	late := make([]int64, 0, n)
	clock := report.Start()
	go func() {
		runtime.LockOSThread()
		pause := syscall.Timespec{Nsec: 2000000}
		for i := 0; i < n; i++ {
			if err := syscall.Nanosleep(&pause, nil); err != nil && err != syscall.EINTR {
				report.Fail("nanosleep: %v", err)
			}
			ch <- time.Now()
		}
		close(ch)
	}()
	var last time.Time
	for t := range ch {
		late = append(late, int64(time.Since(t)))
		if !t.After(last) {
			report.Fail("the same wake-up twice")
		}
		last = t
	}
	span := clock.Stop()
	if len(late) != n {
		report.Fail("%d wake-ups, not %d", len(late), n)
	}
	report.Line("wake", n, span,
		report.KV{Key: "p50_us", Value: report.Percentile(late, 0.50) / 1e3},
		report.KV{Key: "p99_us", Value: report.Percentile(late, 0.99) / 1e3},
		report.KV{Key: "cpu_percent", Value: 100 * span.CPU / span.Wall})
}
