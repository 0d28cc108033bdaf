#!/bin/sh
# csp.sh DIR SEEDS FIRST [RESULTS]: SEEDS random programs at each of P = 1, 2, 3, 8, 64, from seed FIRST on,
# every other chunk of 50 with pauses at the windows of the lock-free protocols (RT0DEBUG=chaos).
#
# Each finished chunk leaves a file in DIR/trust, newer than the programme; a rerun does what has none, so
# that it can be interrupted.  A failed chunk leaves its output beside, NAME.failed, and is done again next
# time.  RESULTS: the file to which the table goes as well.  The last line counts programs; a failed chunk is one.
dir=$1 seeds=$2 first=$3 results=$4
prog=$dir/tests/stress/csp_prog
out=$dir/trust
size=50 passed=0 failed=0
mkdir -p "$out"

chunk() {  # chunk P FIRST COUNT
    chaos=$(($2 / size % 2 ? $2 : 0))
    file=$out/csp.P$1.$2.$3
    passed=$((passed + $3))
    [ "$file" -nt "$prog" ] && return
    rm -f "$file" "$file.failed"
    if RT0_MAXPROCS=$1 RT0DEBUG=chaos=$chaos timeout -s QUIT -k 5 600 "$prog" "$2" "$3" >"$file.part" 2>&1; then
        echo "chaos $chaos" >>"$file.part"
        mv "$file.part" "$file"
    else
        mv "$file.part" "$file.failed"
        echo "not ok - seeds from $2 at P = $1: $file.failed"
        tail -n 40 "$file.failed" | sed 's/^/        | /'
        passed=$((passed - $3)) failed=$((failed + 1))
    fi
}

table() {
    echo "# Random programs beside the sequential reference"
    echo
    echo "\`make csp SEEDS=$seeds SEED=$first\`, MODE $(basename "$dir"), at commit $(git rev-parse --short=12 HEAD 2>/dev/null || echo unknown)," \
        "$(date -u +%Y-%m-%d), $(nproc) processors ($(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1)), Linux $(uname -r)."
    echo "Each seed is one program; with chaos: run with pauses at the windows of the lock-free protocols."
    echo
    echo "| P | programs that agree | of them with chaos | processes | steps of the reference | chunks that failed |"
    echo "|---|---|---|---|---|---|"
    for p in 1 2 3 8 64; do
        ls=$(chunks | sed "s|^|$out/csp.P$p.|")
        bad=$(for f in $ls; do [ ! -e "$f.failed" ] || echo "$f"; done | wc -l)
        awk -v p=$p -v bad="$bad" '
        / agree: / { n = $5 - $3 + 1; seeds += n; procs += $7; steps += $9 }
        /^chaos [1-9]/ { chaos += n }
        END { printf "| %d | %d | %d | %d | %d | %d |\n", p, seeds, chaos, procs, steps, bad }' $(ls -d $ls 2>/dev/null) /dev/null
    done
}

chunks() {  # FIRST.COUNT of each
    at=$first
    while [ $at -lt $((first + seeds)) ]; do
        left=$((first + seeds - at))
        echo $at.$((left < size ? left : size))
        at=$((at + size))
    done
}

for p in 1 2 3 8 64; do
    for c in $(chunks); do chunk $p "${c%.*}" "${c#*.}"; done
done
table | if [ -n "$results" ]; then mkdir -p "$(dirname "$results")" && tee "$results"; else cat; fi
echo "$passed passed, $failed failed"
[ $failed = 0 ]
