#!/bin/sh
# Leaves libraries, certificates and time zones in a root of extracted packages, and nothing that could be run.
# Usage: distroless.sh ROOT
set -eu
cd "$1"
cat usr/share/ca-certificates/mozilla/*.crt >etc/ssl/certs/ca-certificates.crt
rm -rf usr/bin/* usr/sbin/* usr/lib/ssl/misc usr/share/perl* usr/lib/*/perl* usr/lib/*/gconv \
  usr/share/base-files usr/share/bash-completion usr/share/debconf usr/share/lintian usr/share/pixmaps \
  etc/apt etc/debconf.conf etc/default etc/dpkg etc/fstab etc/hostname etc/issue* etc/profile.d etc/resolv.conf \
  etc/skel etc/update-motd.d var/cache/* var/lib/* var/log/*
printf '%s\n' root:x:0:0:root:/root:/sbin/nologin nonroot:x:65532:65532:nonroot:/:/sbin/nologin >etc/passwd
printf '%s\n' root:x:0: nonroot:x:65532: >etc/group
echo 'hosts: files dns' >etc/nsswitch.conf
