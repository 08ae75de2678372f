"""`submit score`: the official numbers."""
