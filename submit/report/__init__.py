"""Pictures of masks: overlays, videos, sheets, text for the terminal, the report."""
