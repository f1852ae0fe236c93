"""Capture: from a source's WAL to Kafka, each transaction once, whole, in commit order."""
