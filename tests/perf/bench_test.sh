#!/bin/bash
# bench_test.sh DIR: each benchmark at a small size gives its line, the answer checked by itself; the harness writes its files, and
# those of a part of the rows beside those of all.  Build folder DIR.
dir=$1 status=0
tmp=$(mktemp -d) && trap 'rm -rf "$tmp"' EXIT
say() {  # say STATUS TEXT
    if [ "$1" = 0 ]; then echo "ok - $2"
    else
        echo "not ok - $2"
        status=1
    fi
}
while read -r name args; do
    line=$(RT0_MAXPROCS=2 "$dir/perf/bench/$name" 2 $args 2>&1)
    code=$?
    [ $code = 0 ] && [[ $line =~ ^${name}[0-9kM]*\ rt0\ 2\ [1-9][0-9]*\ [0-9.]+\ [0-9.]+ ]]
    say $? "$name $args: ${line:-nothing}"
done <<END
spawn 20
yield 100 100
pingpong 1000
chan_spsc 10000
chan_mpmc 10000
select4 1000
ring 10000
sieve 50
skynet 1000
fib 12
mutex 8 1000
parked 1000
timers 100 2
syscall 50
nsleep 5
reads 20
hog 2 10
stop 2 5
wake 10
idle 100
END
for rows in ring 'ring|fib'; do
    perf/bench/run --build "$dir" --peers rt0 --procs 2 --reps 1 --bench "^($rows)\$" --out "$tmp" >"$tmp/log" 2>&1
    say $? "the harness, $rows"
    set -- "$tmp"/*-"${rows//|/-}".json
    python3 -c 'import json, sys; r = json.load(open(sys.argv[1]))["rows"]; assert r and all("rt0" in x["samples"] for x in r), r' "$1" &&
        grep -q "^| ${rows%%|*} | 2 | ns_per_op | " "${1%.json}.md"
    say $? "its results, ${1##*/}"
done
exit $status
