#!/bin/sh
# faults.sh DIR [RESULTS]: makes every system call of fault_prog fail, one at a time, for each kind of failure that
# fault_test knows and each of P = 1, 2, 8.
#
# Each kind that is done leaves its row of the table in DIR/faults, newer than the programs; a rerun does what has none,
# so that it can be interrupted.  A failed one leaves its output beside, NAME.failed, and is done again next time.
# RESULTS: the file to which the table goes as well.
dir=$1 results=$2
test=$dir/tests/crash/fault_test prog=$dir/tests/crash/fault_prog
out=$dir/faults
failed=0
mkdir -p "$out"

kinds() {  # Suite/Test/kind of each
    "$test" --gtest_list_tests | awk '/^[^ ]/ { suite = $1 } /^  EveryCallMayFail/ { print suite $1 }'
}

walk() {  # walk P FULLNAME
    file=$out/${2##*/}.P$1
    [ "$file" -nt "$prog" ] && [ "$file" -nt "$test" ] && return
    rm -f "$file" "$file.failed"
    if RT0_TEST_FAULTS=all RT0_MAXPROCS=$1 "$test" --gtest_filter="$2" >"$file.part" 2>&1; then
        grep '^| ' "$file.part" >"$file"
        rm -f "$file.part"
    else
        mv "$file.part" "$file.failed"
        echo "not ok - ${2##*/} at P = $1: $file.failed"
        failed=$((failed + 1))
    fi
}

# A row for each kind and P, also where there is none yet.
table() {
    echo "# Every system call fails once"
    echo
    echo "\`make faults\`, MODE $(basename "$dir"), at commit $(git rev-parse --short=12 HEAD 2>/dev/null || echo unknown)," \
        "$(date -u +%Y-%m-%d), $(nproc) processors ($(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1)), Linux $(uname -r)."
    echo "For i = 1, 2, 3 ... until none is left the i-th call of a kind fails (so many in a row from it on) in a run of its own."
    echo "\"right\": it ended with the right answer; \"fatal line\": with exactly one, and status 2 (in the scenes \"panic\" and" \
        "\"segv\", which must end in a report: with that). Nothing else is let through: no hang, signal or wrong answer."
    echo
    echo "| fault | scene | error | in a row | P | runs with a fault | right | fatal line |"
    echo "|---|---|---|---|---|---|---|---|"
    for k in $(kinds); do
        for p in 1 2 8; do
            f=$out/${k##*/}.P$p
            if [ -e "$f.failed" ]; then echo "| ${k##*/} | FAILED | | | $p | | | |"
            elif [ -e "$f" ]; then cat "$f"
            else echo "| ${k##*/} | not run | | | $p | | | |"; fi
        done
    done
}

for p in 1 2 8; do
    for k in $(kinds); do walk $p "$k"; done
done
table | if [ -n "$results" ]; then mkdir -p "$(dirname "$results")" && tee "$results"; else cat; fi
[ $failed = 0 ]
