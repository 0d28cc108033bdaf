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
	sum := 0
	var chosen [4]int
	for i := 0; i < n; i++ {
		select {
		case v := <-ch[0]:
			sum += v
			chosen[0]++
		case v := <-ch[1]:
			sum += v
			chosen[1]++
		case v := <-ch[2]:
			sum += v
			chosen[2]++
		case v := <-ch[3]:
			sum += v
			chosen[3]++
		}
	}
	span := clock.Stop()
	if sum != n*(n-1)/2 || chosen != [4]int{n / 4, n / 4, n / 4, n / 4} {
		report.Fail("sum %d, not %d; chosen %v", sum, n*(n-1)/2, chosen)
	}
	report.Line("select4", n, span)
}
