#!/bin/bash
# insns_test.sh DIR: perf/tools/insns on programs of build folder DIR, and what an operation takes at one P, by instructions: a
# bound a quarter above what it was when it was written down (amd64, g++ 12, -O2: build/release).  Skipped without valgrind.
dir=$1 status=0 any=
[ "$dir $(uname -m)" = "build/release x86_64" ] || any=1  # any number
command -v valgrind >/dev/null || { echo "skip: valgrind is missing"; exit 0; }
say() {  # say STATUS TEXT
    if [ "$1" = 0 ]; then echo "ok - $2"
    else
        echo "not ok - $2"
        status=1
    fi
}
while read -r most name sizes; do
    out=$(perf/tools/insns "$dir/perf/bench/$name" 1 ${sizes%--*} -- 1 ${sizes#*--} 2>&1)
    [[ $out =~ ^\ *([0-9]+)\.[0-9]\ \ instructions\ per\ operation ]] && [ "${BASH_REMATCH[1]}" -gt 20 ] &&
        { [ -n "$any" ] || [ "${BASH_REMATCH[1]}" -le "$most" ]; }
    say $? "$name: at most $most: $(head -n 1 <<<"$out")"
done <<END
1070 pingpong 1000 -- 3000
540 ring 5000 -- 15000
260 yield 2 1000 -- 2 3000
190 chan_spsc 5000 -- 15000
760 spawn 10 -- 30
END
out=$(perf/tools/insns --ops 1 "$dir/tests/programs/hello" 2>&1)
[[ $out == *"instructions per operation, over 1 operations"*rt0::* ]]
say $? "any program: $(head -n 1 <<<"$out")"
out=$(perf/tools/insns "$dir/perf/bench/ring" 1 5000 -- 1 5000 2>&1)
[[ $out == *"the second run did no more than the first"* ]]
say $? "two runs that do the same are refused: $out"
exit $status
