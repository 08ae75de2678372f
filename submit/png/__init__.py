"""PNGs as the challenge wants them: palette, pixels, and a small deflate of our own."""
