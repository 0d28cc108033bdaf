#!/bin/sh
# trust.sh STEPS [RESULTS]: what takes too long for each commit, in full: the steps of the list below, or those of them that
# STEPS names.  `make trust` calls it, with MODE, SEEDS, CHAOS and FIRST in the environment.
#
# A step that passed leaves a stamp, NAME, under build/trust, which holds as long as no file of the tree changes (results
# and documents aside, but for README): a rerun goes on with what has none, so that it can be interrupted.  One that failed leaves
# NAME.failed and is done again next time; the others run all the same.  The log of each is NAME.log.
# RESULTS: the file to which the table goes as well.  Its rows for steps that did not run here, on this machine, are those
# that it had: so it can be filled in several sittings.  Each row names its commit.
steps=$1 results=$2
had=${results:-tests/results/trust.md}
out=build/trust
mkdir -p $out
# Each step is a make of its own, as if typed; from the calling one it has -j, and the environment, where make puts what was
# given on its command line: SEED, and RESULTS for the tables of csp and chaos.
jobs=$(printf '%s' "$MAKEFLAGS" | grep -oE -e '-j[0-9]+')
unset MAKEFLAGS MAKELEVEL MFLAGS PART N SMALL SECS T GTEST_FILTER
m=$([ "${MODE:-release}" = release ] || echo "MODE=$MODE ")

# The seeds of chaos, some at a time.  Half of them go with a debug build, which has more windows.
chaos() {  # chaos NAME COMMAND FIRST COUNT
    at=$3 end=$(($3 + $4))
    while [ $at -lt $end ]; do
        n=$((end - at < 25 ? end - at : 25))
        echo "$1.$at.$n chaos $2chaos CHAOS=$n SEED=$at"
        at=$((at + n))
    done
}
half=$((CHAOS / 2))

list() {  # NAME STEP COMMAND of make
    sed "/^$/d; s/^\([^ ]*\)/\1${m:+.$MODE}/" <<END
models models models
model model MODE=model test
mutations.1 mutations mutations N=1/4
mutations.2 mutations mutations N=2/4
mutations.3 mutations mutations N=3/4
mutations.4 mutations mutations N=4/4
asan asan asan ALL=1
tsan tsan MODE=tsan test ALL=1
valgrind valgrind ${m}valgrind
seeds seeds ${m}run-test T=tests/crash/seed_test
csp.$FIRST.$SEEDS csp ${m}csp SEEDS=$SEEDS SEED=$FIRST
$(chaos chaos "$m" "$FIRST" $half)
$(chaos chaos-debug 'MODE=debug ' $((FIRST + half)) $((CHAOS - half)))
END
}
wanted() { case " ${steps:-$1} " in *" $1 "*) ;; *) false ;; esac; }
# The tree as it lies there, committed or not.
git rev-parse HEAD >/dev/null || { echo "trust: stamps are for a tree of git's"; exit 2; }
tree=$({ git ls-files -co --exclude-standard -- . ':!tests/results' ':!*.md'; echo README.md; } | sort | xargs -d '\n' sha1sum 2>/dev/null | sha1sum | cut -c1-12)
commit=$(git rev-parse --short=12 HEAD)$(git diff --quiet HEAD -- . ':!*.md' || echo +)

counts() {  # counts LOG STATUS: tests passed and failed: the closing line's, or GoogleTest's, or the step itself
    awk -v status="$2" '
    /^[0-9]+ passed, [0-9]+ failed$/ { p = $1; f = $3; closed = 1 }
    /^\[       OK \]/ && !closed { p++ }
    /^\[  FAILED  \] .*ms\)$/ && !closed { f++ }
    END { if (status != 0 && !f) f = 1; if (!p && !f) p = 1; print p + 0, f + 0 }' "$1"
}

run() {  # run NAME COMMAND...
    file=$out/$1
    shift
    [ "$(sed 's/ .*//' "$file" 2>/dev/null)" = "$tree" ] && { echo "  had   make $*"; return; }
    rm -f "$file" "$file.failed"
    echo "  run   make $*"
    start=$(date +%s)
    # Of chaos only the table here is for all seeds.
    RESULTS=$([ "$step" = chaos ] || printf '%s' "$RESULTS") make $jobs "$@" >"$file.log" 2>&1 </dev/null
    set -- $? "$(($(date +%s) - start))" "$*"
    set -- "$@" $(counts "$file.log" "$1")
    [ "$1" = 0 ] && stamp=$file || stamp=$file.failed
    echo "$tree $commit $4 $5 $2" >"$stamp"
    case $1 in
    0) echo "  ok    make $3: $4 passed, $2 s" ;;
    *) echo "  FAIL  make $3: $4 passed, $5 failed, status $1, $2 s: $file.log" ;;
    esac
}

table() {
    echo "# Everything in full"
    echo
    echo "\`make trust\`, last on $(date -u +%Y-%m-%d), $(nproc) processors ($(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1))," \
        "Linux $(uname -r). A commit with a + had changes."
    echo
    echo "| step | command | passed | failed | seconds | commit |"
    echo "|---|---|---|---|---|---|"
    list | while read -r name step command; do
        stamp=$out/$name
        [ -e "$stamp" ] || stamp=$stamp.failed
        if [ -e "$stamp" ] && read -r _ at passed failed secs <"$stamp"; then
            echo "| $step | \`make $command\` | $passed | $failed | $secs | $at |"
        else
            grep -sF "| $step | \`make $command\` |" "$had" || echo "| $step | \`make $command\` | not run | | | |"
        fi
    done
}

for s in $steps; do
    list | cut -d ' ' -f 2 | grep -qx "$s" || { echo "trust: no step '$s'; there are: $(list | cut -d ' ' -f 2 | uniq | tr '\n' ' ')"; exit 2; }
done
list >$out/list
while read -r name step command; do
    wanted "$step" && run "$name" $command
done <$out/list
table
missing=0
[ -z "$results" ] || { mkdir -p "$(dirname "$results")" && table >$out/table && mv $out/table "$results"; } || missing=1
while read -r name step command; do
    wanted "$step" && [ ! -e "$out/$name" ] && missing=$((missing + 1))
done <$out/list
[ $missing = 0 ]
