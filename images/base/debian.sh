#!/bin/sh
# Takes out of a Debian root what names the machine it was made on.
# Usage: debian.sh ROOT
set -eu
cd "$1"
rm -rf etc/apt/sources.list etc/apt/apt.conf.d/*mmdebstrap etc/dpkg/dpkg.cfg.d/*mmdebstrap etc/hostname etc/resolv.conf
