"""A service in the foreground: signals, logs, health and metrics around a loop that knows nothing of them."""
