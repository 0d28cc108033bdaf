#!/bin/sh
# need-go.sh: Go, the peer that every ratio is to: 1.23 from Debian's backports where apt
# reaches them, otherwise the one of this Debian.  The backports are read for this one
# installation, from the mirror that apt uses already; the machine's sources stay as they
# are.
newer=golang-1.23-go
[ -x /usr/lib/go-1.23/bin/go ] && exit 0

from_backports() {
    [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null || return
    apt-get update
    codename=$(. /etc/os-release && echo "$VERSION_CODENAME")
    mirror=$(apt-get indextargets --format '$(SITE)' "Codename: $codename" 'Label: Debian' | head -n 1)
    [ -n "$mirror" ] || return
    list=$PWD/build/.backports.list
    echo "deb $mirror $codename-backports main" >"$list"
    set -- -o "Dir::Etc::sourcelist=$list"
    apt-get "$@" -o Dir::Etc::sourceparts=- -o APT::Get::List-Cleanup=0 update &&
        DEBIAN_FRONTEND=noninteractive apt-get "$@" install -y --no-install-recommends $newer
}

cd "$(dirname "$0")/../.." && mkdir -p build || exit
from_backports >build/.need-go.log 2>&1 && echo "rt0: installed $newer" && exit 0
exec sh tests/support/need.sh golang-go
