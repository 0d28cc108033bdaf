// chan_mpmc: 4 producers, 4 consumers, a channel of capacity 100.  ops: elements.
package main

import (
	"sync"

	"rt0/perf/peers/go/report"
)

func main() {
	const side = 4
	n := report.Args("elements")[0] / side * side
	ch := make(chan int, 100)
	var producers, consumers sync.WaitGroup
	var count, sum [side]int
	clock := report.Start()
	for p := 0; p < side; p++ {
		p := p
		producers.Add(1)
		go func() {
			for i := p; i < n; i += side {
				ch <- i
			}
			producers.Done()
		}()
	}
	for c := 0; c < side; c++ {
		c := c
		consumers.Add(1)
		go func() {
			k, s := 0, 0
			last := [side]int{-1, -1, -1, -1} // of each producer's; they rise
			for v := range ch {
				k++
				s += v
				if v <= last[v%side] {
					report.Fail("%d after %d", v, last[v%side])
				}
				last[v%side] = v
			}
			count[c], sum[c] = k, s
			consumers.Done()
		}()
	}
	producers.Wait()
	close(ch)
	consumers.Wait()
	span := clock.Stop()
	k, s := 0, 0
	for c := range count {
		k += count[c]
		s += sum[c]
	}
	if k != n || s != n*(n-1)/2 {
		report.Fail("received %d elements with sum %d, not %d with %d", k, s, n, n*(n-1)/2)
	}
	report.Line("chan_mpmc", n, span)
}
