"""Makes the loss that training minimises, and the plain loss that all runs are compared by.

Whatever is minimised, ``val_loss`` is the plain loss of the task: binary cross-entropy for the
classifier, mean absolute error in pixels for the localizer. Early stopping and learning curves
therefore mean the same for every loss, and runs can be compared.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import keras
from keras import layers, ops

from nodules.networks.task import Task

LocalizerLoss = Literal["mae", "huber", "heteroscedastic"]

# The standard deviation that a network with the heteroscedastic loss predicts before training: that
# of the errors of a constant guess.
_FIRST_SD_PX = 5.0
# Log variances are clipped at -10 and 10, standard deviations of 0.007 and 150 px. Otherwise the
# weight of a patch that the network has learnt by heart would grow without bound.
_LOG_VARIANCE_LIMIT = 10.0


@dataclass(frozen=True)
class Loss:
    """The choice of the loss that training minimises.

    Parameters
    ----------
    label_smoothing
        For the classifier: the share of the way that targets are moved from 0 or 1 towards 1/2; 0
        for none.
    focal_gamma
        For the classifier: the cross-entropy of each patch is multiplied by (1 - p)^gamma, where p
        is the probability that the network gives to the true class (Lin et al., "Focal loss for
        dense object detection", ICCV 2017). With 0, it is left unchanged.
    localizer
        For the localizer. ``mae`` is the mean absolute error. ``huber`` is the Huber loss: errors
        below `huber_delta_px` are squared, and larger ones are absolute. ``heteroscedastic`` is the
        negative log likelihood of a normal distribution whose variance the network predicts too
        (Kendall and Gal, "What uncertainties do we need in Bayesian deep learning for computer
        vision?", NeurIPS 2017).
    huber_delta_px
        The error at which the Huber loss changes from squared to absolute, pixels.
    """

    label_smoothing: float = 0.0
    focal_gamma: float = 0.0
    localizer: LocalizerLoss = "mae"
    huber_delta_px: float = 1.0

    def is_plain(self, task: Task) -> bool:
        """Tell whether the loss that is minimised is the plain loss of the task."""
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
        The choice of the loss.

    Returns
    -------
    function
        The loss function, in a form that `keras.Model.compile` takes.
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
    """Make the plain loss of the task as a Keras metric with the name ``plain``."""
    if task == "classifier":
        return keras.metrics.BinaryCrossentropy(name="plain")
    # Keras's own metric would not do: the heteroscedastic network has three more outputs.
    return keras.metrics.MeanMetricWrapper(_absolute_error, name="plain")


def plain_losses(logs: dict[str, float]) -> dict[str, float]:
    """Rename the losses of an epoch so that ``loss`` and ``val_loss`` are always the plain losses.

    Parameters
    ----------
    logs
        The losses of an epoch from Keras, by name. ``loss`` is the loss that is minimised. If it is
        not the plain loss, there is also ``plain``.

    Returns
    -------
    row
        The losses under their new names. If there was ``plain``, it is now ``loss``, and the loss
        that is minimised is ``objective``. Names with the prefix ``val_`` change in the same way.
    """
    if "plain" not in logs:
        return logs
    names = {"loss": "objective", "plain": "loss"}
    names |= {f"val_{old}": f"val_{new}" for old, new in names.items()}
    return {names.get(name, name): value for name, value in logs.items()}


def training_network(model: keras.Model, task: Task, loss: Loss) -> keras.Model:
    """Make the network that is trained in place of a model.

    Parameters
    ----------
    model
        The model, from `nodules.networks.build.build_model`.
    task
        ``classifier`` or ``localizer``.
    loss
        The choice of the loss.

    Returns
    -------
    network
        A network that shares the layers of `model`, so training it trains `model`. The model itself
        is what is saved and used later, without losses and optimizers. The outputs are those of
        `model`. With the heteroscedastic loss, they have the shape (batch, 6): the model's x_px,
        y_px and diameter_px, and the logarithms of their three variances in px².
    """
    # Keras numbers unnamed models. With names, the network is the same in every process, whatever
    # was built before.
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
    """Compute the negative log likelihood of a normal distribution, without its constant term.

    Parameters
    ----------
    truth_px
        The true x, y and diameter in patch pixels, shape (batch, 3).
    outputs
        The outputs of the network from `training_network`, shape (batch, 6).

    Returns
    -------
    loss
        The loss of each patch, averaged over x, y and diameter, shape (batch,).
    """
    log_variance = ops.clip(outputs[:, 3:], -_LOG_VARIANCE_LIMIT, _LOG_VARIANCE_LIMIT)
    squared = ops.square(truth_px - outputs[:, :3])
    return ops.mean(squared * ops.exp(-log_variance) + log_variance, axis=-1) / 2


def _absolute_error(truth_px: Any, outputs: Any) -> Any:  # noqa: ANN401 (tensors of any backend)
    truth_px = ops.cast(truth_px, outputs.dtype)
    return ops.mean(ops.abs(truth_px - outputs[:, :3]), axis=-1)
