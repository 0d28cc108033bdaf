#!/bin/sh
# run.sh DIR: runs the jobs listed on stdin, as many at a time as there are processors,
# and ends with "N passed, N failed" over all of them (status 1 if any failed).
#
# A job is one line:  PROCS LIMIT COMMAND…
#   PROCS   value of RT0_MAXPROCS, or "-" to leave it unset
#   LIMIT   seconds until the job is ended with SIGQUIT (a goroutine dump) and, 5 s later, killed
#           (no verdict depends on it: a hang has to end somehow)
# What a job's output says is counted:
#   GoogleTest   one test per "[ RUN" line, passed if "[ OK ]" follows
#   scripts      one test per line "ok - …" or "not ok - …"
#   programs     nothing of the kind: one test, passed if the status is 0
# A status other than 0 is at least one failure.  Logs stay in DIR/log; those of failed
# jobs are shown.  What GoogleTest skipped is neither passed nor failed: how many, and why, is said before the last line.
if [ "$1" != --job ]; then
    dir=$1
    rm -rf "$dir/log" && mkdir -p "$dir/log"
    xargs -r -d '\n' -n 1 -P "${JOBS:-$(nproc)}" sh "$0" --job "$dir/log"
    grep -hA 1 ': Skipped$' "$dir"/log/*.log 2>/dev/null | grep -vE ': Skipped$|^--$' | sort | uniq -c | sort -rn |
        awk '{ n = $1; sub(/^ *[0-9]+ /, ""); printf "  skip  %4d: %s\n", n, $0 }'
    cat "$dir"/log/*.result 2>/dev/null |
        awk '{ p += $1; f += $2 } END { printf "%d passed, %d failed\n", p, f; exit f > 0 || p == 0 }'
    exit
fi

log=$2
set -f
set -- $3
procs=$1 limit=$2
shift 2
name=$(printf '%s' "$*" | sed "s|^sh ||; s|^build/[a-z-]*/||; s|^tests/||")
file=$log/$(printf '%s.P%s' "$name" "$procs" | tr -c 'A-Za-z0-9_.-' _)
[ "$procs" = - ] || export RT0_MAXPROCS="$procs"

start=$(date +%s.%N)
timeout -s QUIT -k 5 "$limit" "$@" >"$file.log" 2>&1 </dev/null
status=$?
counts=$(awk -v status=$status '
    /^\[ RUN      \]/ { run++ }
    /\[       OK \]/ { ok++ }
    /\[  SKIPPED \] [^ ]* \(/ { skip++ }
    /^ok - / { run++; ok++ }
    /^not ok - / { run++ }
    END {
        if (!run && status == 0) { run = 1; ok = 1 }
        failed = run - ok - skip
        if (status != 0 && failed <= 0) failed = 1
        print ok + 0, failed + 0
    }' "$file.log")
echo "$counts" >"$file.result"
took=$(echo "$start $(date +%s.%N)" | awk '{ printf "%.1f", $2 - $1 }')
case $counts in
*" 0") printf '  ok    %-48s P=%-3s %4s tests %6ss\n' "$name" "$procs" "${counts% *}" "$took" ;;
*)
    {
        printf '  FAIL  %-48s P=%-3s %s passed, %s failed, status %s, %ss: %s\n' \
            "$name" "$procs" "${counts% *}" "${counts#* }" "$status" "$took" "$file.log"
        { grep -A 12 -E 'Failure$|^not ok|^(fatal error|panic|rt0): ' "$file.log" | head -n 60; echo ...; tail -n 25 "$file.log"; } |
            sed 's/^/        | /'
    } ;;
esac
exit 0
