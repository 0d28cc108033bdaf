// spawn: tiny goroutines in batches of 1000, each batch joined by a WaitGroup.
// ops: goroutines.
package main

import (
	"sync"

	"rt0/perf/peers/go/report"
)

const batch = 1000

func main() {
	batches := report.Args("batches")[0]
	var slots [batch]int
	sum := 0
	clock := report.Start()
	for b := 0; b < batches; b++ {
		var wg sync.WaitGroup
		wg.Add(batch)
		for i := range slots {
			i, v := i, b+i
			go func() {
				slots[i] = v
				wg.Done()
			}()
		}
		wg.Wait()
		for _, v := range slots {
			sum += v
		}
	}
	span := clock.Stop()
	n := batches * batch
	if want := batch*(batches*(batches-1)/2) + batches*(batch*(batch-1)/2); sum != want {
		report.Fail("sum %d, not %d", sum, want)
	}
	report.Line("spawn", n, span)
}
