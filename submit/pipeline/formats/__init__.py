"""The layouts of foreign masks; see `submit.pipeline.format`."""
