from __future__ import annotations

import h5py
import numpy as np
import pytest
import torch

from plainfilm.data.sources import load
from plainfilm.image.preprocess import Preprocess
from plainfilm.image.store import ingest
from plainfilm.models import engines
from plainfilm.models import features as module
from plainfilm.models.engines import Ncnn
from plainfilm.models.features import extract, put_vgg16, write_features
from plainfilm.models.weights import vgg16_weights
from plainfilm.models.zoo import recipe

P = Preprocess(size=32, scaling="caffe")


def not_installed(*_):
    raise ImportError


@pytest.fixture
def ready(tmp_path, monkeypatch, films_folder, vgg16_file):
    monkeypatch.setenv("PLAINFILM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(engines, "Ncnn", not_installed)  # torch, whose passes can be counted
    weights = vgg16_weights(vgg16_file)
    network = recipe("vgg16-lr").build(2, P)
    put_vgg16(network, weights.arrays)
    films, (pixels,) = ingest(load(films_folder), [P])
    return films, pixels, network, weights.sha256


def test_features_are_the_networks_and_are_extracted_once(ready, monkeypatch):
    films, pixels, network, sha256 = ready
    passed = []
    real = network.forward_features
    monkeypatch.setattr(network, "forward_features", lambda x: passed.append(len(x)) or real(x))
    rows, seconds = extract(films, pixels, network, P, sha256, (512,))
    assert passed == [32, 8] and seconds > 0 and rows[slice(0, 40)].shape == (40, 512)
    with torch.no_grad():
        direct = real(P.tensor(pixels[np.array([7])])).numpy()
    assert np.allclose(rows[np.array([7])], direct, atol=1e-4)
    again, seconds_again = extract(films, pixels, network, P, sha256, (512,))
    assert passed == [32, 8] and seconds_again == seconds and np.array_equal(again[slice(0, 40)], rows[slice(0, 40)])
    extract(films, pixels, network, P, "other weights", (512,))
    assert passed == [32, 8] * 2


def test_an_extraction_that_died_goes_on(ready, monkeypatch):
    films, pixels, network, sha256 = ready
    real, passed = network.forward_features, []

    def dies(x):
        if passed:
            raise KeyboardInterrupt
        passed.append(len(x))
        return real(x)

    monkeypatch.setattr(network, "forward_features", dies)
    with pytest.raises(KeyboardInterrupt):
        extract(films, pixels, network, P, sha256, (512,))
    monkeypatch.setattr(network, "forward_features", lambda x: passed.append(len(x)) or real(x))
    extract(films, pixels, network, P, sha256, (512,))
    assert passed == [32, 8]


def test_an_extraction_goes_on_by_another_engine_and_says_so(ready, monkeypatch, capsys):
    films, pixels, network, sha256 = ready
    extract(films.with_films(films.films[:8]), pixels, network, P, sha256, (512,))
    assert "Features by torch: ncnn, about twice as fast, is not installed" in capsys.readouterr().err
    pytest.importorskip("ncnn")
    monkeypatch.setattr(engines, "Ncnn", Ncnn)
    mixed, _ = extract(films, pixels, network, P, sha256, (512,))
    assert "Stored features: 32 by ncnn, 8 by torch." in capsys.readouterr().err
    with torch.no_grad():
        direct = network.forward_features(P.tensor(pixels[slice(0, 40)])).numpy()
    assert np.allclose(mixed[slice(0, 40)], direct, atol=1e-5 * direct.max())


def test_features_h5(ready, tmp_path):
    films, pixels, network, sha256 = ready
    rows, _ = extract(films, pixels, network, P, sha256, (512,))
    write_features(tmp_path / "features.h5", films, rows)
    with h5py.File(tmp_path / "features.h5") as file:
        assert file["features"].shape == (40, 512) and file["features"].dtype == np.float32 and file["features"].chunks
        assert np.array_equal(file["features"][:], rows[slice(0, 40)])
        assert file["paths"].asstr()[:].tolist() == [f.path for f in films]
        assert file["labels"].asstr()[0] == "NORMAL"
        assert file.attrs["weights_sha256"] == sha256 and '"size": 32' in file.attrs["preprocess"]
    first = (tmp_path / "features.h5").read_bytes()
    write_features(tmp_path / "again.h5", films, rows)
    assert (tmp_path / "again.h5").read_bytes() == first


def test_batches_are_the_papers():
    assert module.BATCH == 32
