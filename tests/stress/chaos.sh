#!/bin/sh
# chaos.sh DIR SEEDS FIRST RESULTS TEST...: each TEST under RT0DEBUG=chaos=SEED, for SEEDS seeds from FIRST on, by turns at
# P = 1, 2, 3, 8, 64, and with each seed one of those in TURNS (they take long, and start programs).
#
# A seed that passed leaves a file in DIR/trust, newer than the tests; a rerun does those that have none, so that it can
# be interrupted.  One that failed leaves its output beside, NAME.failed, with the line that runs it again, and is done
# again next time.  RESULTS: the file to which the table goes as well; "" for none.  The last line counts tests; a failed seed is one.
dir=$1 seeds=$2 first=$3 results=$4
shift 4
out=$dir/trust
here=$(dirname "$0")
failed=0
# Tests left out, and why: what they ask for is what chaos is there to deny.
left_out() {
    cat <<'END'
Park.ReadyNextAndReadyTail|who was made ready last must be next: chaos lets another go first
Park.YieldTakesTurns|yields must take turns: chaos chooses, and lets one starve for a while
Park.LocksYieldWhenAsked|who takes a free lock without being asked to yield must not yield: chaos asks
Blocking.WhoIsBackFromACallGoesBeforeTheNextOne|an order, as above
limits.AddressSpaceForAMillion|somebody must be told by std::bad_alloc: at P = 64 threads come so late that there is no memory for them, which is fatal
LeftAlone.*|turns must be short, for work to be left to one P: chaos pauses in them
END
}
export GTEST_FILTER=-$(left_out | cut -d '|' -f 1 | tr '\n' : | sed 's/:$//')
mkdir -p "$out"

procs() {  # of a seed
    n=$(($1 % 5))
    set -- 1 2 3 8 64
    shift $n
    echo "$1"
}

turn() {  # what of TURNS comes with a seed, as a job's command
    set -- "$1" $TURNS
    [ $# -gt 1 ] || return
    n=$(($1 % ($# - 1)))
    shift $((n + 1))
    case $1 in *.sh) echo "bash $1 $dir/tests/programs" ;; *) echo "$1" ;; esac
}

newer() {  # newer FILE TEST...: than all of them, and about all of them
    file=$1
    shift
    for t in "$@"; do [ "$file" -nt "$t" ] && grep -q "/${t##*/} " "$file" || return 1; done
}

one() {  # one SEED TEST...
    seed=$1
    shift
    file=$out/chaos.$seed
    newer "$file" "$@" $(turn "$seed" | awk '{ print $NF == $1 ? $1 : $2 }') && return
    rm -f "$file" "$file.failed"
    p=$(procs "$seed")
    start=$(date +%s)
    export RT0DEBUG=chaos=$seed
    if { for t in "$@"; do echo "$p 600 $t"; done; turn "$seed" | sed "s/^/$p 600 /"; } | sh "$here/../support/run.sh" "$out/run" >"$file.part" 2>&1; then
        echo "seed $seed P $p took $(($(date +%s) - start))" >>"$file.part"
        mv "$file.part" "$file"
    else
        echo "again: RT0_MAXPROCS=$p RT0DEBUG=chaos=$seed TEST" >>"$file.part"
        mv "$file.part" "$file.failed"
        echo "not ok - chaos=$seed at P = $p: $file.failed"
        grep -A 40 '^  FAIL' "$file.failed"
        failed=$((failed + 1))
    fi
}

table() {
    echo "# The suite under chaos"
    echo
    echo "\`make chaos CHAOS=$seeds SEED=$first\`, MODE $(basename "$dir"), at commit $(git rev-parse --short=12 HEAD 2>/dev/null || echo unknown)," \
        "$(date -u +%Y-%m-%d), $(nproc) processors ($(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1)), Linux $(uname -r)."
    echo "Each seed is a run of: $(for t in "$@"; do basename "$t"; done | sort | tr '\n' ' ')"
    echo
    echo "and by turns of one of: $(for t in $TURNS; do basename "$t"; done | sort | tr '\n' ' ')"
    echo
    echo "Left out:"
    echo
    left_out | while IFS='|' read -r test why; do echo "- $test: $why"; done
    echo "- fairness_test: counts fair shares, and chaos starves goroutines and processors"
    echo "- fault_test: \`make faults\` has its own seeds"
    echo
    echo "| P | seeds that passed | tests in all | seeds that failed | seconds |"
    echo "|---|---|---|---|---|"
    for want in 1 2 3 8 64; do
        for s in $(seq "$first" $((first + seeds - 1))); do
            [ "$(procs "$s")" = $want ] || continue
            [ ! -e "$out/chaos.$s" ] || cat "$out/chaos.$s"
            [ ! -e "$out/chaos.$s.failed" ] || echo FAILED
        done | awk -v p=$want '
        / passed, 0 failed$/ { tests += $1 }
        /^seed .* took / { seeds++; took += $NF }
        /^FAILED/ { bad++ }
        END { printf "| %d | %d | %d | %d | %d |\n", p, seeds, tests, bad, took }'
    done
}

for seed in $(seq "$first" $((first + seeds - 1))); do one "$seed" "$@"; done
table "$@" | if [ -n "$results" ]; then mkdir -p "$(dirname "$results")" && tee "$results"; else cat; fi
passed=$(for s in $(seq "$first" $((first + seeds - 1))); do cat "$out/chaos.$s" 2>/dev/null; done |
    awk '/ passed, 0 failed$/ { n += $1 } END { print n + 0 }')
echo "$passed passed, $failed failed"
[ $failed = 0 ]
