"""The augmentations, one in a file; see `submit.augment.augmentation`."""
