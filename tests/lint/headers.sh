#!/bin/sh
# headers.sh CXX…: every header of this processor's build compiles alone, with each of
# the compilers; a header for assembler files is preprocessed as one, that of a peer of the
# benchmarks is left out where the peer is not installed.
cd "$(dirname "$0")/../.." || exit 2
case $(uname -m) in x86_64) other=arm64 ;; *) other=amd64 ;; esac
headers=$(find arch kernel_if runtime perf tests/support -name '*.h' | grep -v "^arch/$other/" | sort)
leave_out() { headers=$(printf '%s\n' $headers | grep -v "^$1"); }
[ -e /usr/include/boost/fiber/all.hpp ] || leave_out perf/peers/fiber/
[ -e /usr/include/oneapi/tbb/task_group.h ] || leave_out perf/peers/tbb/
backtrace=$(dirname "$(g++ -print-file-name=libbacktrace.a)")/include
for h in $headers; do
    for cxx in "$@"; do echo "$cxx $h"; done
done | xargs -P "$(nproc)" -n 2 sh -c '
    case $1 in
    */asm.h) echo "#include \"$1\"" | $0 -I. -x assembler-with-cpp -E - ;;
    *) echo "#include \"$1\"" | $0 -std=c++20 -Wall -Wextra -Wshadow -Werror -fsyntax-only -I. -Iruntime -Iruntime/include -idirafter '"$backtrace"' -x c++ - ;;
    esac >/dev/null || { echo "$1: does not compile alone with $0"; exit 1; }'
status=$?
echo "headers: $(echo "$headers" | wc -l) headers, compilers: $*"
exit $status
