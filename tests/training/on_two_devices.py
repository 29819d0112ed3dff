"""Run by test_devices.py on one or two devices: trains a network on a folder and saves what came of it.

python on_two_devices.py DEVICES BATCH FOLDER OUT.npz [CHECKPOINT.npz [EPOCH at whose end it is stopped]]
"""

import sys

import keras
import numpy as np
from keras import layers

if keras.backend.backend() == "tensorflow":
    import tensorflow as tf

    (cpu,) = tf.config.list_physical_devices("CPU")
    each = tf.config.LogicalDeviceConfiguration()
    tf.config.set_logical_device_configuration(cpu, [each] * int(sys.argv[1]))

import cnnzoo
from cnnzoo.training import devices


def network(*, norms):
    """Convolutions and batch norms; nothing that drops at random, which each device draws for itself."""
    inputs = keras.Input((32, 32, 3))
    x = layers.Rescaling(1 / 127.5, offset=-1)(inputs)
    for filters in (8, 16):
        x = layers.Conv2D(filters, 3, strides=2, padding="same", use_bias=False)(x)
        x = layers.ReLU()(layers.BatchNormalization()(x) if norms else x)
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, layers.Dense(2, activation="softmax")(x))


def main():
    number, batch, folder, out, *rest = sys.argv[1:]
    assert devices._visible() == int(number)
    data = cnnzoo.load_datasets(folder, image_size=32, batch_size=int(batch), progress=False)
    even = all(len(side) % int(batch) % 2 == 0 for side in (data.train, data.validation))
    keras.utils.set_random_seed(0)
    # The image that a batch of an odd number is filled up with counts among the statistics of a norm.
    model = network(norms=even and int(batch) % 2 == 0)
    phase = cnnzoo.Phase(epochs=3, learning_rate=0.01, optimizer="sgd")
    shares = []

    def heard(now):
        shares.append(devices.sharing())
        if len(rest) > 1 and now.result and now.epoch == int(rest[1]):
            raise KeyboardInterrupt

    config = cnnzoo.TrainConfig(phases=(phase,))
    result = cnnzoo.fit(model, data, config, progress=heard, checkpoint=rest[0] if rest else None)
    validation = [(epoch.val_loss, epoch.val_accuracy) for epoch in result.history]
    training = [(epoch.loss, epoch.accuracy) for epoch in result.history]
    test = cnnzoo.evaluate(model, data.test)
    found = {"validation": validation, "training": training, "test": test.probabilities, "shares": shares}
    np.savez(out, *model.get_weights(), **found)


if __name__ == "__main__":
    main()
