#!/bin/bash
# bench_test.sh DIR: each benchmark at a small size gives its line, the answer checked by itself, and so does its twin on plain
# threads where there is one; the harness writes its files, those of a part of the rows beside those of all, and says which peer
# failed.  Build folder DIR.
dir=$1 status=0
tmp=$(mktemp -d) && trap 'rm -rf "$tmp"' EXIT
say() {  # say STATUS TEXT
    if [ "$1" = 0 ]; then echo "ok - $2"
    else
        echo "not ok - $2"
        status=1
    fi
}
gives_its_line() {  # gives_its_line FOLDER PEER PROCS NAME ARGS...
    local program=$1/$4 peer=$2 procs=$3 name=$4 line code
    shift 4
    line=$(RT0_MAXPROCS=$procs "$program" "$procs" "$@" 2>&1)
    code=$?
    [ $code = 0 ] && [[ $line =~ ^${name}[0-9kM]*\ $peer\ $procs\ [1-9][0-9]*\ [0-9.]+\ [0-9.]+ ]]
    say $? "$name $*, $peer at P=$procs: ${line:-nothing}"
}
while read -r name args; do
    for procs in 1 2; do
        gives_its_line "$dir/perf/bench" rt0 $procs $name $args
        [ ! -e "$dir/perf/peers/threads/$name" ] || gives_its_line "$dir/perf/peers/threads" threads $procs $name $args
    done
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
    set -- "$tmp"/*-"${rows//|/-}"*.json
    python3 -c 'import json, sys; r = json.load(open(sys.argv[1]))["rows"]; assert r and all("rt0" in x["samples"] for x in r), r' "$1" &&
        grep -q "^| ${rows%%|*} | 2 | ns_per_op | " "${1%.json}.md"
    say $? "its results, ${1##*/}"
done
# Made up: a peer that fails, one that runs, one that cannot be built.
mkdir -p "$tmp/build/perf/peers/threads" "$tmp/build/perf/peers/fiber" "$tmp/bin" &&
    ln -s "$(realpath "$dir/perf/bench")" "$tmp/build/perf/bench"
printf '#!/bin/sh\necho wrong sum >&2; exit 1\n' >"$tmp/build/perf/peers/threads/ring"
printf '#!/bin/sh\necho ring fiber 2 100 1.0 123456 cpu_ns_per_op=234567\n' >"$tmp/build/perf/peers/fiber/ring"
printf '#!/bin/sh\n[ "$1" != build ] || { echo no space >&2; exit 1; }; echo 1.99\n' >"$tmp/bin/go"
chmod +x "$tmp"/build/perf/peers/*/ring "$tmp/bin/go"
PATH=$tmp/bin:$PATH perf/bench/run --build "$tmp/build" --peers rt0,threads,fiber,go --procs 2 --reps 1 --bench '^ring$' --no-write \
    >"$tmp/log" 2>&1
[ $? = 1 ] && grep -q '^ring .*threads failed: status 1: wrong sum' "$tmp/log" &&
    grep -q '^ring .* ns_per_op .* fiber 123,456' "$tmp/log" &&
    grep -q '^go skipped: go build: no space' "$tmp/log"
say $? "a peer that fails, and one that is not built, are said so: $(tail -n 4 "$tmp/log")"
exit $status
