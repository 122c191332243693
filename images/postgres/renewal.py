"""Before Patroni promotes a server of a version that has this defect: starts the server anew.

PostgreSQL 13.5 to 13.8 (and 14.1 to 14.5) keep the place of a record that once was incomplete, also after the log went on
there with another one. At the promotion they cut the log off at that place: "PANIC: xlog flush request is not satisfied",
and the data are of no use any more. It was seen with a former primary that was killed in the middle of a record, followed
("invalid contrecord length" in its log), and was promoted again. On pgsql-hackers it is "[BUG] Panic due to incorrect
missingContrecPtr after promotion", 2022.

A server that was started anew has read nothing but what is in its log, and is promoted with all of that. One that never
followed another, such as the only instance at its start, has none of the defect.
"""

import subprocess
import time

from words import speaker

say = speaker("renewal")

# The first version of a major one with the defect, and the first without it.
DEFECTIVE = [(120009, 120013), (130005, 130009), (140001, 140006)]
RESTART_SECONDS = 60


def is_defective(version):
    return any(first <= version < fixed for first, fixed in DEFECTIVE)


def start_anew(data):
    """Stops it as a crash does, as what it has in memory is in its log, and flushing that would take time."""
    began = time.monotonic()
    restart = ["pg_ctl", "restart", "--silent", "--wait", "--mode=immediate"]
    done = subprocess.run(
        restart + ["--pgdata=" + data, "--timeout={}".format(RESTART_SECONDS)], stdin=subprocess.DEVNULL, check=False
    )
    took = time.monotonic() - began
    if done.returncode != 0:
        say("the server does not start anew, and is not promoted")
        return False
    say("the server was started anew in {:.1f} s, and is promoted".format(took))
    return True


def follows(postgresql):
    return bool(postgresql._query("SELECT current_setting('primary_conninfo')")[0][0])


def renew_before_promotions():
    from patroni.postgresql import Postgresql

    pre_promote = Postgresql._pre_promote

    def renew_first(self):
        if is_defective(self.server_version) and follows(self) and not start_anew(self.data_dir):
            return False
        return pre_promote(self)

    Postgresql._pre_promote = renew_first
