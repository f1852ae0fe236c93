"""The demo: tables that bend a pipeline, load on them, and the check that two databases are equal."""
