#!/bin/sh
# Installs what the image takes from Debian: PostgreSQL's server and client tools of one major version,
# and what Patroni needs. Then drops what they pull in and never run. Does nothing where it has run before,
# so a base image that has the packages already is taken as it is.
# Usage: packages.sh MAJOR
set -eu
major=$1
done=/usr/local/share/rates/packages-$major
[ ! -e "$done" ] || exit 0
export DEBIAN_FRONTEND=noninteractive

# The pod runs as 999:999; Debian's package takes a user of that name as it finds it.
echo 'postgres:x:999:' >>/etc/group
echo 'postgres:x:999:999:PostgreSQL:/data:/bin/sh' >>/etc/passwd
mkdir -p /etc/postgresql-common /usr/local/share/rates
echo 'create_main_cluster = false' >/etc/postgresql-common/createcluster.conf

apt-get update -q
apt-get install -qy --no-install-recommends "postgresql-$major" ca-certificates \
  python3 python3-click python3-dateutil python3-prettytable python3-psutil python3-psycopg2 \
  python3-urllib3 python3-yaml

# The JIT compiler, Perl's library and the compiled locales: no command of this image uses them.
# (`C.UTF-8` is part of libc-bin; a server without llvmjit.so plans as if `jit` were off.)
purge() {
  installed=$(dpkg-query -W -f '${db:Status-Abbrev} ${Package}\n' "$@" 2>/dev/null | awk '$1 == "ii" {print $2}')
  # shellcheck disable=SC2086 # one word a package
  [ -z "$installed" ] || dpkg --purge --force-depends $installed
}
purge 'libllvm*' 'libz3-4' 'perl' 'libperl5*' 'perl-modules-5*' 'locales' 'libc-l10n' 'libgdbm*' 'ssl-cert'
rm -rf "/usr/lib/postgresql/$major/lib/bitcode" "/usr/lib/postgresql/$major/lib/"llvmjit*
rm -rf /usr/share/man /usr/share/locale /usr/share/info /usr/share/postgresql/"$major"/man
rm -rf /var/lib/apt/lists/* /var/cache/* /var/log/* /var/lib/postgresql

# Byte code that is trusted without a look at the sources' times: the root file system is read-only.
python3 -m compileall -q -f --invalidation-mode unchecked-hash /usr/lib/python3/dist-packages /usr/lib/python3.*
touch "$done"
