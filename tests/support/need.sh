#!/bin/sh
# need.sh PACKAGE...: makes sure that each Debian package is there, judged by the one
# file or command of it that we use, so that it also works where dpkg knows nothing.
# Missing ones are installed when this is root with apt-get; otherwise one line says
# what to run.  Silent when nothing is missing.
have() {
    case $1 in
    g++ | gcc | spin | clang | cmake | bpftrace) t=$1; [ "$1" = clang ] && t=clang++; command -v "$t" >/dev/null ;;
    linux-perf)   command -v perf >/dev/null ;;
    pkg-config)   command -v pkg-config >/dev/null ;;
    liburcu-dev)  ls /usr/include/urcu/urcu-memb.h /usr/include/*/urcu/urcu-memb.h 2>/dev/null | grep -q . ;;
    libgtest-dev) [ -e /usr/include/gtest/gtest.h ] ;;
    libssl-dev)   [ -e /usr/include/openssl/evp.h ] ;;
    python3)      command -v python3 >/dev/null ;;
    *)            dpkg -s "$1" >/dev/null 2>&1 ;;
    esac
}
missing=
for p in "$@"; do have "$p" || missing="$missing $p"; done
[ -z "$missing" ] && exit 0
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    echo "rt0: missing packages; run:  sudo apt-get install -y --no-install-recommends$missing" >&2
    exit 1
fi
# Several targets of one parallel make may ask at once: one installs, the others wait.
mkdir -p build
exec 9>build/.need.lock
flock 9
for p in "$@"; do have "$p" || again=1; done
[ -z "$again" ] && exit 0
echo "rt0: installing$missing"
export DEBIAN_FRONTEND=noninteractive
log=build/.need.log
apt-get update >"$log" 2>&1
apt-get install -y --no-install-recommends $missing >>"$log" 2>&1 || { tail -n 5 "$log" >&2; exit 1; }
