// ring: 503 goroutines in a ring of unbuffered channels pass one token.  ops: hops.
package main

import "rt0/perf/peers/go/report"

const members = 503

func main() {
	n := report.Args("hops")[0]
	var link [members]chan int
	for i := range link {
		link[i] = make(chan int)
	}
	done := make(chan int)
	clock := report.Start()
	for i := 0; i < members; i++ {
		i, in, out := i, link[i], link[(i+1)%members]
		go func() {
			for {
				left := <-in
				if left == 0 {
					done <- i
					return
				}
				out <- left - 1
			}
		}()
	}
	link[0] <- n
	last := <-done
	span := clock.Stop()
	if last != n%members {
		report.Fail("the token stopped at %d, not %d", last, n%members)
	}
	report.Line("ring", n, span)
}
