#!/bin/sh
# lint.sh: the rules of the house that a machine can check.  Prints one line per breach,
# "file:line: what", and ends with status 1 if there was any.  awk and sh only.
#
# The rules, each a function below: layout, arrows, syscalls, order, fields, shape, words,
# readme.
cd "$(dirname "$0")/../.." || exit 2
out=$(mktemp) && trap 'rm -f "$out"' EXIT
sources=$(find arch kernel_if runtime tests perf -type f \( -name '*.h' -o -name '*.cc' -o -name '*.S' \) | sort)
product=$(printf '%s\n' $sources | grep -E '^(arch|kernel_if|runtime)/')
code=$(printf '%s\n' $sources | grep -vE '\.S$')

# The top level is the user's: nothing else stands there.
layout() {
    for f in $(ls -A); do
        case $f in
        Makefile | README.md | LICENSE | kernel_if | runtime | arch | tests | perf | build) ;;
        .git | .gitignore | .gitattributes | .ci | .clang-format) ;;
        *) echo "$f:1: does not belong to the top level" ;;
        esac
    done
    awk 'END { if (NR >= 250) print "Makefile:" NR ": not under 250 lines" }' Makefile
    n=$(grep -cE '\bupcall_[a-z_]+\(' runtime/base/upcall.h)
    [ "$n" -lt 12 ] || echo "runtime/base/upcall.h:1: $n upward calls, not under 12"
}

# Includes go one way: io, debug -> chan -> gc -> sched -> mem -> base -> kernel_if -> arch.
arrows() {
    awk '
    BEGIN {
        n = split("arch kernel_if base mem sched gc chan", low, " ")
        for (i = 1; i <= n; i++) rank[low[i]] = i
        rank["io"] = rank["debug"] = n + 1
        rank["main"] = n + 2
    }
    function folder(path,   p) {
        sub(/^runtime\//, "", path)
        split(path, p, "/")
        return p[1]
    }
    /^#[ \t]*include[ \t]*"/ {
        split($0, q, "\"")
        own = folder(FILENAME); other = folder(q[2])
        if (own == "include") { print FILENAME ":" FNR ": a public header includes \"" q[2] "\""; next }
        if (!(other in rank)) { print FILENAME ":" FNR ": \"" q[2] "\" is no path from the root or from runtime/"; next }
        if (own != other && rank[other] >= rank[own]) print FILENAME ":" FNR ": " own " includes " other ", against the arrows"
    }
    /^#[ \t]*include[ \t]*</ {
        split($0, q, /[<>]/)
        own = folder(FILENAME)
        if (q[2] ~ /^rt0\// && (own == "arch" || own == "kernel_if")) print FILENAME ":" FNR ": " own " includes a public header"
        if (own == "include" && q[2] ~ /\// && q[2] !~ /^rt0\//) print FILENAME ":" FNR ": a public header includes <" q[2] ">"
        if (own == "include" && q[2] ~ /\.h$/ && q[2] !~ /^rt0\// && q[2] != "cxxabi.h") print FILENAME ":" FNR ": a public header includes <" q[2] ">"
    }' $product
}

# System calls stand in kernel_if and nowhere else in the product, but for clone, whose
# child returns on another stack: that is an assembler routine.
syscalls() {
    printf '%s\n' $product | grep -vE '^(kernel_if/|runtime/include/|arch/[a-z0-9]*/clone.S)' | xargs awk '
    { line = $0; sub(/\/\/.*/, "", line); gsub(/"[^"]*"/, "\"\"", line) }
    FILENAME ~ /\.S$/ && line ~ /^[ \t]*(syscall|svc)([ \t]|$)/ { print FILENAME ":" FNR ": a system call outside kernel_if" }
    line ~ /(^|[^A-Za-z0-9_.>:])(syscall|mmap|munmap|madvise|mprotect|sched_yield|nanosleep|clone|prctl|sigaction|sigaltstack|epoll_[a-z]+)\(/ ||
    line ~ /(^|[^A-Za-z0-9_])(SYS|__NR)_[a-z]/ { print FILENAME ":" FNR ": a system call outside kernel_if" }
    line ~ /^#[ \t]*include[ \t]*<(unistd|fcntl|sched|sys\/(mman|syscall|epoll|eventfd|prctl|uio|wait|socket|stat)|linux\/[a-z_]+)\.h>/ && $0 !~ /unistd.h>  \/\/ sysconf$/ {
        print FILENAME ":" FNR ": a header of system calls outside kernel_if"
    }'
}

# Memory orders: every acquire, release, acq_rel, seq_cst has an ORDER(label) within the
# six lines above, or on its line; every label stands at two sites at least; every
# relaxed has a comment that says "relaxed" there.
order() {
    awk '
    FNR == 1 { last = -99; why = -99; split("", tag) }
    {
        rest = $0
        while (FILENAME !~ /base\/atomic\.h$/ && match(rest, /ORDER\([A-Za-z0-9_.-]+\)/)) {
            label = substr(rest, RSTART + 6, RLENGTH - 7)
            sites[label]++
            if (!(label in where)) where[label] = FILENAME ":" FNR
            rest = substr(rest, RSTART + RLENGTH)
            last = FNR
        }
        comment = $0
        if (!sub(/^.*(\/\/|\/\*)/, "", comment)) comment = ""
        if (comment ~ /[Rr]elaxed/) why = FNR
        text = $0
        sub(/\/\/.*/, "", text)
    }
    FILENAME !~ /base\/atomic\.h$/ && text ~ /(memory_order_|memory_order::|__ATOMIC_)(acquire|release|acq_rel|seq_cst|ACQUIRE|RELEASE|ACQ_REL|SEQ_CST)/ && FNR - last > 6 {
        print FILENAME ":" FNR ": a memory order without its ORDER(label)"
    }
    FILENAME !~ /base\/atomic\.h$/ && text ~ /(memory_order_|memory_order::|__ATOMIC_)(relaxed|RELAXED)/ && FNR - why > 6 &&
    text !~ /memory_order(_|::)(acquire|release|acq_rel|seq_cst)/ {  # a failed exchange: its ORDER covers it
        print FILENAME ":" FNR ": relaxed, and no comment says why"
    }
    END { for (l in sites) if (sites[l] < 2) print where[l] ": ORDER(" l ") has no second site" }
    ' $(printf '%s\n' $product | grep -v '\.S$')
}

# Each field of the central structures ends in a comment with its tag: who may touch it.  Under a lock that can be
# named, clang is told, too (locks.sh), of any field or variable if it is one of the locks for all, and the tag the last word.
fields() {
    awk '
    /^struct (alignas\([0-9]+\) )?(g|m|p|schedt|hchan|mspan)( .*)?\{/ { inside = 1; next }
    /^\};/ { inside = 0 }
    { line = $0; guarded = sub(/ GUARDED_BY\([a-z._]+(\(\))?\)/, "", line) }
    (inside && /\[lock\]$/ || /^ *[^ \/].*;.*\[lock:(retakelock|sched|heap|allm)\]$/) && !guarded {
        print FILENAME ":" FNR ": a field under a lock without GUARDED_BY"
    }
    inside && line ~ /^    [A-Za-z].*;/ && line !~ /^    (using|static|friend|struct|constexpr|enum|template)/ &&
    line !~ /^[^;\/]*\([^;]*\)[^;{]*[;{]/ && line !~ /\[(own|lock|atomic|const|stw)/ { print FILENAME ":" FNR ": a field without its tag" }
    ' $(printf '%s\n' $product | grep -v '\.S$')
}

# An invariant's number is defined in one file only, or it could not be looked up.
invariants() {
    awk '
    /^\/\/ +[A-Z][A-Z][0-9]+  / {
        if (($2 in where) && where[$2] != FILENAME) print FILENAME ":" FNR ": " $2 " is defined in " where[$2]
        where[$2] = FILENAME
    }
    ' $(printf '%s\n' $product | grep -v '\.S$')
}

# Files under 500 lines that begin with a comment, lines of 132 characters at most (120 is the aim), no
# tabs, no blanks at the end; functions under 60 lines.  A function is what stands
# between a line that ends in "{" and the first "}" at the same indentation.
shape() {
    LC_ALL=C awk '
    function chars(s) { gsub(/[\200-\277]/, "", s); return length(s) }
    FNR == 1 {
        if (lines >= 500) print file ":" lines ": not under 500 lines"
        depth = 0; file = FILENAME
        if ($0 !~ /^(\/\/|\/\*)/) print FILENAME ":1: no comment says what the file is"
    }
    { lines = FNR }
    chars($0) > 132 { print FILENAME ":" FNR ": longer than 132 characters" }
    /[ \t]$/ { print FILENAME ":" FNR ": blanks at the end" }
    /\t/ { print FILENAME ":" FNR ": a tab" }
    FILENAME ~ /\.S$/ { next }
    /\{[ \t]*(\/\/.*)?$/ {
        match($0, /^ */); indent = RLENGTH
        open[++depth] = indent; at[depth] = FNR
        plain[depth] = $0 ~ /^ *(inline )?(namespace|struct|class|union|enum|template|extern "C"|alignas)/ || $0 ~ /= *\{/ || $0 ~ /\] *\{/
    }
    /^ *\}/ {
        match($0, /^ */); indent = RLENGTH
        while (depth > 0 && open[depth] > indent) depth--
        if (depth > 0 && open[depth] == indent) {
            if (!plain[depth] && FNR - at[depth] >= 60) print FILENAME ":" at[depth] ": a function of " FNR - at[depth] + 1 " lines"
            depth--
            if ($0 ~ /\{[ \t]*$/) { open[++depth] = indent; at[depth] = FNR; plain[depth] = 0 }
        }
    }
    END { if (lines >= 500) print file ":" lines ": not under 500 lines" }
    ' $sources
}

# Nothing unfinished is left behind.
words() {
    grep -nwE 'T''ODO|F''IXME|X''XX|H''ACK' -r --include='*' $sources Makefile README.md tests .ci 2>/dev/null |
        awk -F: '!seen[$1 ":" $2]++ { print $1 ":" $2 ": unfinished work marked in the source" }'
}

# Each ```cpp block of the README after a line <!-- cut: FILE --> equals FILE without
# its head comment.
readme() {
    awk '
    /^<!-- cut: / { file = $3; cuts++; next }
    /^```cpp/ && file != "" {
        want = ""; got = ""; head = 1
        while ((getline line < file) > 0) {
            if (head && line ~ /^\/\//) continue
            head = 0
            want = want line "\n"
        }
        close(file)
        while ((getline line) > 0 && line !~ /^```/) got = got line "\n"
        if (want == "" || want != got) print FILENAME ":" NR ": the snippet is not what stands in " file
        file = ""; next
    }
    /^```cpp/ { print FILENAME ":" NR ": a snippet that names no file" }
    END { if (!cuts) print FILENAME ":1: no snippet is cut from a program" }
    ' README.md
}

for rule in layout arrows syscalls order fields invariants shape words readme; do
    $rule >>"$out" 2>&1
done
sort -t: -k1,1 -k2,2n "$out"
n=$(wc -l <"$out")
echo "lint: $n breaches in $(printf '%s\n' $sources | wc -l) files"
[ "$n" -eq 0 ]
