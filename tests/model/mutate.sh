#!/bin/bash
# mutate.sh [k/n [PATTERN]]: breaks the product in a copy, one way at a time, and asserts that the model finds it.
#
# tests/model/mutations lists them.  Each must apply (its old text stands in the file exactly once), and the named
# test must pass without it and fail with it.  With k/n only the k-th of n parts of the list; with PATTERN only names that awk matches with it.  The copies lie in
# build/mutations: `base` as it is, built, and `work`, made from it anew each time, so that only what includes the
# changed file is compiled again.
cd "$(dirname "$0")/../.." || exit 2
slice=${1:-1/1} only=${2:-.}
top=build/mutations
mkdir -p $top/base || exit 2
passed=0 failed=0

result() {  # result STATUS NAME [WHY]
    if [ "$1" = 0 ]; then passed=$((passed + 1)); echo "ok - $2"
    else failed=$((failed + 1)); echo "not ok - $2${3:+: $3}"; fi
}
# With what is compiled already, if make MODE=model was here before.
copy_sources() {
    tar cf - --exclude=./build --exclude=./.git . | tar xf - -C $top/base
    [ ! -d build/model ] || { mkdir -p $top/base/build && cp -a build/model $top/base/build/; }
}
models() { make -C "$1" --no-print-directory MODE=model "build/model/tests/model/$2" </dev/null >"$top/log" 2>&1; }
run() { timeout 300 "$1/build/model/tests/model/$2" --gtest_brief=1 --gtest_filter="$3" </dev/null >"$top/log" 2>&1; }

# One line for each mutation: name, file, test, filter; its texts go to $top/old.NAME and $top/new.NAME.
list() {
    awk -v top=$top '
    function text(kind, line) { t[kind] = t[kind] (kind in t ? "\n" : "") line }
    function flush() {
        if (name == "") return
        printf "%s", t["old"] >(top "/old." name); close(top "/old." name)
        printf "%s", t["new"] >(top "/new." name); close(top "/new." name)
        print name, file, test
        delete t
    }
    /^== / { flush(); name = $2; next }
    /^file: / { file = $2 }
    /^test: / { test = $2 " " $3 }
    /^old: / { text("old", substr($0, 6)) }
    /^new: / { text("new", substr($0, 6)) }
    /^new:$/ { text("new", "") }
    END { flush() }' tests/model/mutations | awk -v k="${slice%/*}" -v n="${slice#*/}" -v only="$only" '(NR - 1) % n == k - 1 && $1 ~ only'
}

apply() {  # apply FILE NAME: in the working copy
    python3 - "$top/work/$1" "$top/old.$2" "$top/new.$2" <<'PY'
import sys
path, old, new = sys.argv[1], open(sys.argv[2]).read(), open(sys.argv[3]).read()
text = open(path).read()
if text.count(old) != 1:
    sys.exit(f"the old text stands there {text.count(old)} times")
open(path, "w").write(text.replace(old, new))
PY
}

mutation() {  # mutation NAME FILE TEST FILTER
    local why
    rm -rf $top/work
    cp -a $top/base $top/work
    why=$(apply "$2" "$1" 2>&1) || { result 1 "$1" "$why"; return; }
    models $top/work "$3" || { result 1 "$1" "does not compile: $(grep -m 1 error "$top/log")"; return; }
    run $top/work "$3" "$4"
    case $? in
    0) result 1 "$1" "nobody noticed ($3 $4)" ;;
    1) grep -q 'Failure' "$top/log"; result $? "$1" "failed in some other way" ;;
    134 | 139) result 0 "$1" ;;  # it crashed
    *) result 1 "$1" "$3 did not end by itself" ;;
    esac
}

copy_sources
list >$top/list
while read -r name file test filter; do
    echo "$test $filter"
done <$top/list | sort -u | while read -r test filter; do
    models $top/base "$test" && run $top/base "$test" "$filter"
    echo "$? $test $filter, not mutated"
done >$top/unmutated
while read -r status what; do result "$status" "$what"; done <$top/unmutated
while read -r name file test filter; do mutation "$name" "$file" "$test" "$filter"; done <$top/list
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
