#!/bin/sh
# valgrind_test.sh DIR [SECS]: a slice of the tests under valgrind's memcheck, without a suppression; what stands in
# DIR/tests must be clean, and valgrind_prog's errors must be found.
dir=$1/tests secs=${2:-10}
out=$(mktemp) && trap 'rm -f "$out"' EXIT
failed=0

memcheck() {  # memcheck P COMMAND...: status 9 with an error
    RT0_MAXPROCS=$1
    export RT0_MAXPROCS
    shift
    timeout -s QUIT -k 5 600 valgrind -q --fair-sched=yes --error-exitcode=9 --leak-check=full --show-leak-kinds=definite \
        --errors-for-leak-kinds=definite "$@" >"$out" 2>&1 </dev/null
}
say() {  # say 0|1 TEXT
    if [ "$1" = 0 ]; then echo "ok - $2"; else
        echo "not ok - $2"
        grep -v '^$' "$out" | head -n 40
        failed=1
    fi
}
clean() {  # clean P COMMAND...: valgrind -q says nothing of its own then
    p=$1
    shift
    memcheck "$p" "$@"
    status=$?
    ! grep -q '^==[0-9]*== ' "$out" && [ $status = 0 ]
    say $? "clean at P = $p: $(echo "$*" | sed "s|$dir/||")"
}

for p in 1 2 8; do
    clean $p "$dir/crash/valgrind_prog" nothing
    clean $p "$dir/programs/pingpong" 2000
    clean $p "$dir/programs/powers" 5
    clean $p "$dir/stress/csp_prog" 1 30
done
clean 2 "$dir/stress/storm_prog" "$secs" 7
for t in chan select context newproc; do clean 2 "$dir/unit/${t}_test"; done
for error in "uninitialised:uninitialised byte(s)" "freed:Invalid read" "overrun:Invalid write" "leak:definitely lost"; do
    memcheck 2 "$dir/crash/valgrind_prog" "${error%%:*}"
    [ $? = 9 ] && grep -qF "${error#*:}" "$out" && grep -q "valgrind_prog.cc" "$out"
    say $? "found: ${error%%:*}"
done
[ $failed = 0 ]
