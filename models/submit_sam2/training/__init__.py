"""Training of SAM 2: prompts, clips through the network, losses."""
