"""What is exported decides as the original does, says what it is, and a hostile file is refused in one sentence."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

from plainfilm.catalogue import PAPER
from plainfilm.errors import InputError, PlainfilmError
from plainfilm.evaluation.decision import Band, Decision
from plainfilm.export.safetensors import write_safetensors
from plainfilm.image.preprocess import Preprocess
from plainfilm.image.store import Rows
from plainfilm.models.gate import fit_gate
from plainfilm.models.model import Model
from plainfilm.models.vgg import VGG

pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")
onnx = pytest.importorskip("onnx")

import plainfilm.export as exporting_about  # noqa: E402
from plainfilm.config import DISCLAIMER  # noqa: E402
from plainfilm.export import onnx as exporting  # noqa: E402
from plainfilm.export import onnx_file  # noqa: E402
from plainfilm.export.engine import OnnxModel  # noqa: E402


def paper_model() -> Model:
    preprocess = Preprocess(size=16)
    model = Model(
        VGG(PAPER, 2, 16, batch_norm=True),
        "vgg-bn",
        Decision(("NORMAL", "PNEUMONIA"), "PNEUMONIA", 0.47, 1.7, Band(0.4, 0.6)),
        preprocess,
    )
    model.hash = "ab" * 32
    rows = Rows(pixels(24), np.arange(24), {})
    seen = model.answered(pixels(24))[1]
    gate = fit_gate(rows, np.arange(24), np.random.default_rng(0))
    model.gate = gate.with_insight(seen[:16], seen[16:])
    return model


def pixels(count: int = 5) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, (count, 16, 16), dtype=np.uint8)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    model, path = paper_model(), tmp_path_factory.mktemp("export") / "model.onnx"
    return model, path, exporting.write_onnx(model, path, pixels())


def test_nothing_is_printed_wherever_the_file_is_loaded(written):
    """In a program of somebody else, with onnxruntime as it comes, which warned 11 times a load."""
    code = f"import onnxruntime; onnxruntime.InferenceSession({str(written[1])!r}, providers=['CPUExecutionProvider'])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "onnxruntime:, graph" not in done.stderr and "not used by any node" not in done.stdout + done.stderr


def test_probabilities_are_the_models_for_any_batch(written):
    model, path, difference = written
    other = OnnxModel.load(path)
    assert difference < 1e-5
    for count in (1, 2, 7):
        assert other.probabilities(pixels(count)) == pytest.approx(model.probabilities(pixels(count)), abs=1e-5)


def test_it_labels_films_as_the_model_does(written, make_film):
    model, path, _ = written
    films = [make_film(i, bool(i % 2)) for i in range(6)]
    other = OnnxModel.load(path)
    p = other.predict_proba(films)
    assert p == pytest.approx(model.predict_proba(films), abs=1e-5)
    assert other.predict(films).tolist() == model.predict(films).tolist()
    assert other.decision == model.decision


def test_it_holds_the_gate_to_the_last_bit(written):
    model, path, _ = written
    gate = OnnxModel.load(path).gate
    assert gate.arrays().keys() == model.gate.arrays().keys()
    for name, array in model.gate.arrays().items():
        assert gate.arrays()[name].dtype == array.dtype and np.array_equal(gate.arrays()[name], array), name
    strange = np.stack([np.tile(np.arange(16, dtype=np.uint8) * 16, (16, 1)), *pixels(3)])
    assert gate.judge(strange) == model.gate.judge(strange) and gate.judge(strange)[0].reason


def test_what_the_gate_looks_at_is_the_same_and_flags_the_same_films(written):
    model, path, _ = written
    other = OnnxModel.load(path)
    films = pixels(6)
    (_, ours), (_, theirs) = model.answered(films), other.answered(films)
    assert theirs.shape == ours.shape and np.abs(ours - theirs).max() < 1e-4
    far = ours + 100
    assert [v.reason for v in other.gate.judge(films, theirs)] == [v.reason for v in model.gate.judge(films, ours)]
    assert all(verdict.reason for verdict in other.gate.judge(films, far))


def test_a_file_of_the_last_format_has_one_output_and_is_read(tmp_path, monkeypatch):
    model, path = paper_model(), tmp_path / "old.onnx"
    model.gate = replace(model.gate, insight=None)
    monkeypatch.setattr(exporting_about, "FORMAT", 2)
    exporting.write_onnx(model, path, pixels())
    other = OnnxModel.load(path)
    assert other.answered(pixels())[1] is None and other.gate.looked_at == 0


def test_the_file_says_what_it_is_and_nothing_of_this_machine(written):
    model, path, _ = written
    proto = onnx.load(path)
    told = {item.key: item.value for item in proto.metadata_props}
    assert json.loads(told["classes"]) == ["NORMAL", "PNEUMONIA"] and told["positive"] == "PNEUMONIA"
    assert json.loads(told["refer"]) == [0.4, 0.6] and float(told["threshold"]) == 0.47
    assert json.loads(told["preprocess"]) == model.preprocess.as_dict() and told["disclaimer"] == DISCLAIMER
    assert {(o.domain, o.version) for o in proto.opset_import} == {("", exporting.OPSET)}
    assert b"site-packages" not in path.read_bytes() and b".py" not in path.read_bytes()


def test_a_file_that_differs_is_not_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(exporting, "largest_difference", lambda *_: 2e-4)
    with pytest.raises(PlainfilmError, match=r"not kept.*differ.*0.0002"):
        exporting.write_onnx(paper_model(), tmp_path / "model.onnx", pixels())
    assert list(tmp_path.iterdir()) == []


def test_a_difference_that_is_no_number_is_not_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(exporting, "largest_difference", lambda *_: float("nan"))
    with pytest.raises(PlainfilmError, match="not kept"):
        exporting.write_onnx(paper_model(), tmp_path / "model.onnx", pixels())


def test_every_changed_byte_is_found(written, tmp_path):
    _, path, _ = written
    data = bytearray(path.read_bytes())
    for at in np.random.default_rng(0).integers(0, len(data), 5):
        changed = data.copy()
        changed[at] ^= 1
        (tmp_path / "changed.onnx").write_bytes(changed)
        with pytest.raises(InputError, match=r"changed\.onnx is not a plainfilm ONNX model"):
            OnnxModel.load(tmp_path / "changed.onnx")


def resealed(proto, path):
    for item in proto.metadata_props:
        if item.key == onnx_file.SEAL:
            item.value = "0" * 64
    path.write_bytes(onnx_file.seal(proto.SerializeToString(), onnx_file.UNSEALED))


def external(proto):
    tensor = proto.graph.initializer[0]
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="/etc/passwd")


def foreign(proto):
    proto.graph.node[0].domain = "com.example"
    proto.opset_import.add(domain="com.example", version=1)


def branching(proto):
    node = proto.graph.node[0]
    node.attribute.add(name="body", type=onnx.AttributeProto.GRAPH)


def newer(proto):
    next(item for item in proto.metadata_props if item.key == "plainfilm").value = "4"


def older(proto):
    next(item for item in proto.metadata_props if item.key == "plainfilm").value = "1"


def half_a_gate(proto):
    del proto.graph.initializer[[t.name for t in proto.graph.initializer].index("gate/limit")]
    del proto.graph.node[[node.output[0] for node in proto.graph.node].index("gate/kept/limit")]


def gate_of_other_films(proto):
    size = next(t for t in proto.graph.initializer if t.name == "gate/size")
    size.CopyFrom(onnx.numpy_helper.from_array(np.asarray(64), "gate/size"))


def impossible_band(proto):
    next(i for i in proto.metadata_props if i.key == "refer").value = "[0.7, 0.2]"


def other_size(proto):
    next(i for i in proto.metadata_props if i.key == "preprocess").value = json.dumps({"size": 64})


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (external, "lies in another file"),
        (foreign, "outside the ONNX standard"),
        (branching, "a branch or a loop"),
        (newer, "newer plainfilm"),
        (older, "older plainfilm, which left the input gate out; export it again"),
        (half_a_gate, "the gate's arrays are"),
        (gate_of_other_films, "its gate is for films of 64 pixels, the network for 16"),
        (impossible_band, "refer band 0.7 to 0.2"),
        (other_size, "shapes"),
    ],
)
def test_hostile_files_are_refused(written, tmp_path, change, reason):
    proto = onnx.load(written[1])
    change(proto)
    resealed(proto, tmp_path / "bad.onnx")
    with pytest.raises(InputError, match=reason):
        OnnxModel.load(tmp_path / "bad.onnx")


@pytest.mark.parametrize("data", [b"", b"\x08\x0a", b"\x89HDF\r\n\x1a\n", b"x" * 1000])
def test_what_is_no_onnx_is_refused(tmp_path, data):
    (tmp_path / "no.onnx").write_bytes(data)
    with pytest.raises(InputError, match=r"no\.onnx is not a plainfilm ONNX model"):
        OnnxModel.load(tmp_path / "no.onnx")
    with pytest.raises(InputError, match="can't be read"):
        OnnxModel.load(tmp_path / "absent.onnx")


def test_a_run_is_exported_into_the_cache_once(tmp_path, monkeypatch):
    monkeypatch.setenv("PLAINFILM_CACHE", str(tmp_path / "cache"))
    preprocess = Preprocess(size=16)
    model = Model(
        VGG(PAPER, 2, 16), "vgg", Decision(("NORMAL", "PNEUMONIA"), "PNEUMONIA"), preprocess, provenance={"run": "a"}
    )
    model.save(tmp_path / "model.h5")
    first = exporting.engine_of(tmp_path, pixels())
    assert first.probabilities(pixels()) == pytest.approx(model.probabilities(pixels()), abs=1e-5)
    assert first.decision == model.decision and first.hash == Model.load(tmp_path).hash
    monkeypatch.setattr("plainfilm.export.onnx.write_onnx", None)  # would fail if it were called again
    exporting.engine_of(tmp_path / "model.h5", pixels())


def test_a_missing_package_is_one_sentence(monkeypatch):
    monkeypatch.setattr(onnx_file, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"pip install 'plainfilm\[export\]'"):
        exporting.require("onnxruntime")


def test_safetensors_hold_every_bit_and_what_it_takes_to_use_them(tmp_path):
    safetensors = pytest.importorskip("safetensors")
    model = paper_model()
    values = write_safetensors(model, tmp_path / "model.safetensors")
    assert values == sum(v.numel() for v in model.network.state_dict().values())
    with safetensors.safe_open(tmp_path / "model.safetensors", "pt") as file:
        told = json.loads(file.metadata()["plainfilm"])
        assert all((file.get_tensor(k) == v).all() for k, v in model.network.state_dict().items())
    assert told["model"] == "vgg-bn" and told["classes"] == ["NORMAL", "PNEUMONIA"]


def test_a_file_in_the_cache_under_another_models_name_is_made_anew(tmp_path, monkeypatch):
    monkeypatch.setenv("PLAINFILM_CACHE", str(tmp_path / "cache"))
    for name, bias in (("a", 0.0), ("b", 3.0)):
        model = paper_model()
        model.network.head[-1].bias.data.fill_(0).add_(torch.tensor([bias, 0.0]))
        (tmp_path / name).mkdir()
        model.save(tmp_path / name / "model.h5")
        exporting.engine_of(tmp_path / name, pixels())
    first, second = sorted((tmp_path / "cache" / "onnx").glob("*.onnx"))
    second.write_bytes(first.read_bytes())
    for name in "ab":
        own = Model.load(tmp_path / name)
        again = exporting.engine_of(tmp_path / name, pixels())
        assert np.allclose(again.probabilities(pixels()), own.probabilities(pixels()), atol=1e-5)
