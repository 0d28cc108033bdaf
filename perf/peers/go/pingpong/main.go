// pingpong: two goroutines, two unbuffered channels.  ops: round trips.
package main

import "rt0/perf/peers/go/report"

func main() {
	n := report.Args("round-trips")[0]
	ping, pong := make(chan int), make(chan int)
	go func() {
		for v := range ping {
			pong <- v + 1
		}
		close(pong)
	}()
	clock := report.Start()
	v := 0
	for i := 0; i < n; i++ {
		ping <- v
		v = <-pong
	}
	span := clock.Stop()
	close(ping)
	if _, open := <-pong; v != n || open {
		report.Fail("token is %d, not %d", v, n)
	}
	report.Line("pingpong", n, span)
}
