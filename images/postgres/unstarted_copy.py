"""A base backup from which no server has started yet: it stays one.

Where the control file says `in production` and no server runs, Patroni takes the data for those of a primary that crashed,
and lets a server in single-user mode bring them to an end, so that pg_rewind can work with them. A copy of a primary has
the primary's control file, until a server has read `backup_label`. If a container is killed in between, that server would
write log of its own on the primary's timeline. Nothing tells it from the primary's: the standby asks for log that is not
written yet ("requested starting point … is ahead of the WAL flush position of this server"), and when it is, may read on
without what came before.

Patroni leaves `backup_label` to PostgreSQL from 15 on. Before, a primary that crashed might have one too: that of an
exclusive backup, which its method names.
"""

import os

EXCLUSIVE = "BACKUP METHOD: pg_start_backup"


def is_unstarted_copy(data):
    try:
        with open(os.path.join(data, "backup_label"), encoding="utf-8") as label:
            return EXCLUSIVE not in label.read().splitlines()
    except FileNotFoundError:
        return False


def leave_copies_to_postgresql():
    from patroni.postgresql import Postgresql

    Postgresql.was_restored_from_backup = lambda self: is_unstarted_copy(self.data_dir)
