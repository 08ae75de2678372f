"""Training of SAM 2: prompts, clips through the network, losses, and the trainer."""

from .trainer import Sam2Trainer

__all__ = ["Sam2Trainer"]
