// mutexN: N goroutines take one mutex for a tiny section.  ops: sections.  After the clock has stopped the main one yields
// inside a section, and nobody may come in: on one processor nothing else would tell.
package main

import (
	"runtime"
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
	mu.Lock()
	mine := counter
	wg.Add(1)
	go func() {
		mu.Lock()
		counter++
		mu.Unlock()
		wg.Done()
	}()
	for k := 0; k < 3; k++ {
		runtime.Gosched()
	}
	if counter != mine {
		report.Fail("two in one section")
	}
	mu.Unlock()
	wg.Wait()
	counter--
	if counter != n*each {
		report.Fail("counted %d, not %d", counter, n*each)
	}
	report.Line("mutex"+report.Short(n), n*each, span)
}
