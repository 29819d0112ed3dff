"""Training with Keras `fit`, phase after phase, with the clock on training alone."""

from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter
from typing import Any

import keras
import numpy as np

from cnnzoo.data.pipeline import Datasets
from cnnzoo.errors import InputError, kind_of
from cnnzoo.gpu import gpus, has_tensorflow
from cnnzoo.models.transfer import set_trainable
from cnnzoo.training.checkpoint import Checkpoint, Position, State, key_of, put_back
from cnnzoo.training.config import Epoch, Phase, TrainConfig
from cnnzoo.training.devices import on_all_devices, sharing
from cnnzoo.training.fused import fused_kernels, single_functions
from cnnzoo.training.part import Part
from cnnzoo.training.progress import Progress, Report, reporting
from cnnzoo.training.recorder import Board, Callbacks, Recorder, Watch

WARM_UP = 0.05  # share of the steps over which a cosine schedule rises

__all__ = ["Epoch", "FitResult", "Phase", "Progress", "TrainConfig", "fit", "loss_for"]


@dataclass(frozen=True)
class FitResult:
    """What `fit` did.

    Attributes:
        history: the epochs in order, counted from 0 over all phases.
        seconds: training alone, without what it took to trace the graph.
        tracing_seconds: what that took, in the first batch of each phase.
        frozen_seconds: of `seconds`, what it took to compute frozen layers once, where a phase has `views`.
        val_accuracy_before: on the validation images, before the first batch; so is `val_loss_before`.
        best_epoch: index in `history` of the weights that the model has now.
        images_per_second: of the median epoch; with `views`, of the training as a whole.
        trainable_params: trainable parameters in the last phase.
        phase_start_seconds: from the beginning of each phase that trained here to the end of its second
            batch: compiling, validating before training, tracing.
    """

    history: tuple[Epoch, ...]
    seconds: float
    tracing_seconds: float
    val_accuracy_before: float
    val_loss_before: float
    best_epoch: int
    images_per_second: float
    trainable_params: int
    frozen_seconds: float = 0.0
    phase_start_seconds: tuple[float, ...] = ()


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
    checkpoint: str | Path | None = None,
    progress: bool | Report = True,
) -> FitResult:
    """Trains `model` in place and leaves it with the weights that its last phase keeps (`Phase.keep`).

    Each phase sets what is trainable, compiles and calls `keras.Model.fit`; the weights that it keeps, by
    default the best, are what the next one starts from. Where several GPUs are visible, each takes its share
    of every batch.

    Args:
        model: takes RGB in [0, 255], gives one sigmoid unit or a softmax over the classes.
        data: from `load_datasets`; `data.test` is not touched.
        config: the phases, the augmentation, the seed.
        log_dir: folder for TensorBoard, if wanted; TensorFlow writes it.
        checkpoint: a file (.npz) that gets the whole state every two minutes, and after each epoch as long as
            that costs about a hundredth of the time. If it holds that of a training on the same images by the
            same `config`, whatever weights `model` has now, that goes on from there and, on the same machine,
            ends with the same bits as if never stopped. It is left there: another training needs another.
        progress: True shows images/s, losses and the time left, a line per epoch without a terminal; a
            function gets a `Progress` as a phase starts, at each epoch's end and a few times a second.

    Raises:
        InputError: a phase names a layer that the model has not, or another argument can't be used.
        Diverged: the loss is no number any more.
    """
    _check_arguments(model, data, config, log_dir)
    with on_all_devices(model) as trained:
        result = _fit(trained, data, config, log_dir=log_dir, checkpoint=checkpoint, progress=progress)
    if trained is not model:
        set_trainable(model, config.phases[-1].trainable)
    return result


def _fit(
    model: keras.Model,
    data: Datasets,
    config: TrainConfig,
    *,
    log_dir: str | Path | None,
    checkpoint: str | Path | None,
    progress: bool | Report,
) -> FitResult:
    saving = None if checkpoint is None else Checkpoint(Path(checkpoint), key_of(model, data, config))
    state = saving.load() if saving else None
    if state:
        put_back(model.variables, state.variables)
    position, starts = state.position if state else None, []
    with reporting(progress) as report:
        watch = Watch(data.train, config.phases, report, saving, model)
        part = Part(watch, data, config)
        for number in range(position.phase if position else 0, len(config.phases)):
            start = perf_counter()
            part.prepare(number, len(position.earlier) if position else 0)
            recorder = _train_phase(part, position, state, log_dir=log_dir)
            starts += [recorder.second_batch - start] if recorder.second_batch else []
            epochs = _tracing_apart(recorder.epochs)
            # The weights that a phase ends with are its own best, whatever an earlier phase had reached.
            best_epoch = len(recorder.earlier) + recorder.best_epoch
            history = (*recorder.earlier, *epochs)
            position, state = Position(number + 1, history, (), recorder.before), None
    seconds = sum(epoch.seconds for epoch in history) + part.frozen_seconds
    median = float(np.median([epoch.seconds for epoch in history]))
    return FitResult(
        history=history,
        seconds=seconds,
        tracing_seconds=sum(epoch.tracing_seconds for epoch in history),
        val_accuracy_before=recorder.before["accuracy"],
        val_loss_before=recorder.before["loss"],
        best_epoch=best_epoch,
        images_per_second=len(data.train) / (seconds / len(history) if part.frozen_seconds else median),
        trainable_params=sum(int(np.prod(weight.shape)) for weight in model.trainable_weights),
        frozen_seconds=part.frozen_seconds,
        phase_start_seconds=tuple(starts),
    )


def _train_phase(
    part: Part, position: Position | None, state: State | None, *, log_dir: str | Path | None
) -> Recorder:
    """Trains a phase from its start, or from `state`, and leaves the model with the phase's best weights."""
    trained, phase = part.model, part.phase
    compile_phase(trained, phase, steps=phase.epochs * part.watch.images.steps)
    if position is None:
        before = trained.evaluate(part.validation(), verbose=0, return_dict=True)
        position = Position(part.number, (), (), {name: float(value) for name, value in before.items()})
    if state:
        put_back(trained.optimizer.variables, state.optimizer)
    recorder = Recorder(part.watch, position, state)
    if state and recorder.epochs and recorder.best is None:
        recorder.best = trained.get_weights()
    _fit_phase(part, recorder, log_dir=log_dir)
    trained.set_weights(recorder.best)
    return recorder


def _tracing_apart(epochs: list[Epoch]) -> list[Epoch]:
    """Takes the tracing out of a first epoch of a single batch, which alone can't tell the two apart."""
    first, *later = epochs
    if first.tracing_seconds or not later:
        return epochs
    batch = float(np.median([epoch.seconds for epoch in later]))
    tracing = max(0.0, first.seconds - batch)
    return [replace(first, seconds=first.seconds - tracing, tracing_seconds=tracing), *later]


def _check_arguments(model: Any, data: Any, config: Any, log_dir: str | Path | None) -> None:
    if not isinstance(data, Datasets):
        raise InputError(
            f"fit takes what load_datasets returns, not {kind_of(data)}; for arrays use model.fit"
        )
    if not isinstance(model, keras.Model) or not isinstance(config, TrainConfig):
        raise InputError(
            f"fit takes a Keras model and a TrainConfig, not {kind_of(model)} and {kind_of(config)}"
        )
    classes, units = len(data.class_names), model.output_shape[-1]
    if units != classes and not (units == 1 and classes == 2):
        raise InputError(f"the model has {units} outputs, the data {classes} classes: {data.class_names}")
    if log_dir is not None and not has_tensorflow():
        raise InputError(
            "log_dir is given, but TensorFlow, which writes what TensorBoard shows, is not installed"
        )


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
        optimizer=optimizer,
        loss=loss_for(model),
        weighted_metrics=[accuracy_for(model)],  # where several devices share a batch, it has weights
        jit_compile=_jit(),
    )
    # Else TensorFlow traces the first batch once to create the optimiser's variables and once to train.
    # By way of the model, which may have wrapped it for mixed precision.
    model.optimizer.build(model.trainable_variables)
    single_functions(model)


def _jit() -> str | bool:
    """XLA on a CPU is many times slower than TensorFlow's own kernels; elsewhere Keras decides."""
    if keras.backend.backend() != "tensorflow":
        return "auto"
    # What several devices exchange is beyond it.
    return "auto" if gpus() and sharing() == 1 else False


def _fit_phase(part: Part, recorder: Recorder, *, log_dir: str | Path | None) -> None:
    """Trains what is left of a phase, first the rest of an epoch that was stopped within it."""
    with fused_kernels(part.model):
        while not recorder.done:
            batch = recorder.going_on.batch
            first = len(recorder.earlier) + len(recorder.epochs)
            left = 1 if batch else part.phase.epochs - len(recorder.epochs)
            callbacks = [recorder]
            if log_dir is not None:
                callbacks.append(Board(Path(log_dir), write_graph=False))
            part.model.fit(
                part.training(epochs=left, first_epoch=first, first_batch=batch),
                initial_epoch=first,
                epochs=first + left,
                steps_per_epoch=part.watch.images.steps - batch,
                validation_data=part.validation(),
                callbacks=Callbacks(part.model, callbacks),
                shuffle=False,  # the pipeline has done it
                verbose=0,
            )
