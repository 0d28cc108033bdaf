#!/bin/sh
# memcheck.sh COMMAND...: runs it under valgrind's memcheck, without a suppression for rt0 (one for libstdc++: libstdcxx.supp), and
# fails also where valgrind says anything at all: -q keeps it quiet about programs that it finds nothing in.
log=$(mktemp) && trap 'rm -f "$log"' EXIT
trap 'exit 131' QUIT TERM INT
valgrind -q --suppressions=tests/crash/libstdcxx.supp --fair-sched=yes --max-threads=3000 --error-exitcode=9 --leak-check=full --show-leak-kinds=definite --errors-for-leak-kinds=definite \
    --log-file="$log" "$@"
status=$?
[ -s "$log" ] || exit $status
echo "not ok - valgrind says:"
head -n 100 "$log"
[ $status != 0 ] || exit 9
exit $status
