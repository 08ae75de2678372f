"""Something to look at: overlays, sheets, pictures in the terminal, the report."""
