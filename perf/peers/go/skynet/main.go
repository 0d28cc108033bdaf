// skynet: a tree of goroutines with fan-out 10; leaves send their number up, inner
// nodes send the sum of their children.  ops: leaves.
package main

import "rt0/perf/peers/go/report"

func skynet(up chan int, num, size int) {
	if size == 1 {
		up <- num
		return
	}
	down := make(chan int)
	sub := size / 10
	for i := 0; i < 10; i++ {
		go skynet(down, num+i*sub, sub)
	}
	sum := 0
	for i := 0; i < 10; i++ {
		sum += <-down
	}
	up <- sum
}

func main() {
	n := report.Args("leaves-power-of-ten")[0]
	power := 10
	for power < n {
		power *= 10
	}
	if power != n {
		report.Fail("%d leaves: not a power of ten", n)
	}
	clock := report.Start()
	up := make(chan int)
	go skynet(up, 0, n)
	sum := <-up
	span := clock.Stop()
	if sum != n*(n-1)/2 {
		report.Fail("sum %d, not %d", sum, n*(n-1)/2)
	}
	report.Line("skynet", n, span, report.KV{Key: "peak_kib", Value: float64(report.PeakKiB())})
}
