"""The layouts of foreign masks; see `submit.formats.format`."""
