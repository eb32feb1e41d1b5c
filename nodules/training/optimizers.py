"""Makes the optimizer, and the schedule of its learning rate over a training."""

from __future__ import annotations

import math
from typing import Any, Literal

import keras
from keras import ops

Schedule = Literal["constant", "cosine"]


class WarmUp(keras.optimizers.schedules.LearningRateSchedule):  # type: ignore[misc]
    """A learning rate that rises linearly, and then stays constant or falls along a cosine to 0.

    Parameters
    ----------
    peak
        The learning rate after the rise.
    schedule
        ``constant`` or ``cosine`` (Loshchilov and Hutter, "SGDR", ICLR 2017, without restarts).
    warmup_steps
        The number of steps of the rise. At step ``k``, counted from 0, the learning rate is
        ``(k + 1) / warmup_steps`` of the peak. 0 for no rise.
    total_steps
        The number of steps of the whole training. The cosine reaches 0 after the last step.
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
        """Give the learning rate of a step. The first step is 0."""
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
    """Make the optimizer: Adam, or AdamW if weights decay.

    Parameters
    ----------
    model
        The model to train.
    learning_rate
        The highest learning rate.
    weight_decay
        The share of the weights, multiplied by the learning rate, that each step subtracts from
        them (Loshchilov and Hutter, "Decoupled weight decay regularization", ICLR 2019). Biases and
        other vectors do not decay. 0 for none.
    schedule, warmup_steps, total_steps
        The schedule of the learning rate, as for `WarmUp`.
    ema_momentum
        The momentum of the exponential moving average of the weights. After each step, the new
        average is ``ema_momentum`` times the old one, plus ``1 - ema_momentum`` times the weights.
        The optimizer keeps the average beside the weights, until
        `keras.callbacks.SwapEMAWeights` or the end of the training replaces the weights by it. 0
        for no average.
    gradient_clip_norm
        The largest norm of the gradient of each variable. A longer gradient is scaled down to it. 0
        for no limit.

    Returns
    -------
    optimizer
        The optimizer. It has no variables yet.
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
