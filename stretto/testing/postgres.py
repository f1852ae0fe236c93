"""PostgreSQL in a container, set up to be captured."""

from __future__ import annotations

import secrets

from psycopg.conninfo import make_conninfo
from testcontainers.community.postgres import PostgresContainer

IMAGE = "postgres:18"
_SETTINGS = {
    "wal_level": "logical",
    "track_commit_timestamp": "on",
    "max_replication_slots": "60",
    "max_wal_senders": "30",
    "max_worker_processes": "16",
}


def postgres_container(image: str = IMAGE, **settings: str) -> PostgresContainer:
    """A server with a logical WAL, not started yet: superuser `postgres`, a password of its own. `settings` go above."""
    made = PostgresContainer(image, username="postgres", password=secrets.token_hex(16), dbname="postgres", driver=None)
    options = [word for name, value in (_SETTINGS | settings).items() for word in ("-c", f"{name}={value}")]
    made.with_command(["postgres", *options])
    made.with_kwargs(shm_size="256m")
    return made


def dsn(container: PostgresContainer, dbname: str = "") -> str:
    """libpq's connection string of a started container's database, as the superuser, from the machine of the tests."""
    return make_conninfo(
        host=container.get_container_host_ip(),
        port=container.get_exposed_port(container.port),
        user=container.username,
        password=container.password,
        dbname=dbname or container.dbname,
    )
