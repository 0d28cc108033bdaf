#!/bin/sh
# lint_test.sh: each rule of lint.sh, and locks.sh, finds a planted breach, at its line, and a
# clean tree passes.  The tree is a small one in a temporary directory.
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d) && trap 'rm -rf "$work"' EXIT
status=0

fresh() {
    rm -rf "$work/tree" && mkdir -p "$work/tree/tests/lint" "$work/tree/perf" "$work/tree/arch" "$work/tree/kernel_if" \
        "$work/tree/runtime/base" "$work/tree/runtime/sched" "$work/tree/runtime/include/rt0" && cd "$work/tree" || exit 2
    cp "$here/lint.sh" tests/lint/
    printf '// A program.\nint main() {\n}\n' >tests/p.cc
    printf '<!-- cut: tests/p.cc -->\n```cpp\nint main() {\n}\n```\n' >README.md
    echo 'all:' >Makefile
    echo '// Upward calls.' >runtime/base/upcall.h
}
# finds NAME TEXT: lint fails and says TEXT, and nothing else.
finds() {
    said=$(sh tests/lint/lint.sh) && failed=no || failed=yes
    if [ $failed = yes ] && [ "$said" = "$2
lint: 1 breaches in $(find . -name '*.h' -o -name '*.cc' -o -name '*.S' | wc -l) files" ]; then
        echo "ok - lint finds $1"
    else
        echo "not ok - lint on $1 said: $said"
        status=1
    fi
    fresh
}
repeat() { awk -v n="$1" -v s="$2" 'BEGIN { while (n-- > 0) print s }'; }
mo=memory_order

fresh
if sh tests/lint/lint.sh >"$work/out"; then echo "ok - a clean tree passes"; else echo "not ok - a clean tree: $(cat "$work/out")"; status=1; fi
fresh
: >notes.txt; finds "a stranger at the top level" "notes.txt:1: does not belong to the top level"
repeat 250 '# x' >Makefile; finds "a long Makefile" "Makefile:250: not under 250 lines"
(echo '// Upward.'; for i in a b c d e f g h i j k l; do echo "void upcall_${i}_x();"; done) >runtime/base/upcall.h
finds "a twelfth upward call" "runtime/base/upcall.h:1: 12 upward calls, not under 12"
printf '// B.\n#include "sched/g.h"\n' >runtime/base/b.cc; finds "an include upwards" "runtime/base/b.cc:2: base includes sched, against the arrows"
printf '// A.\n#include "kernel_if/sys.h"\n' >arch/a.h; finds "arch including kernel_if" "arch/a.h:2: arch includes kernel_if, against the arrows"
printf '// A.\n#include "g.h"\n' >runtime/sched/a.cc; finds "a bare include" "runtime/sched/a.cc:2: \"g.h\" is no path from the root or from runtime/"
printf '// K.\n#include <rt0/go.h>\n' >kernel_if/k.cc; finds "kernel_if including the public interface" "kernel_if/k.cc:2: kernel_if includes a public header"
printf '// P.\n#include "sched/g.h"\n' >runtime/include/rt0/go.h; finds "an internal header in a public one" "runtime/include/rt0/go.h:2: a public header includes \"sched/g.h\""
printf '// P.\n#include <unistd.h>\n' >runtime/include/rt0/go.h; finds "a system header in a public one" "runtime/include/rt0/go.h:2: a public header includes <unistd.h>"
printf '// S.\nlong f() { return syscall(186); }\n' >runtime/sched/s.cc; finds "a system call" "runtime/sched/s.cc:2: a system call outside kernel_if"
printf '// S.\n#include <sys/mman.h>\n' >runtime/sched/s.cc; finds "a system call's header" "runtime/sched/s.cc:2: a header of system calls outside kernel_if"
printf '// O.\nx.load(%s_acquire);\n' $mo >runtime/sched/o.cc; finds "an order without a label" "runtime/sched/o.cc:2: a memory order without its ORDER(label)"
(echo '// O.'; echo '// ORDER(a): x'; repeat 6 'f();'; echo "x.load(${mo}_acquire);"; echo '// ORDER(a): y') >runtime/sched/o.cc
finds "a label seven lines away" "runtime/sched/o.cc:9: a memory order without its ORDER(label)"
printf '// O.\n// ORDER(solo): x\nx.load(%s_acquire);\n' $mo >runtime/sched/o.cc; finds "a label at one site" "runtime/sched/o.cc:2: ORDER(solo) has no second site"
printf '// O.\nx.load(%s_relaxed);\n' $mo >runtime/sched/o.cc; finds "an unexplained relaxed" "runtime/sched/o.cc:2: relaxed, and no comment says why"
printf '// M.\nstruct m {\n    int id = 0;  // [const]\n    int x;\n    int f(int);\n};\n' >runtime/sched/m.h
finds "a field without a tag" "runtime/sched/m.h:4: a field without its tag"
printf '// P.\nstruct alignas(64) p {\n    int x;\n};\n' >runtime/sched/p.h
finds "a field without a tag in an aligned struct" "runtime/sched/p.h:3: a field without its tag"
printf '// M.\nstruct m {\n    int id GUARDED_BY(lock) = 0;\n};\n' >runtime/sched/m.h
finds "a guarded field without a tag" "runtime/sched/m.h:3: a field without its tag"
printf '// S.\nstruct schedt {\n    int a GUARDED_BY(lock) = 0;  // [lock]\n    int b = 0;  // [lock]\n};\n' >runtime/sched/s.h
finds "a field with a lock and no GUARDED_BY" "runtime/sched/s.h:4: a field under a lock without GUARDED_BY"
printf '// H.\n// Asks; answers.  [lock:heap]\nstruct held {\n    int a GUARDED_BY(lock_of_heap()) = 0;  // [lock:heap]\n    int b = 0;  // [lock:heap]\n};\n' \
    >runtime/sched/h.h
finds "a field under heap.lock and no GUARDED_BY" "runtime/sched/h.h:5: a field under a lock without GUARDED_BY"
printf '// L.\nint a GUARDED_BY(sched.lock) = 0;  // [lock:sched]\nint b = 0;  // [lock:sched]\n' >runtime/sched/l.cc
finds "a variable under sched.lock and no GUARDED_BY" "runtime/sched/l.cc:3: a field under a lock without GUARDED_BY"
printf '// M.\nstruct m {\n    m* link = nullptr;  // [lock:sched], or of what was taken off\n};\n' >runtime/sched/m.h
if sh tests/lint/lint.sh >"$work/out"; then echo "ok - a lock for a part of a field's life"; else echo "not ok - a lock for a part: $(cat "$work/out")"; status=1; fi
fresh
for f in a b; do printf '// F.\n//   XY1  x\n//   XY1  y\n' >runtime/sched/$f.h; done
said=$(sh tests/lint/lint.sh | grep -c "runtime/sched/b.h:2: XY1 is defined in runtime/sched/a.h")
[ "$said" = 1 ] && echo "ok - lint finds an invariant in two files" || { echo "not ok - lint on an invariant in two files"; status=1; }
fresh
(echo '// F.'; repeat 499 'int x;') >runtime/sched/f.cc; finds "a file of 500 lines" "runtime/sched/f.cc:500: not under 500 lines"
(echo '// F.'; echo 'void f() {'; repeat 59 '    g();'; echo '}') >runtime/sched/f.cc; finds "a function of 61 lines" "runtime/sched/f.cc:2: a function of 61 lines"
(echo '// F.'; echo 'struct f {'; repeat 99 '    int g;'; echo '};') >runtime/sched/f.cc
if sh tests/lint/lint.sh >"$work/out"; then echo "ok - a struct may be long"; else echo "not ok - a long struct: $(cat "$work/out")"; status=1; fi
fresh
echo 'int x;' >runtime/sched/f.cc; finds "a file without a head" "runtime/sched/f.cc:1: no comment says what the file is"
printf '// F.\n%0133d\n' 0 >runtime/sched/f.cc; finds "a long line" "runtime/sched/f.cc:2: longer than 132 characters"
printf '// F.\nint x; \n' >runtime/sched/f.cc; finds "a blank at the end" "runtime/sched/f.cc:2: blanks at the end"
printf '// F.\n\tint x;\n' >runtime/sched/f.cc; finds "a tab" "runtime/sched/f.cc:2: a tab"
printf '// F.\n// TO''DO: x\n' >runtime/sched/f.cc; finds "unfinished work" "runtime/sched/f.cc:2: unfinished work marked in the source"
sed -i s/main/mein/ README.md; finds "a snippet that differs" "README.md:5: the snippet is not what stands in tests/p.cc"

# locks NAME CODE [LINE]: locks.sh on CODE, which stands in line 8 beside the runtime's own locks, says LINE and
# fails, or says nothing and does not.
locks() {
    cp "$here/locks.sh" tests/lint/ && cp "$here"/../../runtime/base/*.h runtime/base/ || exit 2
    printf '%s\n' '// L.' '#include "base/lock.h"' 'using namespace rt0::runtime;' 'mutex a, b;' 'int n GUARDED_BY(a) = 0;' \
        'void locked() REQUIRES(a) { n++; }' 'bool one_p();' "$2" >runtime/base/l.cc
    [ -n "$3" ] && fails=yes || fails=no
    said=$(sh tests/lint/locks.sh 2>&1) && failed=no || failed=yes
    if [ "$said" = "${3:+runtime/base/l.cc:8: $3
}locks: 1 files analysed" ] && [ $failed = "$fails" ]; then
        echo "ok - locks.sh on $1"
    else
        echo "not ok - locks.sh on $1 said: $said"
        status=1
    fi
    fresh
}
locks "a guard" 'void f() { guard l(a); n++; locked(); }'
locks "lock and unlock" 'void f() { a.lock(); n++; a.unlock(); }'
locks "a missing lock" 'void f() { n++; }' "writing variable 'n' requires holding mutex 'a' exclusively"
locks "the wrong lock" 'void f() { guard l(b); n++; }' "writing variable 'n' requires holding mutex 'a' exclusively"
locks "a lock given up too early" 'void f() { { guard l(a); } n++; }' "writing variable 'n' requires holding mutex 'a' exclusively"
locks "a call without its lock" 'void f() { locked(); }' "calling function 'locked' requires holding mutex 'a' exclusively"
locks "a lock that is kept" 'void f() { a.lock(); n++; }' "mutex 'a' is still held at the end of function"
locks "a lock kept on one path" 'void f() { a.lock(); if (one_p()) return; a.unlock(); }' "mutex 'a' is not held on every path through here"
late='mutex& lock_of_c(); int k GUARDED_BY(lock_of_c()) = 0; struct { mutex lock; } c; mutex& lock_of_c() LOCK_RETURNED(c.lock);'
locks "a lock named before its object" "$late void f() { guard l(c.lock); k++; }"
locks "the wrong one of those" "$late void f() { guard l(a); k++; }" "writing variable 'k' requires holding mutex 'c.lock' exclusively"
locks "what is no C++" 'void f() { n++ }' "expected ';' after expression"
exit $status
