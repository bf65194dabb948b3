"""The store: one PostgreSQL, reached only through ``Resources``, which authorises every call."""
