"""For other people's tests: real servers in containers, as fixtures. `pytest_plugins = ["stretto.testing.plugin"]`."""
