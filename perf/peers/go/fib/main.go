// fib: fork-join, no cut-off: each call starts a goroutine for fib(n-1), computes
// fib(n-2) itself and joins.  ops: goroutines.
package main

import (
	"sync"

	"rt0/perf/peers/go/report"
)

func fib(n int) int {
	if n < 2 {
		return n
	}
	var x int
	var wg sync.WaitGroup
	wg.Add(1)
	go func() {
		x = fib(n - 1)
		wg.Done()
	}()
	y := fib(n - 2)
	wg.Wait()
	return x + y
}

func main() {
	n := report.Args("n")[0]
	clock := report.Start()
	got := fib(n)
	span := clock.Stop()
	a, b := 0, 1
	for i := 0; i < n; i++ {
		a, b = b, a+b
	}
	if got != a {
		report.Fail("fib(%d) = %d, not %d", n, got, a)
	}
	report.Line("fib", b-1, span) // fib(n+1) - 1 goroutines
}
