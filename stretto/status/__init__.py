"""`stretto status`: how far each stage of a pipeline is, asked of the servers and the processes themselves."""
