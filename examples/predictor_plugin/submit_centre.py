"""A model in a few lines: every object shrinks to a disc around its centre."""

from dataclasses import dataclass

import numpy as np

from submit.predictors import Description, Prediction, option


@dataclass(frozen=True)
class Options:
    radius: float = option(20.0, "Radius of the disc, in pixels.")


class CentrePredictor:
    """Follows nothing: a disc stays where the object was."""

    Options = Options

    def __init__(self, options, *, device="auto"):
        self.radius = options.radius

    def describe(self):
        return Description(model="centre", licence="Apache-2.0")

    def session(self, video, *, scale=1.0):
        return Session(self.radius)


class Session:
    def __init__(self, radius):
        self.radius, self.centres = radius, {}

    def start(self, frame, masks):
        return self.add(frame, masks)

    def add(self, frame, masks):
        for key, mask in masks.items():
            self.centres[key] = [axis.mean() for axis in np.nonzero(mask)]
        return self.step(frame)

    def step(self, frame):
        rows, columns = np.mgrid[: frame.shape[0], : frame.shape[1]]
        logits = [
            self.radius - np.hypot(rows - y, columns - x)
            for y, x in self.centres.values()
        ]
        return Prediction(tuple(self.centres), np.asarray(logits, np.float32))

    def close(self):
        self.centres.clear()
