// yieldN: N goroutines that do nothing but yield.  ops: yields.
package main

import (
	"runtime"
	"sync"

	"rt0/perf/peers/go/report"
)

func main() {
	args := report.Args("goroutines", "yields-each")
	n, each := args[0], args[1]
	counts := make([]int, n)
	start := make(chan struct{})
	var ready, wg sync.WaitGroup
	ready.Add(n)
	wg.Add(n)
	for i := 0; i < n; i++ {
		i := i
		go func() {
			ready.Done()
			<-start
			for k := 0; k < each; k++ {
				runtime.Gosched()
				counts[i]++
			}
			wg.Done()
		}()
	}
	ready.Wait()
	clock := report.Start()
	close(start)
	wg.Wait()
	span := clock.Stop()
	for i, c := range counts {
		if c != each {
			report.Fail("goroutine %d yielded %d times, not %d", i, c, each)
		}
	}
	report.Line("yield"+report.Short(n), n*each, span)
}
