"""The same work in Keras 3 on TensorFlow, as its guides have it: `image_dataset_from_directory`, `fit`, `predict`."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

os.environ["KERAS_BACKEND"] = "tensorflow"

import cv2
import keras
import numpy as np
import tensorflow as tf
from keras import layers

import turns

BATCH = 24


def use(threads: int) -> None:
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(threads)
    cv2.setNumThreads(1)


def read(path: Path, side: int = 64) -> np.ndarray:
    return cv2.resize(cv2.imread(str(path)), (side, side))


def decode(threads: int, folder: str) -> Callable[[], object]:
    """The OpenCV loader of many tutorials, films shared among the threads."""
    use(threads)
    paths = sorted(Path(folder).glob("*/*"))
    return lambda: np.stack(list(ThreadPoolExecutor(threads).map(read, paths)))


def dataset(threads: int, folder: str) -> Callable[[], object]:
    use(threads)

    def epoch() -> None:
        for images, _ in keras.utils.image_dataset_from_directory(
            folder, image_size=(64, 64), batch_size=BATCH, shuffle=False, verbose=False
        ):
            images.numpy()

    return epoch


def network(batch_norm: bool, side: int = 64) -> keras.Model:
    model = keras.Sequential([layers.Input((side, side, 3))])
    for filters in (32, 64, 128):
        for _ in range(2):
            model.add(layers.Conv2D(filters, 3, padding="same", activation="relu"))
            if batch_norm:
                model.add(layers.BatchNormalization())
        model.add(layers.MaxPooling2D())
        model.add(layers.Dropout(0.25))
    model.add(layers.Flatten())
    model.add(layers.Dense(512, activation="relu"))
    if batch_norm:
        model.add(layers.BatchNormalization())
    model.add(layers.Dropout(0.5))
    model.add(layers.Dense(2, activation="softmax", dtype="float32"))  # as its guide of mixed precision has it
    return model


def compiled(batch_norm: bool, epochs: int = 30) -> keras.Model:
    model = network(batch_norm)
    rate = keras.optimizers.schedules.InverseTimeDecay(0.05, 1, 0.05 / epochs)
    model.compile(keras.optimizers.SGD(rate), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def standardised(pixels: np.ndarray) -> np.ndarray:
    pixels = pixels.astype(np.float32)
    pixels = (pixels - pixels.mean((1, 2), keepdims=True)) / pixels.std((1, 2), keepdims=True)
    return np.repeat(pixels[..., None], 3, 3)


def training(threads: int, films: int, batch_norm: bool) -> Callable[[], object]:
    use(threads)
    x = standardised(np.random.default_rng(0).integers(0, 255, (films, 64, 64)))
    y = np.arange(films) % 2
    model = compiled(batch_norm)
    return lambda: model.fit(x, y, batch_size=BATCH, epochs=1, class_weight={0: 3.0, 1: 1.0}, verbose=0) and None


def training_16(threads: int, films: int, batch_norm: bool) -> Callable[[], object]:
    """The same with keras' mixed precision: layers in bfloat16, weights in float32."""
    keras.mixed_precision.set_global_policy("mixed_bfloat16")
    return training(threads, films, batch_norm)


def features_16(threads: int, films: int) -> Callable[[], object]:
    keras.mixed_precision.set_global_policy("mixed_bfloat16")
    return features(threads, films)


def features(threads: int, films: int) -> Callable[[], object]:
    use(threads)
    model = keras.applications.VGG16(weights=None, include_top=False, input_shape=(224, 224, 3))
    x = np.random.default_rng(0).normal(0, 60, (films, 224, 224, 3)).astype(np.float32)
    return lambda: model.predict(x, batch_size=32, verbose=0).reshape(films, -1)


def label(threads: int, folder: str, films: int) -> Callable[[], object]:
    use(threads)
    model = network(False)
    paths = sorted(Path(folder).glob("*/*"))
    paths = paths[:: len(paths) // films]  # of all classes: they differ in size

    def each() -> float:
        seconds = []
        for path in paths:
            began = time.perf_counter()
            model.predict(standardised(read(path)[None, ..., 0]), verbose=0)
            seconds.append(time.perf_counter() - began)
        return float(np.median(seconds))

    return each


def paper(threads: int, folder: str, epochs: int, weights: str, out: str) -> Callable[[], object]:
    """The paper's comparison from a folder of class folders: three models, their scores, features in HDF5, curves."""
    use(threads)

    def all_three() -> None:
        import h5py
        import matplotlib

        matplotlib.use("Agg")
        import matplotlib.pyplot as plt
        from sklearn.linear_model import LogisticRegression
        from sklearn.metrics import classification_report
        from sklearn.model_selection import GridSearchCV

        def load(side: int) -> tuple[np.ndarray, np.ndarray]:
            found = keras.utils.image_dataset_from_directory(
                folder, image_size=(side, side), batch_size=32, shuffle=False, verbose=False
            )
            parts = [(x.numpy(), y.numpy()) for x, y in found]
            return np.concatenate([x for x, _ in parts]), np.concatenate([y for _, y in parts])

        small, y = load(64)
        x = standardised(small[..., 0])
        order = np.random.default_rng(0).permutation(len(y))
        train, val = order[: len(y) * 3 // 4], order[len(y) * 3 // 4 :]
        share = {k: np.bincount(y[train]).max() / n for k, n in enumerate(np.bincount(y[train]))}
        for name, batch_norm in (("vgg", False), ("vgg-bn", True)):
            model = compiled(batch_norm, epochs)
            history = model.fit(
                x[train],
                y[train],
                batch_size=BATCH,
                epochs=epochs,
                validation_data=(x[val], y[val]),
                class_weight=share,
                verbose=0,
            )
            print(classification_report(y[val], model.predict(x[val], verbose=0).argmax(1)))
            plt.figure()
            for curve in ("loss", "val_loss", "accuracy", "val_accuracy"):
                plt.plot(history.history[curve], label=curve)
            plt.legend()
            plt.savefig(f"{out}/{name}.png")
            model.save(f"{out}/{name}.keras")
        model = keras.applications.VGG16(weights=weights or None, include_top=False, input_shape=(224, 224, 3))
        large = keras.applications.vgg16.preprocess_input(load(224)[0])
        found = model.predict(large, batch_size=32, verbose=0).reshape(len(y), -1)
        with h5py.File(f"{out}/features.h5", "w") as file:
            file["features"], file["labels"] = found, y
        search = GridSearchCV(LogisticRegression(max_iter=1000), {"C": [10.0**k for k in range(-7, -1)]}, cv=3)
        search.fit(found[train], y[train])
        print(classification_report(y[val], search.predict(found[val])))

    return all_three


if __name__ == "__main__":
    turns.answer(
        {
            "decode": decode,
            "dataset": dataset,
            "training": training,
            "training_16": training_16,
            "features": features,
            "features_16": features_16,
            "label": label,
            "paper": paper,
        }
    )
