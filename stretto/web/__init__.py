"""`stretto web`: one page that shows the pipeline, live. Read-only; needs the extra `lag`."""
