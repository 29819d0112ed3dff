"""Training with Keras `fit`, phase after phase, with the clock on training alone."""

from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter
from typing import Any

import keras
import numpy as np

from cnnzoo.data.pipeline import Datasets, ImageSet
from cnnzoo.errors import InputError, kind_of
from cnnzoo.models.folding import frozen_twin
from cnnzoo.models.transfer import set_trainable
from cnnzoo.training.config import Epoch, Phase, TrainConfig
from cnnzoo.training.fused import fused_kernels
from cnnzoo.training.progress import Progress, Report, reporting

WARM_UP = 0.05  # share of the steps over which a cosine schedule rises
REPORT_SECONDS = 0.4  # between two reports within an epoch

__all__ = ["Epoch", "FitResult", "Phase", "Progress", "TrainConfig", "fit", "loss_for"]


@dataclass(frozen=True)
class FitResult:
    """What `fit` did.

    Attributes:
        history: the epochs in order, counted from 0 over all phases.
        seconds: training alone, without what it took to trace the graph.
        tracing_seconds: what that took, in the first batch of each phase.
        val_accuracy_before: on the validation images, before the first batch; so is `val_loss_before`.
        best_epoch: index in `history` of the weights that the model has now.
        images_per_second: of the median epoch.
        trainable_params: trainable parameters in the last phase.
    """

    history: tuple[Epoch, ...]
    seconds: float
    tracing_seconds: float
    val_accuracy_before: float
    val_loss_before: float
    best_epoch: int
    images_per_second: float
    trainable_params: int


def loss_for(model: keras.Model) -> keras.losses.Loss:
    """Returns the cross-entropy that fits the model's last layer: one sigmoid unit or a softmax."""
    if model.output_shape[-1] == 1:
        return keras.losses.BinaryCrossentropy()
    return keras.losses.SparseCategoricalCrossentropy()


def accuracy_for(model: keras.Model) -> keras.metrics.Metric:
    """Returns the accuracy that fits the model's last layer.

    Not by its name: what Keras creates in the first batch makes TensorFlow trace that batch twice.
    """
    if model.output_shape[-1] == 1:
        return keras.metrics.BinaryAccuracy(name="accuracy")
    return keras.metrics.SparseCategoricalAccuracy(name="accuracy")


def fit(
    model: keras.Model,
    data: Datasets,
    config: TrainConfig,
    *,
    log_dir: str | Path | None = None,
    progress: bool | Report = True,
) -> FitResult:
    """Trains `model` in place and leaves it with the weights of the last phase's lowest validation loss.

    Each phase sets what is trainable, compiles and calls `keras.Model.fit`; the best weights of a phase are
    what the next one starts from.

    Args:
        model: takes RGB in [0, 255], gives one sigmoid unit or a softmax over the classes.
        data: from `load_datasets`; `data.test` is not touched.
        config: the phases, the augmentation, the seed.
        log_dir: folder for TensorBoard, if wanted.
        progress: True shows images/s, the losses and the time left, a line per epoch without a terminal;
            False shows nothing; a function gets a `Progress` as a phase starts, at each epoch's end and at
            most a few times a second between.

    Raises:
        InputError: a phase names a layer that the model has not, or the classes don't fit the output.
    """
    if not isinstance(data, Datasets):
        raise InputError(
            f"fit takes what load_datasets returns, not {kind_of(data)}; for arrays use model.fit"
        )
    if not isinstance(model, keras.Model) or not isinstance(config, TrainConfig):
        raise InputError(
            f"fit takes a Keras model and a TrainConfig, not {kind_of(model)} and {kind_of(config)}"
        )
    _check_classes(model, data)
    history: list[Epoch] = []
    best_epoch, untrained = 0, {"accuracy": 0.0, "loss": 0.0}
    with reporting(progress) as report:
        for number, phase in enumerate(config.phases):
            set_trainable(model, phase.trainable)
            # The head is trained on an equal backbone that computes faster.
            trained = frozen_twin(model) if phase.trainable == "head" else model
            compile_phase(trained, phase, steps=phase.epochs * data.train.steps)
            if not history:
                untrained = trained.evaluate(data.validation.dataset(), verbose=0, return_dict=True)
            recorder = _Recorder(number, data.train, config.phases, history, report)
            epochs = _tracing_apart(_fit_phase(trained, data, config, recorder, log_dir=log_dir))
            # The weights that a phase ends with are its own best, whatever an earlier phase had reached.
            best_epoch = len(history) + int(np.argmin([epoch.val_loss for epoch in epochs]))
            history.extend(epochs)
    return FitResult(
        history=tuple(history),
        seconds=sum(epoch.seconds for epoch in history),
        tracing_seconds=sum(epoch.tracing_seconds for epoch in history),
        val_accuracy_before=float(untrained["accuracy"]),
        val_loss_before=float(untrained["loss"]),
        best_epoch=best_epoch,
        images_per_second=len(data.train) / float(np.median([epoch.seconds for epoch in history])),
        trainable_params=sum(int(np.prod(weight.shape)) for weight in model.trainable_weights),
    )


def _tracing_apart(epochs: list[Epoch]) -> list[Epoch]:
    """Takes the tracing out of a first epoch of a single batch, which alone can't tell the two apart."""
    first, *later = epochs
    if first.tracing_seconds or not later:
        return epochs
    batch = float(np.median([epoch.seconds for epoch in later]))
    tracing = max(0.0, first.seconds - batch)
    return [replace(first, seconds=first.seconds - tracing, tracing_seconds=tracing), *later]


def _check_classes(model: keras.Model, data: Datasets) -> None:
    classes, units = len(data.class_names), model.output_shape[-1]
    if units != classes and not (units == 1 and classes == 2):
        raise InputError(f"the model has {units} outputs, the data {classes} classes: {data.class_names}")


def compile_phase(model: keras.Model, phase: Phase, *, steps: int) -> None:
    """Compiles `model` with the optimiser of `phase`, whose schedule spans `steps` batches."""
    rate: Any = phase.learning_rate
    if phase.schedule == "cosine":
        warm_up = max(1, round(steps * WARM_UP))
        rate = keras.optimizers.schedules.CosineDecay(
            initial_learning_rate=rate / 100,
            warmup_target=rate,
            warmup_steps=warm_up,
            decay_steps=max(1, steps - warm_up),
        )
    if phase.optimizer == "adamw":
        optimizer = keras.optimizers.AdamW(learning_rate=rate, weight_decay=phase.weight_decay)
        # Decay is for the weights that multiply: offsets and scales of a norm would only be pulled off.
        optimizer.exclude_from_weight_decay(var_names=["bias", "beta", "gamma"])
    else:
        optimizer = {
            "adam": keras.optimizers.Adam,
            "rmsprop": keras.optimizers.RMSprop,
            "sgd": keras.optimizers.SGD,
        }[phase.optimizer](learning_rate=rate)
    model.compile(
        optimizer=optimizer, loss=loss_for(model), metrics=[accuracy_for(model)], jit_compile=_jit()
    )
    # Else TensorFlow traces the first batch once to create the optimiser's variables and once to train.
    optimizer.build(model.trainable_variables)


def _jit() -> str | bool:
    """XLA on a CPU is many times slower than TensorFlow's own kernels; elsewhere Keras decides."""
    if keras.backend.backend() != "tensorflow":
        return "auto"
    import tensorflow as tf

    return "auto" if tf.config.list_physical_devices("GPU") else False


def _fit_phase(
    model: keras.Model,
    data: Datasets,
    config: TrainConfig,
    recorder: "_Recorder",
    *,
    log_dir: str | Path | None,
) -> list[Epoch]:
    phase, first_epoch = config.phases[recorder.phase], len(recorder.earlier)
    # EarlyStopping also restores the best weights after a phase that ran to its end.
    patience = phase.epochs if phase.patience is None else phase.patience
    callbacks = [recorder, keras.callbacks.EarlyStopping(patience=patience, restore_best_weights=True)]
    if log_dir is not None:
        callbacks.append(keras.callbacks.TensorBoard(Path(log_dir), write_graph=False))
    with fused_kernels(model):
        model.fit(
            data.train.training_dataset(
                epochs=phase.epochs,
                seed=config.seed,
                augmentation=config.augmentation,
                first_epoch=first_epoch,
            ),
            initial_epoch=first_epoch,
            epochs=first_epoch + phase.epochs,
            steps_per_epoch=data.train.steps,
            validation_data=data.validation.dataset(),
            callbacks=callbacks,
            shuffle=False,  # the pipeline has done it
            verbose=0,
        )
    return recorder.epochs


class _Recorder(keras.callbacks.Callback):
    """Times the epochs of a phase and reports how far the training has come."""

    def __init__(
        self,
        phase: int,
        images: ImageSet,
        phases: tuple[Phase, ...],
        earlier: list[Epoch],
        report: Report | None,
    ) -> None:
        super().__init__()
        self.phase, self.phases, self.images, self.earlier = phase, phases, images, tuple(earlier)
        self.report = report
        self.epochs: list[Epoch] = []
        self.first_batch = 0.0  # seconds of the phase's first one, where the first epoch has others

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if not self.epochs:
            self._tell(epoch, step=0)  # the first batch traces the graph, which takes a while
        self.start = perf_counter()
        self.reported = self.start

    def on_train_batch_end(self, batch: int, logs: dict[str, Any]) -> None:
        last = batch == self.images.steps - 1
        traces = batch == 0 and not self.epochs and not last
        due = self.report is not None and perf_counter() - self.reported >= REPORT_SECONDS
        # Reading the loss waits for the device: the clock of an epoch stops when the work is done, and
        # within the epoch nobody waits but for a report.
        loss = float(logs["loss"]) if last or due or traces else None
        self.seconds = perf_counter() - self.start
        if traces:
            self.first_batch = self.seconds
        if due and not last:
            self._tell(len(self.earlier) + len(self.epochs), step=batch + 1, loss=loss)
            self.reported = perf_counter()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any]) -> None:
        tracing = self._tracing()
        done = Epoch(
            phase=self.phase,
            epoch=epoch,
            loss=float(logs["loss"]),
            accuracy=float(logs["accuracy"]),
            val_loss=float(logs["val_loss"]),
            val_accuracy=float(logs["val_accuracy"]),
            seconds=self.seconds - tracing,
            validation_seconds=perf_counter() - self.start - self.seconds,
            tracing_seconds=tracing,
        )
        self.epochs.append(done)
        self._tell(epoch, step=self.images.steps, loss=done.loss, result=done)

    def _tracing(self) -> float:
        """What the first batch of the phase took longer than the others of its epoch."""
        if self.epochs or not self.first_batch:
            return 0.0
        other = (self.seconds - self.first_batch) / (self.images.steps - 1)
        return max(0.0, self.first_batch - other)

    def _tell(self, epoch: int, *, step: int, loss: float | None = None, result: Epoch | None = None) -> None:
        if self.report is None:
            return
        known = [*self.earlier, *self.epochs]
        now = Progress(
            phase=self.phase,
            phases=len(self.phases),
            epoch=epoch,
            epochs=len(self.earlier) + sum(phase.epochs for phase in self.phases[self.phase :]),
            step=step,
            steps=self.images.steps,
            images_per_second=len(self.images) / result.seconds if result else self._speed(step),
            loss=loss,
            best_val_accuracy=max((done.val_accuracy for done in known), default=None),
            result=result,
        )
        self.report(replace(now, seconds_left=self._seconds_left(now)))

    def _speed(self, step: int) -> float | None:
        """Images a second in this epoch, without the batch that traced the graph."""
        first = not self.epochs
        if step < (2 if first else 1):
            return None
        images = min(step * self.images.batch_size, len(self.images))
        if first:
            return (images - self.images.batch_size) / (self.seconds - self.first_batch)
        return images / self.seconds

    def _seconds_left(self, now: Progress) -> float | None:
        """By the mean batch and validation of this phase; a later phase is taken to be as fast."""
        within = 0 if now.result else now.step  # batches of an epoch that has not ended
        apart = 1 if within and not self.epochs and self.first_batch else 0
        batches = len(self.epochs) * now.steps + within - apart
        if batches < 1:
            return None
        seconds = sum(done.seconds for done in self.epochs)
        seconds += self.seconds - (self.first_batch if apart else 0) if within else 0
        batch = seconds / batches
        validation = float(np.mean([done.validation_seconds for done in self.epochs[1:] or self.epochs] or 0))
        this_epoch = 0 if now.result else batch * (now.steps - now.step) + validation
        return this_epoch + (batch * now.steps + validation) * (now.epochs - now.epoch - 1)
