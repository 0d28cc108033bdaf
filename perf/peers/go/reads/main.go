// readsN: N goroutines in read(2) of one pipe, a declared system call in Go; then N bytes.
// block_ms: until all of them block; wake_ms: from the first byte until all are done.
// ops: goroutines.
package main

import (
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"rt0/perf/peers/go/report"
)

func main() {
	n := report.Args("goroutines")[0]
	var fd [2]int
	if err := syscall.Pipe(fd[:]); err != nil {
		report.Fail("pipe: %v", err)
	}
	var reading, sum int64
	var wg sync.WaitGroup
	wg.Add(n)
	clock := report.Start()
	for i := 0; i < n; i++ {
		go func() {
			var b [1]byte
			atomic.AddInt64(&reading, 1)
			for {
				k, err := syscall.Read(fd[0], b[:])
				if k == 1 {
					break
				}
				if err != syscall.EINTR {
					report.Fail("read: %v", err)
				}
			}
			atomic.AddInt64(&sum, int64(b[0]))
			wg.Done()
		}()
	}
	for atomic.LoadInt64(&reading) < int64(n) {
		time.Sleep(time.Millisecond)
	}
	block := clock.Stop()
	waking := report.Start()
	bytes := make([]byte, n)
	for i := range bytes {
		bytes[i] = 1
	}
	for done := 0; done < n; {
		k, err := syscall.Write(fd[1], bytes[done:])
		if err != nil {
			report.Fail("write: %v", err)
		}
		done += k
	}
	wg.Wait()
	wake := waking.Stop()
	if sum != int64(n) {
		report.Fail("%d bytes read, not %d", sum, n)
	}
	total := report.Span{Wall: block.Wall + wake.Wall, CPU: block.CPU + wake.CPU}
	report.Line("reads"+report.Short(n), n, total,
		report.KV{Key: "block_ms", Value: block.Wall * 1e3},
		report.KV{Key: "wake_ms", Value: wake.Wall * 1e3})
}
