# What the perf recipes share; sourced by them, with $0 theirs.
export LC_ALL=C
die() { echo "$(basename "$0"): $*" >&2; exit 2; }
usage() { sed -n '2,/^$/ { /^#/!q; s/^# \{0,1\}//p; }' "$0" >&2; exit 2; }
# Ends the script unless perf is there and the kernel lets us use it.
need_perf() {
    command -v perf >/dev/null || die "perf is missing: apt-get install linux-perf"
    perf stat -x, -e task-clock true >/dev/null 2>&1 ||
        die "the kernel refuses perf_event_open: be root, or lower /proc/sys/kernel/perf_event_paranoid"
}
# Whether perf can count event $1 (virtual machines often lack the counters of the processor).
counts() { perf stat -x, -e "$1" true 2>&1 >/dev/null | grep -q "^[0-9.]*,[^,]*,$1"; }
# Where data go when -o does not say.
scratch() { if [ -d build ]; then echo "build/$1"; else echo "$1"; fi; }
