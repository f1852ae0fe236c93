"""Kafka: clients, topics, the transactional writer, reading the log."""
