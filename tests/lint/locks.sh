#!/bin/sh
# locks.sh: clang's analysis of which lock guards what (runtime/base/guarded.h) finds nothing in the
# product.  Prints one line per breach, "file:line: what", and ends with status 1 if there was any.
# With RT0_DEBUG, so that what only debug builds have is looked at, too.
cd "$(dirname "$0")/../.." || exit 2
case $(uname -m) in x86_64) other=arm64 ;; *) other=amd64 ;; esac
sources=$(find arch kernel_if runtime -name '*.cc' | grep -v "^arch/$other/" | sort)
backtrace=$(dirname "$(g++ -print-file-name=libbacktrace.a)")/include
out=$(mktemp) && trap 'rm -f "$out"' EXIT
printf '%s\n' $sources | xargs -P "$(nproc)" -n 1 clang++ -std=c++20 -DRT0_DEBUG -I. -Iruntime -Iruntime/include \
    -idirafter "$backtrace" -fsyntax-only -Wthread-safety -Werror=thread-safety -fno-caret-diagnostics >"$out" 2>&1
status=$?
# What stands in a header comes once for each file that includes it.
sed -nE 's/^([^ :]+:[0-9]+):[0-9]+: (fatal )?error: (.*)$/\1: \3/; T; s/ \[-W[^]]*\]$//; p' "$out" | sort -u -t: -k1,1 -k2,2n -k3
[ "$status" -eq 0 ] || [ -n "$(grep -m 1 'error:' "$out")" ] || cat "$out"  # clang itself failed
echo "locks: $(printf '%s\n' $sources | wc -l) files analysed"
[ "$status" -eq 0 ]
