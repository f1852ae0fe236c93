"""`stretto lag plot`: the lag of the last hours as a chart, in a terminal or a file."""
