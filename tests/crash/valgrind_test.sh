#!/bin/sh
# valgrind_test.sh DIR: memcheck finds valgrind_prog's errors on goroutines, and none in it without one.
here=$(dirname "$0") prog=$1/tests/crash/valgrind_prog
out=$(mktemp) && trap 'rm -f "$out"' EXIT
failed=0

say() {  # say 0|1 TEXT
    if [ "$1" = 0 ]; then echo "ok - $2"; else
        echo "not ok - $2"
        grep -v '^$' "$out" | head -n 40
        failed=1
    fi
}

export RT0_MAXPROCS
for RT0_MAXPROCS in 1 2 8; do
    sh "$here/memcheck.sh" "$prog" nothing >"$out" 2>&1
    say $? "clean at P = $RT0_MAXPROCS"
done
RT0_MAXPROCS=2
for error in "uninitialised:uninitialised byte(s)" "freed:Invalid read" "overrun:Invalid write" "leak:definitely lost"; do
    sh "$here/memcheck.sh" "$prog" "${error%%:*}" >"$out" 2>&1
    [ $? = 9 ] && grep -qF "${error#*:}" "$out" && grep -q "valgrind_prog.cc" "$out"
    say $? "found: ${error%%:*}"
done
[ $failed = 0 ]
