#!/bin/sh
# Leaves Prometheus and Alertmanager with their pages, the C library, certificates and time zones in a root of extracted
# packages, and nothing else that could be run.
# Usage: monitoring.sh ROOT
set -eu
cd "$1"
mkdir -p kept/bin kept/share kept/etc/ssl/certs
mv usr/bin/prometheus usr/bin/prometheus-alertmanager kept/bin/
cat usr/share/ca-certificates/mozilla/*.crt >kept/etc/ssl/certs/ca-certificates.crt
for name in prometheus javascript fonts-glyphicons zoneinfo; do
  if [ -e "usr/share/$name" ]; then mv "usr/share/$name" kept/share/; fi
done
# Every published state of the time zones, at 12 MB each, is for who builds the library that has them.
rm -rf kept/share/javascript/moment-timezone/data/unpacked
# The C library and libgcc are in /lib. The folders of /var stay: apt looks at them once more.
rm -rf bin sbin etc opt var/cache/* var/lib/* var/log/* usr/bin usr/sbin usr/share usr/lib usr/libexec lib/systemd
mv kept/bin kept/share usr/
mv kept/etc .
rmdir kept
printf '%s\n' root:x:0:0:root:/root:/sbin/nologin nonroot:x:65532:65532:nonroot:/:/sbin/nologin >etc/passwd
printf '%s\n' root:x:0: nonroot:x:65532: >etc/group
echo 'hosts: files dns' >etc/nsswitch.conf
