#!/bin/sh
# coverage.sh DIR: what the programs built under DIR have run of runtime/ and kernel_if/ since the counters there were
# last deleted: a table of lines and branches per file, what was not run and why (coverage.py, coverage_gaps), and HTML
# in DIR/html, where each copy of a template counts for itself.
dir=$1
rm -rf "$dir/html" && mkdir -p "$dir/html"
gcovr --root . --object-directory "$dir" --filter runtime/ --filter kernel_if/ --exclude-throw-branches \
    --html-details "$dir/html/index.html" "$dir" 2>"$dir/html/log" && echo "HTML: $dir/html/index.html" ||
    echo "no HTML: $dir/html/log"
python3 tests/support/coverage.py "$dir" tests/support/coverage_gaps
