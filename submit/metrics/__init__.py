"""The scores of one object, frame by frame, official and classic."""
