"""The work engine: leases on the ``work`` table, backoff, timers of days, routines."""
