"""What travels and what is decided: events, frontiers, names, settings, errors. Pure: no I/O."""
