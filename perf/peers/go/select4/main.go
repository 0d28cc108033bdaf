// select4: a select over 4 unbuffered channels, each fed by a producer of its own.
// ops: elements.
package main

import "rt0/perf/peers/go/report"

func main() {
	n := report.Args("elements")[0] / 4 * 4
	var ch [4]chan int
	for p := range ch {
		ch[p] = make(chan int)
	}
	clock := report.Start()
	for p := range ch {
		c, p := ch[p], p
		go func() {
			for i := p; i < n; i += 4 {
				c <- i
			}
		}()
	}
	next := [4]int{0, 1, 2, 3}
	for i := 0; i < n; i++ {
		select {
		case v := <-ch[0]:
			if v != next[0] {
				report.Fail("%d where %d is due", v, next[0])
			}
			next[0] += 4
		case v := <-ch[1]:
			if v != next[1] {
				report.Fail("%d where %d is due", v, next[1])
			}
			next[1] += 4
		case v := <-ch[2]:
			if v != next[2] {
				report.Fail("%d where %d is due", v, next[2])
			}
			next[2] += 4
		case v := <-ch[3]:
			if v != next[3] {
				report.Fail("%d where %d is due", v, next[3])
			}
			next[3] += 4
		}
	}
	span := clock.Stop()
	if next != [4]int{n, n + 1, n + 2, n + 3} {
		report.Fail("due in the end: %v", next)
	}
	report.Line("select4", n, span)
}
