"""PostgreSQL: sessions, replication stream, catalog, set-based apply, bookkeeping."""
