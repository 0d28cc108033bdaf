// Package report is the frame that every workload stands in: the command line
// `<workload> <procs> <size…>`, the clocks, the memory readings and the one line of
// output, `workload peer procs ops seconds ns_per_op key=value…`.  perf/bench/report.h
// is the same for rt0.
package report

import (
	"fmt"
	"os"
	"runtime"
	"sort"
	"strconv"
	"strings"
	"syscall"
	"time"
)

var procs int

// Args reads the command line; usage names the sizes.  The number of processors comes
// through GOMAXPROCS and has to agree with the first argument.
func Args(usage ...string) []int {
	if len(os.Args) != 2+len(usage) {
		fmt.Fprintf(os.Stderr, "usage: %s procs %s\n", os.Args[0], strings.Join(usage, " "))
		os.Exit(2)
	}
	var v []int
	for _, a := range os.Args[1:] {
		n, err := strconv.Atoi(a)
		if err != nil || n <= 0 {
			fmt.Fprintf(os.Stderr, "%s: not a positive number: %s\n", os.Args[0], a)
			os.Exit(2)
		}
		v = append(v, n)
	}
	procs = v[0]
	if got := runtime.GOMAXPROCS(0); got != procs {
		Fail("GOMAXPROCS is %d, not %d", got, procs)
	}
	return v[1:]
}

// Fail ends the program because its answer is wrong.
func Fail(format string, a ...any) {
	fmt.Fprintf(os.Stderr, os.Args[0]+": "+format+"\n", a...)
	os.Exit(1)
}

// A Span is a stretch of wall and processor time.
type Span struct {
	Wall, CPU float64 // seconds; CPU is user + system of the whole process
}

// A Clock measures from its start.
type Clock struct {
	wall time.Time
	cpu  float64
}

func cpuTime() float64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		Fail("getrusage: %v", err)
	}
	return float64(u.Utime.Sec+u.Stime.Sec) + float64(u.Utime.Usec+u.Stime.Usec)*1e-6
}

// Start starts a clock.
func Start() Clock { return Clock{time.Now(), cpuTime()} }

// Stop reads it.
func (c Clock) Stop() Span {
	return Span{time.Since(c.wall).Seconds(), cpuTime() - c.cpu}
}

// A KV is one key=value of the line.
type KV struct {
	Key   string
	Value float64
}

// Line prints the result; every line has cpu_ns_per_op after the fixed columns.
func Line(workload string, ops int, s Span, more ...KV) {
	fmt.Printf("%s go %d %d %.6f %.2f cpu_ns_per_op=%.2f", workload, procs, ops, s.Wall,
		s.Wall*1e9/float64(ops), s.CPU*1e9/float64(ops))
	for _, kv := range more {
		fmt.Printf(" %s=%.2f", kv.Key, kv.Value)
	}
	fmt.Println()
}

// A Roll has a mark for each of n that are to come: a wait that ends too early, or somebody who goes before he is let go, shows.
type Roll []bool

// Check fails unless so many have come.
func (r Roll) Check(want int) {
	n := 0
	for _, came := range r {
		if came {
			n++
		}
	}
	if n != want {
		Fail("%d have run, not %d", n, want)
	}
}

// CheckNoneEarly fails if one ended before its time; late: by how much after it, ns.
func CheckNoneEarly(late []int64) {
	for _, l := range late {
		if l < 0 {
			Fail("%d ns too early", -l)
		}
	}
}

// Short writes 100000 as 100k and 1000000 as 1M.
func Short(n int) string {
	switch {
	case n%1000000 == 0:
		return strconv.Itoa(n/1000000) + "M"
	case n%1000 == 0:
		return strconv.Itoa(n/1000) + "k"
	}
	return strconv.Itoa(n)
}

// status sums the given fields of a /proc status file; missing ones count 0.
func status(path string, fields ...string) int {
	data, err := os.ReadFile(path)
	if err != nil {
		return 0 // a thread that has just ended
	}
	sum := 0
	for _, line := range strings.Split(string(data), "\n") {
		name, rest, ok := strings.Cut(line, ":")
		if !ok {
			continue
		}
		for _, f := range fields {
			if f == name {
				n, _ := strconv.Atoi(strings.Fields(rest)[0])
				sum += n
			}
		}
	}
	return sum
}

// ResidentBytes is the resident set and the page tables.
func ResidentBytes() int { return 1024 * status("/proc/self/status", "VmRSS", "VmPTE") }

// PeakKiB is the largest resident set so far.
func PeakKiB() int { return status("/proc/self/status", "VmHWM") }

// Wakeups is how often the process's threads have left the processor of their own
// accord, hence how often they have been woken.
func Wakeups() int {
	tasks, err := os.ReadDir("/proc/self/task")
	if err != nil {
		Fail("/proc/self/task: %v", err)
	}
	sum := 0
	for _, t := range tasks {
		sum += status("/proc/self/task/"+t.Name()+"/status", "voluntary_ctxt_switches")
	}
	return sum
}

// Percentile returns the value that the fraction q of v stays below; it sorts v.
func Percentile(v []int64, q float64) float64 {
	sort.Slice(v, func(i, j int) bool { return v[i] < v[j] })
	return float64(v[int(q*float64(len(v)-1))])
}
