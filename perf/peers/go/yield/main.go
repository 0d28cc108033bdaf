// yieldN: N goroutines that do nothing but yield.  On one processor each looks, after every eighth turn, whether the next one
// has had some since.  ops: yields.
package main

import (
	"runtime"
	"sync"
	"sync/atomic"

	"rt0/perf/peers/go/report"
)

func main() {
	args := report.Args("goroutines", "yields-each")
	n, each := args[0], args[1]
	counts := make([]int64, n)
	var moved int64
	start := make(chan struct{})
	var ready, wg sync.WaitGroup
	ready.Add(n)
	wg.Add(n)
	for i := 0; i < n; i++ {
		i := i
		go func() {
			ready.Done()
			<-start
			next := &counts[(i+1)%n]
			seen, moves := atomic.LoadInt64(next), int64(0)
			for k := 1; k <= each; k++ {
				runtime.Gosched()
				counts[i]++
				if k%8 == 0 {
					now := atomic.LoadInt64(next)
					if now != seen {
						moves++
					}
					seen = now
				}
			}
			atomic.AddInt64(&moved, moves)
			wg.Done()
		}()
	}
	ready.Wait()
	clock := report.Start()
	close(start)
	wg.Wait()
	span := clock.Stop()
	for i, c := range counts {
		if c != int64(each) {
			report.Fail("goroutine %d yielded %d times, not %d", i, c, each)
		}
	}
	if looks := n * (each / 8); runtime.GOMAXPROCS(0) == 1 && n > 1 && each >= 16 && moved < int64(looks/4) {
		report.Fail("of %d looks %d saw another's turn: as if nobody yielded", looks, moved)
	}
	report.Line("yield"+report.Short(n), n*each, span)
}
