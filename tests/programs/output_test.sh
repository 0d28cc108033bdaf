#!/bin/bash
# output_test.sh DIR: what the two smallest programs print, to the byte, and how they end.
status=0
prints() {  # prints PROGRAM TEXT
    if out=$("$dir/$1" 2>&1; echo "status $?") && [ "$out" = "$2"$'\n''status 0' ]; then
        echo "ok - $1 prints what it should"
    else
        echo "not ok - $1 printed: $out"
        status=1
    fi
}
dir=$1
for i in 1 2 3 4 5; do
    prints hello hello
    prints first "1² + 2² + … + 100² = 338350"
done
exit $status
