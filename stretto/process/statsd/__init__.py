"""StatsD and DogStatsD: the metrics of the Prometheus registry as datagrams. Why by hand: docs/adr/0016."""
