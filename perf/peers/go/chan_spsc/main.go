// chan_spsc: one producer, one consumer, a channel of capacity 100.  ops: elements.
package main

import "rt0/perf/peers/go/report"

func main() {
	n := report.Args("elements")[0]
	ch := make(chan int, 100)
	clock := report.Start()
	go func() {
		for i := 0; i < n; i++ {
			ch <- i
		}
		close(ch)
	}()
	next := 0
	for v := range ch {
		if v != next {
			report.Fail("received %d, not %d", v, next)
		}
		next++
	}
	span := clock.Stop()
	if next != n {
		report.Fail("received %d elements, not %d", next, n)
	}
	report.Line("chan_spsc", n, span)
}
