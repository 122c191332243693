"""What an instance looks at before each cycle of Patroni's, and what such looks have in common."""

CONNECT_SECONDS = 2


def look_before_each_cycle(*looks):
    """Has Patroni call each with its `Ha`, one after the other, before it decides anything."""
    from patroni.ha import Ha

    run_cycle = Ha.run_cycle

    def look_first(self):
        for look in looks:
            look(self)
        return run_cycle(self)

    Ha.run_cycle = look_first


def other_leader(ha):
    """The member that leads, if it is another one and this one does nothing that takes long."""
    leader = ha.cluster.leader
    if not leader or leader.name == ha.state_handler.name or not leader.conn_url or ha._async_executor.busy:
        return None
    return leader


def login_at(ha, leader):
    """How pg_rewind connects to the leader: with what a superuser granted to that role."""
    rewind = ha._rewind
    return dict(rewind._conn_kwargs(leader, ha.state_handler.config.rewind_credentials), connect_timeout=CONNECT_SECONDS)


def stop_and_set_aside(ha, set_aside, why):
    ha.state_handler.stop("immediate", stop_timeout=10)
    set_aside(why)
