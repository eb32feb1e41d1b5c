"""The optimizer, and how its learning rate goes over a training."""

from __future__ import annotations

import math
from typing import Any, Literal

import keras
from keras import ops

Schedule = Literal["constant", "cosine"]


class WarmUp(keras.optimizers.schedules.LearningRateSchedule):  # type: ignore[misc]
    """A learning rate that rises in a line, then stays or falls along a cosine to 0.

    Parameters
    ----------
    peak
        The learning rate after the rise.
    schedule
        ``constant`` or ``cosine`` (Loshchilov and Hutter, "SGDR", ICLR 2017, without restarts).
    warmup_steps
        Of the rise: step ``k`` of them, from 0, has ``(k + 1) / warmup_steps`` of the peak.
    total_steps
        Of the training; the cosine reaches 0 after the last.
    """

    def __init__(
        self, peak: float, schedule: Schedule, warmup_steps: int, total_steps: int
    ) -> None:
        super().__init__()
        self._peak = peak
        self._schedule = schedule
        self._warmup_steps = warmup_steps
        self._total_steps = total_steps

    def __call__(self, step: Any) -> Any:  # noqa: ANN401 (a tensor of any backend)
        """Give the learning rate of a step, counted from 0."""
        step = ops.cast(step, "float32")
        rate = ops.full_like(step, self._peak)
        if self._schedule == "cosine":
            past = step - self._warmup_steps
            share = ops.clip(past / max(1, self._total_steps - self._warmup_steps), 0.0, 1.0)
            rate = self._peak * 0.5 * (1.0 + ops.cos(math.pi * share))
        if self._warmup_steps:
            rate = ops.minimum(rate, self._peak * (step + 1.0) / self._warmup_steps)
        return rate

    def get_config(self) -> dict[str, Any]:
        """Give the arguments that make the same schedule."""
        return {
            "peak": self._peak,
            "schedule": self._schedule,
            "warmup_steps": self._warmup_steps,
            "total_steps": self._total_steps,
        }


def make_optimizer(
    model: keras.Model,
    learning_rate: float,
    weight_decay: float,
    schedule: Schedule,
    warmup_steps: int,
    total_steps: int,
    ema_momentum: float = 0.0,
    gradient_clip_norm: float = 0.0,
) -> keras.optimizers.Optimizer:
    """Make Adam, or AdamW where weights decay.

    Parameters
    ----------
    model
        What to train.
    learning_rate
        At its highest.
    weight_decay
        Share of the weights, times the learning rate, taken off at each step (Loshchilov and
        Hutter, "Decoupled weight decay regularization", ICLR 2019); biases and other vectors keep
        theirs. 0 for none.
    schedule, warmup_steps, total_steps
        See `WarmUp`.
    ema_momentum
        Of the exponential moving average of the weights: after each step the average keeps this
        share of itself, and takes the rest from the weights. The optimizer holds the average
        beside the weights, until `keras.callbacks.SwapEMAWeights` or the end of the training puts
        it in their place. 0 for none.
    gradient_clip_norm
        Largest norm of each variable's gradient: a longer one is made as short. 0 for none.

    Returns
    -------
    optimizer
        Not yet built.
    """
    rate: float | WarmUp = learning_rate
    if schedule != "constant" or warmup_steps:
        rate = WarmUp(learning_rate, schedule, warmup_steps, total_steps)
    extras: dict[str, Any] = {}
    if ema_momentum:
        extras |= {"use_ema": True, "ema_momentum": ema_momentum}
    if gradient_clip_norm:
        extras |= {"clipnorm": gradient_clip_norm}
    if not weight_decay:
        return keras.optimizers.Adam(rate, **extras)
    optimizer = keras.optimizers.AdamW(rate, weight_decay=weight_decay, **extras)
    optimizer.exclude_from_weight_decay([v for v in model.trainable_variables if len(v.shape) < 2])
    return optimizer
