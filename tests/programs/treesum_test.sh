#!/bin/bash
# treesum_test.sh TREESUM: compares its digest, counts and exit status with what the
# system's own tools say of the same trees.  One line "ok - …" or "not ok - …" per case.
tool=$(realpath "$1")
work=$(mktemp -d) && trap 'chmod -R u+rwx "$work" 2>/dev/null; rm -rf "$work"' EXIT
cp "$tool" "$work/treesum" && chmod 755 "$work" "$work/treesum" && cd "$work" || exit 2
run=(env)  # a prefix for commands, to run them as somebody else
status=0

verdict() {  # verdict NAME: reads the outcome of the last command
    if [ $? = 0 ]; then echo "ok - treesum: $1"; else echo "not ok - treesum: $1"; status=1; fi
}
field() { awk -v f="$1" '$1 == f { print $2 }' out; }
system_digest() {
    "${run[@]}" find "$@" -type f -print0 2>/dev/null | LC_ALL=C sort -z |
        "${run[@]}" xargs -0r sha256sum --zero 2>/dev/null | sha256sum | cut -d' ' -f1
}
sum() { "${run[@]}" ./treesum "$@" >out 2>err; }
# same NAME STATUS DIR…: the digest is the system's, the exit status is STATUS.
same() {
    local name=$1 want=$2 got
    shift 2
    sum "$@"
    got=$?
    [ "$got" = "$want" ] && [ "$(field digest)" = "$(system_digest "$@")" ]
    verdict "$name" || true
    [ "$got" = "$want" ] || { echo "    status $got, not $want"; cat out err | head -n 20; }
}

# A tree of files of all kinds.
mkdir -p tree/empty-dir tree/sub
printf 'hello\n' >tree/hello
: >tree/empty
printf 'x' >'tree/ a name with  blanks '
printf 'y' >$'tree/a\nnewline and a \\backslash\r'
printf 'z' >$'tree/not \xff\xfe UTF-8'
printf 'w' >'tree/-n'
head -c 131072 /dev/urandom >tree/as-long-as-the-buffer
head -c 131073 /dev/urandom >tree/one-more
head -c 5000000 /dev/urandom >tree/sub/large
mkfifo tree/fifo
ln -s hello tree/link
ln -s .. tree/sub/up
ln -s loop tree/loop
ln -s tree link-to-tree
deep=tree
for i in $(seq 200); do deep=$deep/deep$i; done
mkdir -p "$deep" && echo bottom >"$deep/file"
mkdir tree/many && (cd tree/many && seq 3000 | split -l 1 -a 4 -)

same "odd names, empty files, links, a deep tree" 0 tree
[ "$(field files)" = "$(find tree -type f -printf x | wc -c)" ]
verdict "the number of files"
[ "$(field bytes)" = "$(find tree -type f -printf '%s\n' | awk '{ s += $1 } END { print s + 0 }')" ]
verdict "the number of bytes"
[ "$(field seconds | tr -d 0-9)" = . ] && [ "$(field goroutines)" -ge 7 ] && [ "$(field Ms)" -ge 1 ]
verdict "seconds, goroutines and Ms"
same "a slash at the end of the name" 0 tree/
same "two trees" 0 tree/sub tree/many
same "a tree named twice" 0 tree/sub tree/sub
same "a single file" 0 tree/hello
same "an empty directory" 0 tree/empty-dir
same "a name after --" 0 -- tree/sub
for p in 1 2 3 8 64; do
    RT0_MAXPROCS=$p same "P = $p" 0 tree
done
same "/usr/include" 0 /usr/include

# What cannot be read.
same "a directory that is not there" 1 tree/none tree/sub
grep -q '^treesum: tree/none: No such file or directory$' err
verdict "its name and its error are reported"
sum link-to-tree
[ $? = 1 ] && [ "$(field files)" = 0 ] && grep -q '^treesum: link-to-tree: ' err
verdict "a link given as a tree is named and not followed"
same "a file whose reads fail" 1 /proc/self/mem tree/sub
grep -q '^treesum: /proc/self/mem: Input/output error$' err
verdict "the failing read is reported"
chmod 000 tree/hello tree/sub
if [ "$(id -u)" = 0 ]; then  # root reads everything: be nobody for a moment
    run=(setpriv --reuid=65534 --regid=65534 --clear-groups)
    chmod -R go+rX tree && chmod 000 tree/hello tree/sub
fi
same "an unreadable file and an unreadable directory" 1 tree
# In a build that counts branches nobody cannot write the counters, and libgcov says so.
[ "$(grep -v '^profiling:' err)" = "treesum: tree/hello: Permission denied
treesum: tree/sub: Permission denied" ]
verdict "both are reported, in order, and nothing else"
run=(env)
chmod 755 tree/hello tree/sub

# Arguments and output.
for args in "" "-x" "--help tree"; do
    sum $args
    [ $? = 2 ] && [ ! -s out ] && [ "$(cat err)" = "usage: treesum [--] DIR..." ]
    verdict "usage after arguments '$args'"
done
sum ""
[ $? = 2 ]
verdict "usage after an empty name"
./treesum tree/sub >/dev/full 2>err
[ $? = 1 ] && grep -q 'standard output: No space left' err
verdict "a full disk under standard output"
./treesum tree >out 2>err
[ ! -s err ]
verdict "no progress line where there is no terminal"
TERM=dumb script -qec "./treesum /usr/include" /dev/null </dev/null >tty.out 2>&1
[ $? = 0 ] && tr '\r' '\n' <tty.out | grep -q '^0 files, 0 MB' && grep -q '^digest ' tty.out
verdict "a progress line on a terminal"
exit $status
