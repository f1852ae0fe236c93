"""Stretto: PostgreSQL to Kafka to followers that are never far behind."""

__version__ = "0.1.0"
