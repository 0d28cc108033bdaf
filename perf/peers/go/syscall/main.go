// syscall: 64 goroutines in 32 pairs, each pair passing a byte to and fro through two
// pipes in blocking read(2)s, declared system calls in Go, beside a goroutine that computes
// without end.  loops_per_us: what that one gets done meanwhile.
// ops: reads.
package main

import (
	"sync"
	"sync/atomic"
	"syscall"

	"rt0/perf/peers/go/report"
)

const readers = 64

// again repeats a system call that a signal, Go's own for preemption, has interrupted.
func again(call func(int, []byte) (int, error), fd int, b []byte) {
	for {
		n, err := call(fd, b)
		if n == len(b) {
			return
		}
		if err != syscall.EINTR {
			report.Fail("read or write of a pipe: %v", err)
		}
	}
}

// pass takes the bytes 0, 1, 2 …; the odd one of a pair passes each on as it is, the even
// one the next.
func pass(i, n, in, out int) {
	var b [1]byte
	for k := 0; k < n; k++ {
		again(syscall.Read, in, b[:])
		if int(b[0]) != k%256 {
			report.Fail("byte %d, not %d", b[0], k%256)
		}
		if i%2 == 0 {
			b[0]++
		}
		again(syscall.Write, out, b[:])
	}
}

func main() {
	each := report.Args("reads-each")[0]
	var pipes [readers][2]int
	for i := range pipes {
		if err := syscall.Pipe(pipes[i][:]); err != nil {
			report.Fail("pipe: %v", err)
		}
	}
	var stop int64
	computing := make(chan int)
	go func() {
		loops := 0
		for atomic.LoadInt64(&stop) == 0 {
			loops++
		}
		computing <- loops
	}()
	var wg sync.WaitGroup
	wg.Add(readers)
	clock := report.Start()
	for i := range pipes {
		i := i
		go func() {
			pass(i, each, pipes[i][0], pipes[i^1][1])
			wg.Done()
		}()
	}
	for i := 1; i < readers; i += 2 {
		again(syscall.Write, pipes[i][1], []byte{0})
	}
	wg.Wait()
	span := clock.Stop()
	atomic.StoreInt64(&stop, 1)
	loops := <-computing
	ops := readers * each
	report.Line("syscall", ops, span,
		report.KV{Key: "reads_per_s", Value: float64(ops) / span.Wall},
		report.KV{Key: "loops_per_us", Value: float64(loops) / (span.Wall * 1e6)})
}
