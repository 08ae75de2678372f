"""Training: sources of videos, clips, augmentation, the loop, and its interface."""
