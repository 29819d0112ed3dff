"""What watches a phase of a training: its clock, its reports, its best weights, its checkpoints, its end."""

import math
from dataclasses import dataclass, replace
from time import perf_counter
from typing import Any

import keras
import numpy as np

from cnnzoo.data.pipeline import ImageSet
from cnnzoo.errors import Diverged
from cnnzoo.training.checkpoint import Checkpoint, Position, State, put_back, values_of
from cnnzoo.training.config import Epoch, Phase
from cnnzoo.training.progress import Progress, Report

REPORT_SECONDS = 0.4  # between two reports within an epoch


@dataclass(frozen=True, eq=False)
class Watch:
    """What a recorder is given besides its model.

    Attributes:
        images: that are trained on.
        phases: all of them.
        report: gets each `Progress`; None where nobody asks.
        checkpoint: file for the state; None keeps none.
        whole: the model, of which the one that trains may be a twin.
    """

    images: ImageSet
    phases: tuple[Phase, ...]
    report: Report | None
    checkpoint: Checkpoint | None
    whole: keras.Model


class Callbacks(keras.callbacks.CallbackList):
    """Keras' own list, but for waiting for the device after each batch, to turn its logs into numbers."""

    def __init__(self, model: keras.Model, callbacks: list[keras.callbacks.Callback]) -> None:
        super().__init__(callbacks, add_history=True, model=model)

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        for callback in self.callbacks:
            callback.on_train_batch_end(batch, logs)

    def on_test_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        for callback in self.callbacks:
            callback.on_test_batch_end(batch, logs)


class Board(keras.callbacks.TensorBoard):
    """Keras' files for TensorBoard, of epochs; it would read the numbers of each batch all the same."""

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        super().on_train_batch_end(batch, {})


class Recorder(keras.callbacks.Callback):
    """Times the epochs of a phase, reports them, keeps the best weights, saves the state, stops early.

    Args:
        watch: what to watch.
        position: where the phase starts, or goes on.
        saved: the state it goes on from; None at a start.
    """

    def __init__(self, watch: Watch, position: Position, saved: State | None = None) -> None:
        super().__init__()
        self.watch, self.images, self.report = watch, watch.images, watch.report
        self.phase, self.earlier, self.before = position.phase, position.earlier, position.before
        self.epochs = list(position.epochs)
        self.going_on, self.metrics = position, saved.metrics if saved else []
        self.best = saved.best if saved else None
        self.first_batch = 0.0  # seconds of the first one here, where its epoch has others
        self.second_batch = 0.0  # when the second batch here had ended; the first, where there is no other
        self.all_batches = 0  # in this process
        # JAX compiles anew for the smaller batch that an epoch may end with.
        self.short_to_come = self.images.steps > 1 and len(self.images) % self.images.batch_size > 0
        self.short_batch = 0.0  # seconds of the first such one here
        self.batches = 0  # of this epoch, in this process

    @property
    def done(self) -> bool:
        """Whether the phase has ended: all its epochs, or as many without a better one as it is patient."""
        phase = self.watch.phases[self.phase]
        since_lowest = len(self.epochs) - 1 - self._lowest if self.epochs else 0
        return len(self.epochs) >= phase.epochs or since_lowest >= (phase.patience or phase.epochs)

    @property
    def best_epoch(self) -> int:
        """Index in the phase of the epoch to keep: that of the lowest validation loss, or the last."""
        if self.watch.phases[self.phase].keep == "last":
            return len(self.epochs) - 1
        return self._lowest

    @property
    def _lowest(self) -> int:
        return int(np.argmin([epoch.val_loss for epoch in self.epochs]))

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if not self.all_batches:  # the first batch traces the graph, which takes a while
            self._tell(epoch, step=self.going_on.batch)
        self.start = self.reported = perf_counter()
        self.seconds, self.batches = 0.0, 0

    def on_train_batch_end(self, batch: int, logs: dict[str, Any]) -> None:
        self.batches += 1
        self.all_batches += 1
        if self.metrics:
            # Keras makes these variables in the first batch: what they sum up comes to that one's values.
            own = values_of(self.model.metrics_variables)
            put_back(self.model.metrics_variables, [a + b for a, b in zip(self.metrics, own, strict=True)])
            self.metrics = []
        step = self.going_on.batch + self.batches
        last = step == self.images.steps
        traces = self.all_batches == 1 and not last
        before_short = self.short_to_come and step == self.images.steps - 1
        due = self.report is not None and perf_counter() - self.reported >= REPORT_SECONDS
        saves = self._saves(within_epoch=True) and not last
        # Reading the loss waits for the device: the clock of an epoch stops when the work is done, and
        # within the epoch nobody waits but for a report.
        loss = float(logs["loss"]) if last or due or traces or before_short or saves else None
        before, self.seconds = self.seconds, perf_counter() - self.start
        if self.all_batches <= 2:
            self.second_batch = perf_counter()
        if traces:
            self.first_batch = self.seconds
        if last and self.short_to_come:
            self.short_batch, self.short_to_come = self.seconds - before, False
        if loss is not None and not math.isfinite(loss):
            self._diverged()
        if due and not last:
            self._tell(len(self.earlier) + len(self.epochs), step=step, loss=loss)
            self.reported = perf_counter()
        if saves:
            self._save(step)
            self.start = perf_counter() - self.seconds

    def on_epoch_end(self, epoch: int, logs: dict[str, Any]) -> None:
        tracing = self._tracing()
        done = Epoch(
            phase=self.phase,
            epoch=epoch,
            loss=float(logs["loss"]),
            accuracy=float(logs["accuracy"]),
            val_loss=float(logs["val_loss"]),
            val_accuracy=float(logs["val_accuracy"]),
            seconds=self.going_on.seconds + self.seconds - tracing,
            validation_seconds=perf_counter() - self.start - self.seconds,
            tracing_seconds=self.going_on.tracing_seconds + tracing,
        )
        self.epochs.append(done)
        self.going_on = replace(self.going_on, batch=0, seconds=0, tracing_seconds=0)
        self.first_batch = self.short_batch = 0.0
        if not (math.isfinite(done.loss) and math.isfinite(done.val_loss)):
            self._diverged()
        if self.best_epoch == len(self.epochs) - 1:
            self.best = self.model.get_weights()
        if self._saves(within_epoch=False):
            self._save(0)
        self._tell(epoch, step=self.images.steps, loss=done.loss, result=done)
        self.model.stop_training = self.done

    def _diverged(self) -> None:
        """Ends the training: what comes after a loss that is no number is no number either."""
        known = (*self.earlier, *self.epochs)
        ended = bool(known) and not math.isfinite(known[-1].loss + known[-1].val_loss)
        number = len(known) + (not ended)
        rate = float(self.model.optimizer.learning_rate)
        raise Diverged(f"diverged in epoch {number} at a learning rate of {rate:.3g}; try a lower one", known)

    def _saves(self, *, within_epoch: bool) -> bool:
        checkpoint = self.watch.checkpoint
        return checkpoint is not None and checkpoint.due(within_epoch=within_epoch)

    def _save(self, batch: int) -> None:
        tracing = self._tracing() if batch else 0.0
        position = Position(
            phase=self.phase,
            earlier=self.earlier,
            epochs=tuple(self.epochs),
            before=self.before,
            batch=batch,
            seconds=self.going_on.seconds + self.seconds - tracing if batch else 0.0,
            tracing_seconds=self.going_on.tracing_seconds + tracing,
        )
        is_best = not batch and self.best_epoch == len(self.epochs) - 1
        model = self.model  # on JAX, asking for it brings its variables up to date
        assert self.watch.checkpoint is not None
        self.watch.checkpoint.save(
            State(
                position=position,
                variables=values_of(self.watch.whole.variables),
                optimizer=values_of(model.optimizer.variables),
                metrics=values_of(model.metrics_variables) if batch else [],
                best=None if is_best else self.best,
            )
        )

    def _tracing(self) -> float:
        """What the first batch here, and the first smaller one, took longer than the others of the epoch."""
        if not self.first_batch or self.batches < 2:
            return 0.0
        apart = [self.first_batch]
        if self.short_batch and self.batches > 2:
            apart.append(self.short_batch)
        other = (self.seconds - sum(apart)) / (self.batches - len(apart))
        return sum(max(0.0, batch - other) for batch in apart)

    def _tell(self, epoch: int, *, step: int, loss: float | None = None, result: Epoch | None = None) -> None:
        if self.report is None:
            return
        known = [*self.earlier, *self.epochs]
        now = Progress(
            phase=self.phase,
            phases=len(self.watch.phases),
            epoch=epoch,
            epochs=len(self.earlier) + sum(phase.epochs for phase in self.watch.phases[self.phase :]),
            step=step,
            steps=self.images.steps,
            images_per_second=len(self.images) / result.seconds if result else self._speed(),
            loss=loss,
            best_val_accuracy=max((done.val_accuracy for done in known), default=None),
            result=result,
        )
        self.report(replace(now, seconds_left=self._seconds_left(now)))

    def _speed(self) -> float | None:
        """Images a second in this epoch and process, without the batch that traced the graph."""
        apart = 1 if self.first_batch else 0
        if self.batches <= apart:
            return None
        # Of the whole batches here, but that the last of an epoch may be smaller.
        step = self.going_on.batch + self.batches
        images = min(step * self.images.batch_size, len(self.images))
        images -= (self.going_on.batch + apart) * self.images.batch_size
        return images / (self.seconds - self.first_batch)

    def _seconds_left(self, now: Progress) -> float | None:
        """By the mean batch and validation of this phase; a later phase is taken to be as fast."""
        apart = 1 if self.first_batch and not now.result else 0
        within = 0 if now.result else self.batches - apart  # timed batches of an epoch that has not ended
        batches = len(self.epochs) * now.steps + within
        if batches < 1:
            return None
        seconds = sum(done.seconds for done in self.epochs)
        seconds += self.seconds - self.first_batch if within else 0
        batch = seconds / batches
        validation = float(np.mean([done.validation_seconds for done in self.epochs[1:] or self.epochs] or 0))
        this_epoch = 0 if now.result else batch * (now.steps - now.step) + validation
        return this_epoch + (batch * now.steps + validation) * (now.epochs - now.epoch - 1)
