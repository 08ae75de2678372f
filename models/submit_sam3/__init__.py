"""SAM 3 as a predictor: its image encoder and weights on the tracker of SAM 2."""
