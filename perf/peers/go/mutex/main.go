// mutexN: N goroutines take one mutex for a tiny section.  ops: sections.
package main

import (
	"sync"

	"rt0/perf/peers/go/report"
)

func main() {
	args := report.Args("goroutines", "sections-each")
	n, each := args[0], args[1]
	var mu sync.Mutex
	var wg sync.WaitGroup
	counter := 0
	wg.Add(n)
	clock := report.Start()
	for i := 0; i < n; i++ {
		go func() {
			for k := 0; k < each; k++ {
				mu.Lock()
				counter++
				mu.Unlock()
			}
			wg.Done()
		}()
	}
	wg.Wait()
	span := clock.Stop()
	if counter != n*each {
		report.Fail("counted %d, not %d", counter, n*each)
	}
	report.Line("mutex"+report.Short(n), n*each, span)
}
