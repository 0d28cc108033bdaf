#!/bin/sh
# coverage.sh DIR: what the programs built under DIR have run of runtime/ and kernel_if/ since the counters
# there were last deleted: a table of lines and branches per file, and HTML in DIR/html.  Branches that only
# an exception takes are not counted.
set -e
dir=$1
rm -rf "$dir/html" && mkdir -p "$dir/html"
gcovr --root . --object-directory "$dir" --filter runtime/ --filter kernel_if/ --exclude-throw-branches \
    --csv "$dir/html/coverage.csv" --html-details "$dir/html/index.html" "$dir"
awk -F, '
function percent(part, of) { return of ? sprintf("%5.1f %%", 100 * part / of) : "      -" }
function line(name, lt, lc, bt, bc) {
    printf "%-44s %5d / %5d %s   %5d / %5d %s\n", name, lc, lt, percent(lc, lt), bc, bt, percent(bc, bt)
}
NR == 1 { printf "%-44s %21s   %21s\n", "file", "lines", "branches"; next }
{ line($1, $2, $3, $5, $6); lt += $2; lc += $3; bt += $5; bc += $6 }
END { line("all", lt, lc, bt, bc); exit lt == 0 }' "$dir/html/coverage.csv"
echo "HTML: $dir/html/index.html"
