// sieve: the first N primes through a chain of filter goroutines over unbuffered
// channels.  ops: primes.
package main

import "rt0/perf/peers/go/report"

func generate(out chan<- int) {
	for i := 2; ; i++ {
		out <- i
	}
}

func filter(in <-chan int, out chan<- int, prime int) {
	for {
		if v := <-in; v%prime != 0 {
			out <- v
		}
	}
}

func main() {
	n := report.Args("primes")[0]
	primes := make([]int, 0, n)
	clock := report.Start()
	ch := make(chan int)
	go generate(ch)
	for len(primes) < n {
		prime := <-ch
		primes = append(primes, prime)
		next := make(chan int)
		go filter(ch, next, prime)
		ch = next
	}
	span := clock.Stop()
	k := 0
	for v := 2; k < n; v++ {
		isPrime := true
		for d := 2; d*d <= v; d++ {
			if v%d == 0 {
				isPrime = false
				break
			}
		}
		if isPrime {
			if primes[k] != v {
				report.Fail("prime %d is %d, not %d", k+1, primes[k], v)
			}
			k++
		}
	}
	report.Line("sieve", n, span)
}
