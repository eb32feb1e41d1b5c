"""What training minimises, and the plain loss that all such choices are compared by.

Whatever is minimised, ``val_loss`` is the plain loss of the task: binary cross-entropy for the
classifier, mean absolute error in pixels for the localizer. So early stopping and learning curves
mean the same for every choice, and compare between runs.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import keras
from keras import layers, ops

from nodules.networks.task import Task

LocalizerLoss = Literal["mae", "huber", "heteroscedastic"]

# What a network of the heteroscedastic loss takes its errors to be before it has learnt any: the
# constant guess's.
_FIRST_SD_PX = 5.0
# Log variances beyond stay there (an sd of 0.007 or 150 px): an output that is learnt by heart
# would otherwise weigh without bound.
_LOG_VARIANCE_LIMIT = 10.0


@dataclass(frozen=True)
class Loss:
    """What to minimise.

    Parameters
    ----------
    label_smoothing
        Of the classifier: how far targets move from 0 and 1 towards 1/2; 0 leaves them.
    focal_gamma
        Of the classifier: cross-entropy is weighed by (1 - p)^gamma, p the probability given to the
        truth (Lin et al., "Focal loss for dense object detection", ICCV 2017); 0 leaves it.
    localizer
        ``mae``: mean absolute error. ``huber``: squared below ``huber_delta_px`` and absolute
        above. ``heteroscedastic``: the negative log likelihood of a normal distribution whose
        variance the network predicts too (Kendall and Gal, "What uncertainties do we need in
        Bayesian deep learning for computer vision?", NeurIPS 2017).
    huber_delta_px
        Of the Huber loss, pixels.
    """

    label_smoothing: float = 0.0
    focal_gamma: float = 0.0
    localizer: LocalizerLoss = "mae"
    huber_delta_px: float = 1.0

    def is_plain(self, task: Task) -> bool:
        """Tell whether what is minimised is the plain loss of the task."""
        if task == "classifier":
            return not (self.label_smoothing or self.focal_gamma)
        return self.localizer == "mae"


def make_loss(task: Task, loss: Loss) -> Any:  # noqa: ANN401 (Keras has no type for losses)
    """Make the function that `Loss` describes.

    Parameters
    ----------
    task
        ``classifier`` or ``localizer``.
    loss
        What to minimise.

    Returns
    -------
    function
        As `keras.Model.compile` takes it.
    """
    if task == "classifier":
        if loss.focal_gamma:
            return keras.losses.BinaryFocalCrossentropy(
                gamma=loss.focal_gamma, label_smoothing=loss.label_smoothing
            )
        return keras.losses.BinaryCrossentropy(label_smoothing=loss.label_smoothing)
    if loss.localizer == "heteroscedastic":
        return normal_nll
    if loss.localizer == "huber":
        return keras.losses.Huber(delta=loss.huber_delta_px)
    return keras.losses.MeanAbsoluteError()


def make_plain_metric(task: Task) -> Any:  # noqa: ANN401 (as above)
    """Make the task's plain loss as a metric named ``plain``."""
    if task == "classifier":
        return keras.metrics.BinaryCrossentropy(name="plain")
    # Of the first three outputs: the heteroscedastic network has three more.
    return keras.metrics.MeanMetricWrapper(_absolute_error, name="plain")


def plain_losses(logs: dict[str, float]) -> dict[str, float]:
    """Name an epoch's losses so that ``loss`` and ``val_loss`` are always the task's plain ones.

    Parameters
    ----------
    logs
        From Keras, whose ``loss`` is what is minimised; with ``plain`` where that is another.

    Returns
    -------
    row
        Where ``plain`` was, it is ``loss`` now, and what is minimised ``objective``; the same with
        ``val_`` before them.
    """
    if "plain" not in logs:
        return logs
    names = {"loss": "objective", "plain": "loss"}
    names |= {f"val_{old}": f"val_{new}" for old, new in names.items()}
    return {names.get(name, name): value for name, value in logs.items()}


def training_network(model: keras.Model, task: Task, loss: Loss) -> keras.Model:
    """Make what is trained in a model's place.

    Parameters
    ----------
    model
        From `nodules.networks.build.build_model`.
    task
        ``classifier`` or ``localizer``.
    loss
        What to minimise.

    Returns
    -------
    network
        It shares the model's layers, so that training it trains the model, which is what is saved
        and served, and knows nothing of losses and optimizers. It gives what the model gives; with
        the heteroscedastic loss shape (batch, 6): the model's x_px, y_px and diameter_px, and the
        logarithm of each one's variance in px².
    """
    # Names, so that it is the same in every process, whatever was built before.
    if task == "classifier" or loss.localizer != "heteroscedastic":
        return keras.Model(model.inputs, model.output, name="training")
    features = model.get_layer("relative").input
    log_variances = layers.Dense(
        3,
        kernel_initializer="zeros",
        bias_initializer=keras.initializers.Constant(2 * math.log(_FIRST_SD_PX)),
        dtype="float32",
        name="log_variance",
    )(features)
    outputs = layers.Concatenate(dtype="float32", name="with_log_variance")(
        [model.output, log_variances]
    )
    return keras.Model(model.inputs, outputs, name="training")


def normal_nll(truth_px: Any, outputs: Any) -> Any:  # noqa: ANN401 (tensors of any backend)
    """Negative log likelihood of a normal distribution, without its constant.

    Parameters
    ----------
    truth_px
        Shape (batch, 3).
    outputs
        Shape (batch, 6), of `training_network`.

    Returns
    -------
    loss
        Shape (batch,), averaged over x, y and diameter.
    """
    log_variance = ops.clip(outputs[:, 3:], -_LOG_VARIANCE_LIMIT, _LOG_VARIANCE_LIMIT)
    squared = ops.square(truth_px - outputs[:, :3])
    return ops.mean(squared * ops.exp(-log_variance) + log_variance, axis=-1) / 2


def _absolute_error(truth_px: Any, outputs: Any) -> Any:  # noqa: ANN401 (tensors of any backend)
    truth_px = ops.cast(truth_px, outputs.dtype)
    return ops.mean(ops.abs(truth_px - outputs[:, :3]), axis=-1)
