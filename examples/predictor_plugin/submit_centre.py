"""A model in a few lines: every object shrinks to a disc around its centre."""

from dataclasses import dataclass

import numpy as np

from submit.predictors import AcceptedPrompts, Box, Description, Prediction, option


@dataclass(frozen=True)
class Options:
    radius: float = option(20.0, "Radius of the disc, in pixels.")


class CentrePredictor:
    """Follows nothing: a disc stays where the object was."""

    Options = Options

    def __init__(self, options, *, device="auto"):
        self.radius = options.radius

    def describe(self):
        prompts = AcceptedPrompts(boxes=True, corrections=True)
        return Description(model="centre", licence="Apache-2.0", prompts=prompts)

    def session(self, video, *, scale=1.0):
        return Session(self.radius)


class Session:
    def __init__(self, radius):
        self.radius, self.centres = radius, {}

    def step(self, frame, prompts):
        for key, prompt in prompts.items():
            mask = prompt
            if isinstance(prompt, Box):
                mask = prompt.to_mask(*frame.shape[:2])
            self.centres[key] = [axis.mean() for axis in np.nonzero(mask.pixels)]
        rows, columns = np.mgrid[: frame.shape[0], : frame.shape[1]]
        logits = [
            self.radius - np.hypot(rows - y, columns - x)
            for y, x in self.centres.values()
        ]
        return Prediction(tuple(self.centres), np.asarray(logits, np.float32))

    def close(self):
        self.centres.clear()
