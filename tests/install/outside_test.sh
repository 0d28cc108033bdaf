#!/bin/sh
# outside_test.sh MODE: installs rt0 into an empty directory, as a package would
# (DESTDIR) and as a user would (PREFIX), and builds a project outside the tree with
# pkg-config, with pkg-config --static and with CMake; runs what came out.  With MODE asan or tsan, which are not installed:
# builds it by the command that stands in the README for that, and runs it.
root=$(cd "$(dirname "$0")/../.." && pwd)
work=$(mktemp -d) && trap 'rm -rf "$work"' EXIT
status=0
verdict() {
    if [ $? = 0 ]; then echo "ok - outside: $1"; else echo "not ok - outside: $1"; status=1; fi
}
says_42() { [ "$("$@")" = "outside: 42" ]; }

case $1 in
asan | tsan)
    kind=$(case $1 in asan) echo address ;; tsan) echo thread ;; esac)
    command=$(awk -v flag="-fsanitize=$kind" '/^    [a-z]/ && index($0, flag) { on = 1 } on; on && !/\\$/ { exit }' "$root/README.md")
    cp "$root/tests/install/outside/prog.cc" "$work" && cd "$work" || exit 2
    unset ASAN_OPTIONS
    export RT0="$root" TSAN_OPTIONS=report_thread_leaks=0  # the README says so
    eval "$command"
    verdict "the README's command for -fsanitize=$kind"
    [ "$(./prog 2>&1)" = "outside: 42" ]
    verdict "what it built runs, and no report comes"
    nm ./prog | grep -q "__${1}_init"
    verdict "it has $1 in it"
    exit $status ;;
esac

make -s -C "$root" MODE="$1" DESTDIR="$work/stage" PREFIX=/usr install >"$work/log" 2>&1
verdict "make install DESTDIR= PREFIX=/usr" || cat "$work/log"
[ -e "$work/stage/usr/include/rt0/rt0.h" ] && [ -e "$work/stage/usr/lib/librt0.so" ] &&
    [ -e "$work/stage/usr/share/doc/rt0/README.md" ] && [ -e "$work/stage/usr/share/doc/rt0/LICENSE" ] &&
    ! grep -rq "$work" "$work/stage/usr/lib/pkgconfig" "$work/stage/usr/lib/cmake"
verdict "what lies under DESTDIR does not name it"

prefix=$work/prefix
make -s -C "$root" MODE="$1" PREFIX="$prefix" install >"$work/log" 2>&1
verdict "make install PREFIX=" || cat "$work/log"
export PKG_CONFIG_PATH="$prefix/lib/pkgconfig"
cp "$root"/tests/install/outside/* "$work" && cd "$work" || exit 2

pkg-config --cflags rt0 | grep -q -e -fstack-clash-protection && pkg-config --cflags rt0 | grep -q -e -pthread
verdict "pkg-config exports -fstack-clash-protection and -pthread"
g++ -std=c++20 -O2 prog.cc -o shared $(pkg-config --cflags --libs rt0) "-Wl,-rpath,$prefix/lib"
says_42 ./shared
verdict "pkg-config, librt0.so"
ldd ./shared | grep -q "$prefix/lib/librt0.so.0"
verdict "it is the installed librt0.so.0 that was used"
mkdir only_a && cp "$prefix"/lib/*.a only_a
g++ -std=c++20 -O2 prog.cc -o archive $(pkg-config --cflags rt0) -Lonly_a $(pkg-config --static --libs rt0 | sed "s|-L$prefix/lib||")
says_42 ./archive && ! ldd ./archive | grep -q librt0
verdict "pkg-config, librt0.a"
g++ -std=c++20 -O2 -static prog.cc -o static $(pkg-config --static --cflags --libs rt0) 2>"$work/log"
says_42 ./static
verdict "pkg-config --static, g++ -static"
g++ -std=c++20 -O2 own_main.cc -o own $(pkg-config --cflags --libs rt0) "-Wl,-rpath,$prefix/lib"
[ "$(./own)" = "outside: 1 processors" ]
verdict "pkg-config, a program with its own main"
g++ -std=c++20 -O2 -fno-rtti own_main.cc -o no_rtti $(pkg-config --cflags --libs rt0) "-Wl,-rpath,$prefix/lib"
[ "$(./no_rtti)" = "outside: 1 processors" ]
verdict "pkg-config, a program without RTTI"
g++ -std=c++20 -O2 -shared -fPIC plugin.cc -o plugin.so $(pkg-config --cflags --libs rt0) "-Wl,-rpath,$prefix/lib" &&
    g++ -std=c++20 -O2 host.cc -o host
says_42 timeout 60 ./host
verdict "pkg-config, a library that uses rt0 while dlopen loads it"

cmake -S . -B cm -DCMAKE_PREFIX_PATH="$prefix" >"$work/log" 2>&1 && cmake --build cm >>"$work/log" 2>&1
verdict "CMake finds and builds" || tail -n 30 "$work/log"
says_42 cm/prog
verdict "CMake, rt0::main"
says_42 cm/prog_static && ! ldd cm/prog_static | grep -q librt0
verdict "CMake, rt0::main_static"
[ "$(cm/own_main)" = "outside: 1 processors" ]
verdict "CMake, rt0::rt0 and a program with its own main"

# librt0.so shows namespace rt0 and hides what is inside.
nm -DC --defined-only "$prefix/lib/librt0.so" | grep -v ' rt0::runtime::rt0_go(' >syms  # librt0_main.a calls it
! grep -E ' rt0::(runtime|kernel|arch)::| rt0_(tls|switch|gogo|mcall)' syms
verdict "librt0.so hides the runtime's internals"
! awk '{ $1 = $2 = ""; print }' syms | grep -vE '^ *(typeinfo( name)? for |vtable for |VTT for |non-virtual thunk to )?rt0::'
verdict "librt0.so exports nothing but namespace rt0"

make -s -C "$root" MODE="$1" PREFIX="$prefix" uninstall >"$work/log" 2>&1
[ -z "$(find "$prefix" -type f -o -type l)" ]
verdict "make uninstall leaves no file"
exit $status
