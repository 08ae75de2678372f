"""Track one object: predict its mask, decide whether it is visible, learn from it."""

from __future__ import annotations

from dataclasses import astuple

import cv2
import numpy as np
from numpy.typing import NDArray

from submit.predictors import State

from .appearance import Appearance, describe
from .features import CHANNELS, Floats
from .flow import Flow, pixel_grid, warp
from .motion import PixelBox, Similarity, fit_similarity, motion_evidence
from .options import ClassicalOptions
from .presence import Presence
from .refine import drop_strays, smooth
from .scene import Change, WorkingFrame, resize
from .search import locate, locate_within, match_poses
from .template import ObjectPose, Template

__all__ = ["ObjectTrack"]

#: Logit far from the object, and limit of the prior's logits.
_FAR = -10.0
_PRIOR_CLIP = 5.0
#: Logits per unit of the appearance score, and the share of the first frame's model.
_GAIN = 4.0
_FIRST_SHARE = 0.3
#: In a box with more pixels, only every second row and column is scored.
_DENSE = 12_000
#: Lower limit of the first frame's match; later matches are divided by it.
_LEAST_REFERENCE = 0.3
#: The displacement of a hidden object is multiplied by this in each frame.
_COAST = 0.97


class ObjectTrack:
    """The track of one object; all its arrays are H×W at the working resolution.

    Attributes:
        logits: The object's mask in the present frame, without regard to other objects.
        probability: The same with regard to the other objects.
        presence: Whether the object is visible, with the evidence.
    """

    def __init__(
        self, scene: WorkingFrame, mask: NDArray[np.bool_], options: ClassicalOptions
    ) -> None:
        self._options = options
        self._appearance = Appearance(options.waves, options.adapt)
        self._velocity: NDArray[np.float64] | None = None
        self._reference = 1.0
        self.give(scene, mask)

    def give(self, scene: WorkingFrame, mask: NDArray[np.bool_]) -> None:
        """Use a given mask of the present frame, of any resolution.

        The next call of `learn` learns from it.
        """
        soft = resize(mask.astype(np.float32), scene.height, scene.width)
        peak = float(soft.max())
        if 0 < peak < 0.9:  # Smaller than a working pixel: keep its best pixel.
            soft = soft * np.float32(0.9 / peak)
        self.probability: Floats = np.clip(soft, 0.001, 0.999).astype(np.float32)
        self.logits: Floats = np.log(self.probability / (1 - self.probability))
        self._state: Floats = self.logits
        self.presence = Presence()
        self._pose = ObjectPose.of(soft.astype(np.float32))
        self._template = Template(soft.astype(np.float32), self._pose)
        self._motion: Similarity | None = None
        self._given = True
        self._shown = False
        self._box = PixelBox(0, scene.height, 0, scene.width)
        self._scores: Floats = np.ones_like(self.logits)
        self._plausible = np.ones(self.logits.shape, np.bool_)
        if not mask.any():
            self.hide()

    def state(self) -> State:
        """Return all that is known of the object, as plain data."""
        pose, motion = self._pose, self._motion
        return {
            "logits": self.logits,
            "probability": self.probability,
            "settled": self._state,
            "presence": astuple(self.presence),
            "pose": (pose.centre, pose.size),
            "template": self._template.shape,
            "motion": motion and (motion.scale, motion.source, motion.target),
            "given": self._given,
            "shown": self._shown,
            "box": astuple(self._box),
            "scores": self._scores,
            "plausible": self._plausible,
            "velocity": self._velocity,
            "reference": self._reference,
            "appearance": self._appearance.state(),
        }

    @classmethod
    def of(cls, state: State, options: ClassicalOptions) -> ObjectTrack:
        """The track that has this state, with the same options."""
        track = cls.__new__(cls)
        track._options = options
        track.logits, track.probability = state["logits"], state["probability"]
        track._state = state["settled"]
        track.presence = Presence(*state["presence"])
        track._pose = ObjectPose(*state["pose"])
        track._template = Template.of(state["template"])
        motion = state["motion"]
        track._motion = None if motion is None else Similarity(*motion)
        track._given, track._shown = state["given"], state["shown"]
        track._box = PixelBox(*state["box"])
        track._scores, track._plausible = state["scores"], state["plausible"]
        track._velocity, track._reference = state["velocity"], state["reference"]
        track._appearance = Appearance(options.waves, options.adapt)
        track._appearance.restore(state["appearance"])
        return track

    @property
    def trained(self) -> bool:
        """Whether a mask that is not empty was given."""
        return self._appearance.trained

    def predict(
        self, scene: WorkingFrame, change: Change, within: PixelBox | None = None
    ) -> None:
        """Predict the mask in a new frame, without regard to the other objects.

        Args:
            scene: The frame.
            change: The change from the previous frame.
            within: A box that contains the object, if a prompt gives one.
        """
        self._shown = within is not None
        if not self._appearance.trained:
            return
        flow, height, width = change.flow, scene.height, scene.width
        carried = warp(self.probability, flow.source, outside=0.0)
        self._move(change, height, width)
        looks = scene, self._appearance, self._template, self._pose
        if within is None:
            self._pose, match = locate(
                *looks,
                self.presence,
                reference=self._reference,
                everywhere=self._options.search,
            )
        else:
            self._pose, match = locate_within(*looks, within, reference=self._reference)
            self._velocity = None
            carried = _only(carried, within, 0.0)
        self.presence.place(match)
        expected = self._template.draw(self._pose, height, width)
        core = carried > 0.5
        if self._shown or self.presence.share < 0.7:
            core |= expected > 0.5
        self._plausible = expected > 0.1
        self._scores = np.full((height, width), -1.0, np.float32)
        self.logits = np.full((height, width), _FAR, np.float32)
        if not core.any():
            self._box = PixelBox(0, 0, 0, 0)
            return
        reach = max(4, int(0.35 * self._pose.size))
        self._box = box = _around(core, 2 * reach)
        inside = box.slices
        score, first = self._score(scene, box)
        self._scores[inside] = first
        mixed = (1 - _FIRST_SHARE) * score + _FIRST_SHARE * first
        logits = self._prior(flow, box) - np.float32(self._options.caution)
        logits += np.float32(_GAIN) * mixed
        logits += self._moving(scene, change, carried[inside], expected[inside])
        logits += self._gate(core[inside], expected[inside], reach)
        logits = smooth(logits, scene.features[inside][..., :3])
        self.logits[inside] = drop_strays(logits, expected[inside], self._pose.size)
        if within is not None:
            self.logits = _only(self.logits, within, _FAR)

    def settle(self, rivals: Floats | None) -> None:
        """Decide the mask, given the best logits of the other objects, H×W."""
        if not self._appearance.trained:
            return
        self._state = self.logits
        if rivals is not None:
            self._state = self.logits - np.maximum(rivals, 0)
        mask = self._state[self._box.slices] > 0
        area = int(mask.sum())
        quality = -1.0
        if area:
            quality = float(self._scores[self._box.slices][mask].mean())
        self.presence.judge(area, quality, self._pose.size, shown=self._shown)
        if not self.presence.visible:
            self.hide()
            return
        self.probability = _sigmoid(self._state)
        self._correct(mask)
        if self.presence.typical:
            self._template.update(self.probability, self._pose)

    def learn(self, scene: WorkingFrame, rivals: Floats | None) -> None:
        """Update the appearance model with the mask of this frame, if it is reliable.

        Args:
            scene: The present frame.
            rivals: Highest probability of the other objects, H×W.
        """
        first, self._given = self._given, False
        if not first and not self.presence.teaches:
            return
        probability = self.probability
        certain = probability > 0.8
        if not first:
            certain &= self._plausible & (self._scores > -0.4)
        if not certain.any():
            return
        radius = max(3, int(0.6 * self._pose.size))
        possible = (probability > 0.2).astype(np.uint8)
        near = cv2.dilate(possible, np.ones((2 * radius + 1,) * 2, np.uint8)) > 0
        many = 2 if first else 1
        groups = [
            (certain, 1, 1000 * many, 0.45),
            (near & (probability < 0.2), -1, 1000 * many, 0.35),
            (~near, -1, 500 * many, 0.2),
        ]
        if rivals is not None:  # Confusions with other objects are the most likely.
            groups.append((rivals > 0.8, -1, 600 * many, 0.25))
        chosen, targets, weights = [], [], []
        for region, target, most, weight in groups:
            index = _spread(region, most)
            chosen.append(index)
            targets.append(np.full(len(index), target, np.float32))
            weights.append(np.full(len(index), weight / max(len(index), 1), np.float32))
        y, x = np.divmod(np.concatenate(chosen), scene.width)
        self._appearance.learn(
            self._samples(scene, x, y),
            np.concatenate(targets),
            np.concatenate(weights),
            given=first,
        )
        if first:
            match = match_poses(
                scene,
                self._appearance,
                self._template,
                self._pose.centre[None],
                self._pose.size,
            )
            self._reference = max(_LEAST_REFERENCE, float(match[0]))

    def _move(self, change: Change, height: int, width: int) -> None:
        """Move the pose by the flow of the visible part, else by the last motion."""
        pose, flow, presence = self._pose, change.flow, self.presence
        camera = change.camera(pose.centre) - pose.centre
        velocity = np.zeros(2) if self._velocity is None else self._velocity
        coasted = pose.centre + camera + velocity
        trusted = np.clip(self._scores + 0.2, 0, 1) * self._plausible
        usable = (self.probability > 0.5) & (flow.forward_confidence > 0.3)
        y, x = np.nonzero(usable & (trusted > 0.1))
        found, whole = len(y), pose.size**2
        centre, size = coasted, pose.size
        self._motion = None
        if found > 0.15 * whole and found > 6:
            step = max(1, found // 800)
            y, x = y[::step], x[::step]
            weights = self.probability[y, x] * flow.forward_confidence[y, x]
            start = np.stack([x, y], -1).astype(np.float64)
            motion = fit_similarity(
                start,
                start + flow.forward[y, x],
                (weights * trusted[y, x]).astype(np.float64),
            )
            self._motion = motion
            trust = min(1.0, found / (0.5 * whole)) * presence.trust
            centre = trust * motion(pose.centre) + (1 - trust) * coasted
            if presence.share > 0.7:
                size *= min(max(motion.scale, 0.96), 1.04) ** 0.5
            inertia = 0.0 if self._velocity is None else 1 - 0.5 * trust
            moved = centre - pose.centre - camera
            self._velocity = inertia * velocity + (1 - inertia) * moved
        else:
            self._velocity = _COAST * velocity
        margin, frame = 0.5 * size, np.array([width, height])
        self._pose = ObjectPose(np.clip(centre, -margin, frame + margin), size)

    def _score(self, scene: WorkingFrame, box: PixelBox) -> tuple[Floats, Floats]:
        """Score the pixels in `box` by the present and the first frame's model."""
        step = 2 if box.area > _DENSE else 1
        y, x = np.mgrid[box.top : box.bottom : step, box.left : box.right : step]
        scores = self._appearance.score(self._samples(scene, x.ravel(), y.ravel()))
        if step == 1:
            return scores[0].reshape(x.shape), scores[1].reshape(x.shape)
        # Row i of the coarse scores is row 2i of the box.
        fine = pixel_grid(box.bottom - box.top, box.right - box.left)
        fine /= step
        present, first = (warp(score.reshape(x.shape), fine) for score in scores)
        return present, first

    def _prior(self, flow: Flow, box: PixelBox) -> Floats:
        """Move the previous mask's logits by the flow, weighted by its confidence."""
        carried = warp(self._state, flow.source[box.slices])
        weight = self._options.prior * flow.confidence[box.slices]
        return weight * np.clip(carried, -_PRIOR_CLIP, _PRIOR_CLIP)

    def _moving(
        self, scene: WorkingFrame, change: Change, carried: Floats, expected: Floats
    ) -> Floats:
        """Evidence from motion over the box, if motion separates the object."""
        if self._motion is None or not self._options.motion:
            return np.zeros_like(carried)
        evidence = motion_evidence(
            change.previous,
            scene.grey,
            background=change.camera,
            candidate=self._motion,
            box=self._box,
        )
        inside = carried > 0.7
        outside = (expected < 0.1) & (carried < 0.1)
        if inside.sum() <= 8 or outside.sum() <= 8:
            return np.zeros_like(carried)
        level = float(evidence[inside].mean())
        contrast = min(level, 2 * (level - float(evidence[outside].mean())))
        weight = min(max(contrast - 0.1, 0.0) / 0.3, 1.0)
        return np.float32(self._options.motion * weight) * evidence

    def _gate(self, core: NDArray[np.bool_], expected: Floats, reach: int) -> Floats:
        """Logits, all ≤ 0, that suppress the mask where the object cannot be."""
        from_core = cv2.distanceTransform((~core).astype(np.uint8), cv2.DIST_L2, 3)
        gate = -8 * (from_core / reach - 1)
        unexpected = (expected < 0.25).astype(np.uint8)
        from_expected = cv2.distanceTransform(unexpected, cv2.DIST_L2, 3)
        free = 0.3 * self._pose.size + 3
        gate = np.minimum(gate, -4 * (from_expected / free - 1))
        return np.asarray(np.clip(gate, _FAR, 0), np.float32)

    def _correct(self, mask: NDArray[np.bool_]) -> None:
        """Move the pose towards the mask: fast if the mask is whole, else slowly."""
        pose, presence = self._pose, self.presence
        if mask.sum() <= 4:
            return
        centre, size = pose.centre, pose.size
        if presence.share > 0.75 and presence.match > 0.5:
            y, x = np.nonzero(mask)
            found = np.array([x.mean() + self._box.left, y.mean() + self._box.top])
            centre = centre + 0.15 * (found - centre)
            size *= min(max(presence.share, 0.7), 1.4) ** 0.15
        elif presence.share > 0.3:
            # A part that is hidden for long counts as a change of shape.
            size *= presence.share**0.015
        self._pose = ObjectPose(centre, size)

    def hide(self) -> None:
        """Mark the object as absent in the present frame."""
        self.presence.visible = False
        self.presence.share = 0.0
        self.logits = np.minimum(self.logits, -1) - 2
        self._state = self.logits
        self.probability = _sigmoid(self.logits)

    def _samples(
        self, scene: WorkingFrame, x: NDArray[np.intp], y: NDArray[np.intp]
    ) -> Floats:
        features = scene.features[y, x].reshape(-1, CHANNELS)
        return describe(features, self._pose.relative(x, y))


def _only(values: Floats, box: PixelBox, outside: float) -> Floats:
    """Replace the values of an H×W array outside of a box by one value."""
    kept = np.full_like(values, outside)
    kept[box.slices] = values[box.slices]
    return kept


def _sigmoid(logits: Floats) -> Floats:
    return np.asarray(1 / (1 + np.exp(-logits)), np.float32)


def _spread(region: NDArray[np.bool_], most: int) -> NDArray[np.intp]:
    """Flat indices of at most `most` pixels of a region, evenly spaced."""
    index = np.flatnonzero(region)
    if len(index) <= most:
        return index
    return index[np.linspace(0, len(index) - 1, most).astype(np.intp)]


def _around(mask: NDArray[np.bool_], margin: int) -> PixelBox:
    """The bounding box of a non-empty mask, with a margin, clipped to the frame."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    height, width = mask.shape
    return PixelBox(
        max(int(rows[0]) - margin, 0),
        min(int(rows[-1]) + margin + 1, height),
        max(int(columns[0]) - margin, 0),
        min(int(columns[-1]) + margin + 1, width),
    )
