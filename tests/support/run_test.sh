#!/bin/sh
# run_test.sh: the runner counts what it should: passes, failures, crashes, hangs,
# skipped tests; and need.sh says the one command when it may not install.
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d) && trap 'rm -rf "$work"' EXIT
cd "$work" || exit 2
status=0
# counts NAME CLOSING-LINE: the jobs on stdin end with that line, and the status fits.
counts() {
    sh "$here/run.sh" "$work/out" >said
    got=$?
    case $2 in *" 0 failed") want=0 ;; *) want=1 ;; esac
    [ "$2" = "0 passed, 0 failed" ] && want=1
    if [ "$(tail -n 1 said)" = "$2" ] && [ $got = $want ]; then
        echo "ok - runner: $1"
    else
        echo "not ok - runner: $1: $(tail -n 3 said), status $got"
        status=1
    fi
}
cat >gtest <<'END'
echo "[ RUN      ] A.a"; echo "[       OK ] A.a (0 ms)"
echo "[ RUN      ] A.b"; printf 'half a line'; echo "[       OK ] A.b (0 ms)"
echo "[ RUN      ] A.c"; echo "[  SKIPPED ] A.c (0 ms)"
[ "$1" = fail ] && { echo "[ RUN      ] A.d"; echo "[  FAILED  ] A.d (0 ms)"; exit 1; }
[ "$1" = crash ] && { echo "[ RUN      ] A.d"; kill -SEGV $$; }
[ "$1" = late ] && exit 3
exit 0
END
echo '- 10 true' | counts "a program that ends well" "1 passed, 0 failed"
echo '- 10 false' | counts "a program that fails" "0 passed, 1 failed"
printf '1 10 sh gtest\n2 10 sh gtest\n' | counts "GoogleTest, twice, one skipped each" "4 passed, 0 failed"
echo '- 10 sh gtest fail' | counts "GoogleTest with a failure" "2 passed, 1 failed"
echo '- 10 sh gtest crash' | counts "GoogleTest that crashes in a test" "2 passed, 1 failed"
echo '- 10 sh gtest late' | counts "GoogleTest that dies after its last test" "2 passed, 1 failed"
printf '%s\n' '- 1 sleep 60' '- 10 true' | counts "a hang" "1 passed, 1 failed"
echo 'echo "ok - x"; echo "not ok - y"; echo "ok - z"; exit 1' >script
echo '- 10 sh script' | counts "a script" "2 passed, 1 failed"
echo '[ "$RT0_MAXPROCS" = 7 ]' >procs
printf '7 10 sh procs\n' | counts "the number of processors is passed on" "1 passed, 0 failed"
: | counts "no jobs at all" "0 passed, 0 failed"

mkdir bin && for c in sh id dpkg ls grep; do ln -s "$(command -v $c)" bin/; done
said=$(PATH=$work/bin sh "$here/need.sh" g++ liburcu-dev 2>&1) && got=0 || got=$?
case $said in
"rt0: missing packages; run:  sudo apt-get install -y --no-install-recommends g++"*) [ $got = 1 ] ;;
*) false ;;
esac && echo "ok - need.sh says what to run" || { echo "not ok - need.sh said: $said ($got)"; status=1; }
exit $status
