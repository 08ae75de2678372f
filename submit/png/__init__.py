"""PNGs as the challenge requires them: palette, pixels, and our own deflate encoder."""
