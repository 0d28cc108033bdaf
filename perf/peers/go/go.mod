module rt0/perf/peers/go

go 1.19
