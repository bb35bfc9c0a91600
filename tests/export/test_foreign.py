"""Classifiers that plainfilm did not make: ONNX files as other programs write them answer as they do there."""

from __future__ import annotations

import csv
import io
import json
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.special import expit, softmax

from plainfilm.cli import main
from plainfilm.errors import InputError

pytest.importorskip("onnxruntime")
onnx = pytest.importorskip("onnx")

from onnx import TensorProto, helper, numpy_helper  # noqa: E402

from plainfilm.export import trial  # noqa: E402
from plainfilm.export.foreign import ForeignModel  # noqa: E402
from plainfilm.export.line import Line  # noqa: E402

KINDS = {"float32": TensorProto.FLOAT, "float16": TensorProto.FLOAT16, "float64": TensorProto.DOUBLE}
HEADS = {"softmax": "Softmax", "sigmoid": "Sigmoid", "": "Identity"}


@dataclass(frozen=True)
class Looker:
    """A network that looks at one place: how bright it is, after its weights, is the evidence of each of K columns.

    place: (top, bottom, left, right) in pixels of the (size, size) input; weights, biases: K numbers, of the place's
    mean; end: the last operator, of HEADS; batch: films a pass, None for any number.
    """

    place: tuple[int, int, int, int] = (8, 24, 8, 24)
    weights: tuple[float, ...] = (-20.0, 20.0)
    biases: tuple[float, ...] = (8.0, -8.0)
    end: str = ""
    layout: str = "nchw"
    size: int = 32
    channels: int = 3
    batch: int | None = None
    kind: str = "float32"

    def answers(self, x: np.ndarray) -> np.ndarray:
        """Return (B, K) float64 of what the network gets: the same sum, in NumPy."""
        return (x * self._mask()).reshape(len(x), -1).sum(1)[:, None] * np.array(self.weights) + np.array(self.biases)

    def write(self, path: Path, metadata: dict[str, str] | None = None) -> Path:
        """Write the file, with ``metadata``."""
        path.write_bytes(self.proto(metadata or {}).SerializeToString())
        return path

    def proto(self, metadata: dict[str, str]) -> onnx.ModelProto:
        """Return the model."""
        kind, real = KINDS[self.kind], np.dtype(self.kind)
        arrays = {
            "mask": self._mask()[None].astype(real),
            "weights": np.array([self.weights], real),
            "biases": np.array(self.biases, real),
            "places": np.array([1, 2, 3]),
            "columns": np.array([1]),
        }
        nodes = [
            helper.make_node("Mul", ["films", "mask"], ["seen"]),
            helper.make_node("ReduceSum", ["seen", "places"], ["sum"], keepdims=0),
            helper.make_node("Unsqueeze", ["sum", "columns"], ["one"]),
            helper.make_node("MatMul", ["one", "weights"], ["times"]),
            helper.make_node("Add", ["times", "biases"], ["logits"]),
            helper.make_node(HEADS[self.end], ["logits"], ["answer"]),
        ]
        sides = (self.channels, self.size, self.size)
        sides = sides if self.layout == "nchw" else (self.size, self.size, self.channels)
        films = self.batch or "N"
        graph = helper.make_graph(
            nodes,
            "looker",
            [helper.make_tensor_value_info("films", kind, [films, *sides])],
            [helper.make_tensor_value_info("answer", kind, [films, len(self.weights)])],
            [numpy_helper.from_array(array, name) for name, array in arrays.items()],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
        helper.set_model_props(model, metadata)
        return model

    def _mask(self) -> np.ndarray:
        top, bottom, left, right = self.place
        mask = np.zeros((self.size, self.size))
        mask[top:bottom, left:right] = 1 / ((bottom - top) * (right - left) * self.channels)
        return np.stack([mask] * self.channels, 0 if self.layout == "nchw" else -1)


def film(width: int = 80, height: int = 61, seed: int = 0) -> bytes:
    """A film of noise, smooth enough that a pixel's shift shows."""
    grey = np.random.default_rng(seed).integers(0, 256, (height, width), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(grey).save(buffer, "PNG")
    return buffer.getvalue()


def both(p: np.ndarray) -> np.ndarray:
    return np.stack([1 - p, p], 1)


def loaded(looker: Looker, folder: Path, preprocess: str = "unit32", classes: str = "WELL,SICK", **how) -> ForeignModel:
    return ForeignModel.load(looker.write(folder / "theirs.onnx", **how), preprocess, classes)


# --- the line ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("width", "height"), [(300, 300), (300, 271), (271, 300), (517, 264), (225, 224), (900, 250)])
def test_pixels_are_torchvisions_own(width, height):
    """Its presets scale the shorter side, cut the middle, and round halves in their own way."""
    transforms = pytest.importorskip("torchvision.transforms")
    usual = [transforms.Grayscale(3), transforms.ToTensor()]
    usual += [transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])]
    ways = {
        "imagenet224": [transforms.Resize(224), transforms.CenterCrop(224)],
        "imagenet224,scale=256": [transforms.Resize(256), transforms.CenterCrop(224)],
        "imagenet224,scale=235": [transforms.Resize(235), transforms.CenterCrop(224)],
        "imagenet224,resize=stretch": [transforms.Resize((224, 224))],
    }
    data = film(width, height)
    for text, way in ways.items():
        line = replace(Line.parse(text), layout="nchw")
        ours = line.tensor(line.cut.read(data)[None])[0]
        theirs = transforms.Compose([*way, *usual])(Image.open(io.BytesIO(data))).numpy()
        assert ours == pytest.approx(theirs, abs=1e-5), text


def test_each_name_is_what_its_library_does():
    """Keras' modes and torchxrayvision's normalize, written out."""
    grey = np.arange(64, dtype=np.uint8).reshape(1, 8, 8) * 4
    x = grey[0].astype(np.float64)
    known = {
        "unit8": x / 255,
        "raw8": x,
        "tf8": x / 127.5 - 1,
        "xrv8": (2 * (x / 255) - 1) * 1024,
    }
    for text, theirs in known.items():
        line = replace(Line.parse(text), layout="nchw", channels=1)
        assert line.tensor(grey)[0, 0] == pytest.approx(theirs, abs=5e-4), text
    caffe = replace(Line.parse("caffe8"), layout="nhwc").tensor(grey)[0]
    assert caffe == pytest.approx(x[..., None] - [103.939, 116.779, 123.68], abs=1e-4)
    own = replace(Line.parse("size=8,range=0..255,mean=film,std=film,channels=1"), layout="nchw").tensor(grey)[0, 0]
    assert own == pytest.approx((x - x.mean()) / x.std(), abs=1e-5)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("imagenet", ""),
        ("", "there is no ''"),
        ("imagnet224", "Did you mean 'imagenet224'"),
        ("imagenet224,siz=8", "Did you mean 'size'"),
        ("size=7", "not of the form size=224"),
        ("size=99999999999", "not of the form"),
        ("size=32,channels=2", "channels=1|3"),
        ("size=32,range=1..1", "range=0..1"),
        ("size=32,range=0..inf", "range=0..1"),
        ("size=32,std=0", "std="),
        ("size=32,mean=nan", "mean="),
        ("size=32,mean=.1/.2", "mean has 2 values for 3 channels"),
        ("size=32,scale=16", "scale=16 is less than the size, 32"),
        ("size=32,layout=chwn", "layout=nchw|nhwc"),
        ("size=32,output=prob", "output="),
        ("size=16", "it takes films with size=32, and --preprocess says size=16"),
        ("size=32,channels=1", "channels=3"),
        ("size=32,answer=other", "it has no output 'other', but answer"),
        ("size=32,column=2", "it has 2 columns, and the first is column=0"),
    ],
)
def test_a_line_that_says_nothing_useful_is_refused_with_what_it_should_say(tmp_path, text, said):
    file = Looker().write(tmp_path / "theirs.onnx")
    if not said:
        assert ForeignModel.load(file, text, "WELL,SICK").line.size == 32  # the size is the file's
        return
    with pytest.raises(InputError) as refusal:
        ForeignModel.load(file, text, "WELL,SICK")
    assert said in str(refusal.value) and "\n" not in str(refusal.value)


# --- what a file answers ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("layout", ["nchw", "nhwc"])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("batch", [None, 1, 3])
@pytest.mark.parametrize("end", ["", "softmax"])
def test_two_columns_in_every_layout(tmp_path, layout, channels, batch, end):
    looker = Looker(layout=layout, channels=channels, batch=batch, end=end)
    model = loaded(looker, tmp_path)
    assert (model.line.layout, model.line.channels, model.line.output) == (layout, channels, end or "logits")
    pixels = np.random.default_rng(0).integers(0, 256, (7, 32, 32), dtype=np.uint8)
    x = pixels[:, None] / 255 if layout == "nchw" else pixels[..., None] / 255
    theirs = softmax(looker.answers(np.repeat(x, channels, 1 if layout == "nchw" else 3)), axis=1)
    assert model.probabilities(pixels) == pytest.approx(theirs, abs=1e-5)
    assert model.classes == ("WELL", "SICK") and model.decision.positive == "SICK"


@pytest.mark.parametrize(
    ("weights", "end", "line", "classes", "named", "theirs"),
    [
        ((20.0,), "", "unit32", "WELL,SICK", ("WELL", "SICK"), lambda z: both(expit(z[:, 0]))),
        ((20.0,), "sigmoid", "unit32", "SICK", ("no SICK", "SICK"), lambda z: both(expit(z[:, 0]))),
        ((20.0, 5.0, 1.0), "", "unit32", "A,B,C", ("A", "B", "C"), lambda z: softmax(z, axis=1)),
        ((20.0, 5.0, 1.0), "softmax", "unit32", "A,B,C", ("A", "B", "C"), lambda z: softmax(z, axis=1)),
        ((20.0, 5.0, 1.0), "sigmoid", "unit32", "A,B,C", ("A", "B", "C"), expit),
        ((20.0, 5.0, 1.0), "", "unit32,output=sigmoid-logits", "A,,C", ("A", "C"), lambda z: expit(z[:, [0, 2]])),
        ((20.0, 5.0), "sigmoid", "unit32", "NORMAL,SICK", ("NORMAL", "SICK"), lambda z: both(expit(z[:, 1]))),
        ((20.0, 5.0), "sigmoid", "unit32", "SICK,NORMAL", ("NORMAL", "SICK"), lambda z: both(expit(z[:, 0]))),
        ((20.0, 5.0), "sigmoid", "unit32", "A,B", ("A", "B"), expit),
        ((20.0, 5.0), "sigmoid", "unit32,column=1", "WELL,SICK", ("WELL", "SICK"), lambda z: both(expit(z[:, 1]))),
        ((20.0, 5.0), "sigmoid", "unit32,column=0", "WELL,SICK", ("SICK", "WELL"), lambda z: both(expit(z[:, 0]))),
    ],
)  # fmt: skip
def test_outputs_of_one_two_and_more_columns(tmp_path, weights, end, line, classes, named, theirs):
    looker = Looker(weights=weights, biases=tuple(-w / 2 for w in weights), end=end)
    model = loaded(looker, tmp_path, line, classes)
    pixels = np.random.default_rng(0).integers(0, 256, (5, 32, 32), dtype=np.uint8)
    z = looker.answers(np.repeat(pixels[:, None] / 255, 3, 1))
    assert model.classes == named
    assert model.probabilities(pixels) == pytest.approx(theirs(z), abs=1e-5)


@pytest.mark.parametrize(("kind", "close"), [("float16", 2e-2), ("float64", 1e-5)])
def test_other_precisions(tmp_path, kind, close):
    looker = Looker(kind=kind)
    pixels = np.random.default_rng(0).integers(0, 256, (5, 32, 32), dtype=np.uint8)
    theirs = softmax(looker.answers(np.repeat(pixels[:, None] / 255, 3, 1)), axis=1)
    assert loaded(looker, tmp_path).probabilities(pixels) == pytest.approx(theirs, abs=close)


def test_bytes_are_taken_as_they_are(tmp_path):
    """As of a network that scales its films itself."""
    looker = Looker(layout="nhwc", weights=(-0.08, 0.08))
    proto = looker.proto({})
    proto.graph.node[0].input[0] = "numbers"
    proto.graph.node.insert(0, helper.make_node("Cast", ["films"], ["numbers"], to=TensorProto.FLOAT))
    proto.graph.input[0].type.tensor_type.elem_type = TensorProto.UINT8
    (tmp_path / "theirs.onnx").write_bytes(proto.SerializeToString())
    pixels = np.random.default_rng(0).integers(0, 256, (5, 32, 32), dtype=np.uint8)
    theirs = softmax(looker.answers(np.repeat(pixels[..., None].astype(float), 3, 3)), axis=1)
    model = ForeignModel.load(tmp_path / "theirs.onnx", "raw32", "WELL,SICK")
    assert model.probabilities(pixels) == pytest.approx(theirs, abs=1e-5)
    with pytest.raises(InputError, match="as they are: --preprocess raw32"):
        ForeignModel.load(tmp_path / "theirs.onnx", "unit32", "WELL,SICK")


@pytest.mark.parametrize(
    "metadata",
    [
        {"classes": "WELL,SICK"},
        {"class_names": '["WELL", "SICK"]'},
        {"names": "{1: 'SICK', 0: 'WELL'}"},
        {"id2label": '{"0": "WELL", "1": "SICK"}'},
        {"class_to_idx": '{"SICK": 1, "WELL": 0}'},
    ],
)
def test_names_of_classes_in_the_files_own_metadata(tmp_path, metadata):
    assert loaded(Looker(), tmp_path, classes="", metadata=metadata).classes == ("WELL", "SICK")


@pytest.mark.parametrize("name", ["SICK\x1b[2J", "S" * 201, "SI\nCK"])
def test_a_name_in_metadata_that_can_not_be_shown_is_refused(tmp_path, name):
    with pytest.raises(InputError, match="has no name that can be shown") as refusal:
        loaded(Looker(), tmp_path, classes="", metadata={"id2label": json.dumps({"0": "WELL", "1": name})})
    assert str(refusal.value).isprintable()


@pytest.mark.parametrize(
    ("classes", "said"),
    [
        ("", "its output has 2 columns, and its file names no classes; name each in its order: --classes"),
        ("A,B,C", "its output has 2 columns, and 3 are named"),
        ("A,", "only a column of sigmoids can be left without a name"),
        ("A,A", "two of its columns are named A"),
    ],
)
def test_classes_that_do_not_fit_the_output(tmp_path, classes, said):
    with pytest.raises(InputError) as refusal:
        loaded(Looker(), tmp_path, classes=classes)
    assert said in str(refusal.value) and "\n" not in str(refusal.value)


def test_a_network_of_torchvision_answers_as_in_its_own_program(tmp_path):
    """The whole way: its preset, its ResNet18 in PyTorch, exported by PyTorch, labelled by the command."""
    torch, models = pytest.importorskip("torch"), pytest.importorskip("torchvision.models")
    transforms = pytest.importorskip("torchvision.transforms")
    pytest.importorskip("onnxscript")
    torch.manual_seed(0)
    network = models.resnet18(num_classes=2).eval()
    torch.onnx.export(
        network,
        (torch.zeros(2, 3, 224, 224),),
        str(tmp_path / "theirs.onnx"),
        dynamo=True,
        external_data=False,
        dynamic_shapes={"x": {0: torch.export.Dim("films")}},
        verbose=False,
    )
    way = transforms.Compose([
        transforms.Resize(256),
        transforms.CenterCrop(224),
        transforms.Grayscale(3),
        transforms.ToTensor(),
        transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
    ])  # fmt: skip
    for i in range(5):
        (tmp_path / f"film{i}.png").write_bytes(film(260 + 31 * i, 301, i))
    words = ["--preprocess", "imagenet224,scale=256", "--classes", "NORMAL,PNEUMONIA", "--quiet"]
    films = sorted(map(str, tmp_path.glob("*.png")))
    assert main(["label", str(tmp_path / "theirs.onnx"), *films, "--out", str(tmp_path / "labels.csv"), *words]) == 0
    with open(tmp_path / "labels.csv", newline="") as handle:
        rows = list(csv.DictReader(handle))
    with torch.no_grad():
        x = torch.stack([way(Image.open(path)) for path in films])
        theirs = torch.softmax(network(x), 1).numpy()
    assert [float(row["p_PNEUMONIA"]) for row in rows] == pytest.approx(theirs[:, 1].tolist(), abs=1e-5)
    assert len({row["p_PNEUMONIA"] for row in rows}) == 5
    assert [row["label"] for row in rows] == [("NORMAL", "PNEUMONIA")[int(p >= 0.5)] for p in theirs[:, 1]]


# --- files that mean harm, or are no classifier -----------------------------------------------------------------------


def external(proto):
    tensor = proto.graph.initializer[0]
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="/etc/passwd")


def constant_elsewhere(proto):
    tensor = TensorProto(data_type=TensorProto.FLOAT, dims=[1], data_location=TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value="/etc/passwd")
    proto.graph.node.insert(0, helper.make_node("Constant", [], ["more"], value=tensor))


def other_operators(proto):
    proto.graph.node[0].domain = "com.example"
    proto.opset_import.add(domain="com.example", version=1)


def own_function(proto):
    proto.functions.add(name="f", domain="local")


def branching(proto):
    proto.graph.node[0].attribute.add(name="body", type=onnx.AttributeProto.GRAPH)


def huge_graph(proto):
    nodes = [helper.make_node("Identity", ["films"], [f"x{i}"]) for i in range(50_001)]
    proto.graph.node.extend(nodes)


def huge_memory(proto):
    sides = numpy_helper.from_array(np.array([2**14, 2**14, 64]), "sides")
    proto.graph.initializer.append(sides)
    value = helper.make_tensor("one", TensorProto.FLOAT, [1], [1.0])
    more = [
        helper.make_node("ConstantOfShape", ["sides"], ["large"], value=value),
        helper.make_node("ReduceSum", ["large"], ["much"], keepdims=0),
        helper.make_node("Mul", ["answer", "much"], ["answered"]),
    ]
    proto.graph.node.extend(more)
    proto.graph.output[0].name = "answered"


def huge_answer(proto):
    proto.graph.initializer.append(numpy_helper.from_array(np.array([4, 2**25]), "sides"))
    proto.graph.node.append(helper.make_node("ConstantOfShape", ["sides"], ["answered"]))
    proto.graph.output[0].name = "answered"


def many_films(proto):
    for value in (proto.graph.input[0], proto.graph.output[0]):
        value.type.tensor_type.shape.dim[0].dim_value = 10**9


def many_channels(proto):
    proto.graph.input[0].type.tensor_type.shape.dim[1].dim_value = 10**9


def long_and_narrow(proto):
    proto.graph.input[0].type.tensor_type.shape.dim[3].dim_value = 16


def two_inputs(proto):
    proto.graph.input.add().CopyFrom(helper.make_tensor_value_info("age", TensorProto.FLOAT, ["N", 1]))


def whole_numbers_in(proto):
    proto.graph.input[0].type.tensor_type.elem_type = TensorProto.INT64


def one_row_for_all(proto):
    proto.graph.node.append(helper.make_node("ReduceMean", ["answer"], ["all"], keepdims=0))
    proto.graph.output[0].CopyFrom(helper.make_tensor_value_info("all", TensorProto.FLOAT, []))


def no_number(proto):
    proto.graph.node.extend([
        helper.make_node("Sub", ["answer", "answer"], ["nothing"]),
        helper.make_node("Div", ["nothing", "nothing"], ["answered"]),
    ])  # fmt: skip
    proto.graph.output[0].name = "answered"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (external, "mask lies in another file"),
        (constant_elsewhere, "lies in another file"),
        (other_operators, "outside the ONNX standard"),
        (own_function, "outside the ONNX standard"),
        (branching, "a branch or a loop (Mul)"),
        (huge_graph, "50,007 nodes, and 50,000 are the most"),
        pytest.param(
            huge_memory,
            "more than 4 GB of memory",
            marks=pytest.mark.skipif(sys.platform != "linux", reason="no limit of memory"),
        ),
        (huge_answer, "134,217,728 numbers, not a row of classes per film"),
        (many_films, "1,000,000,000 films at once"),
        (many_channels, "1,000,000,000 channels"),
        (long_and_narrow, "only square ones"),
        (two_inputs, "one input of films, in floating point or bytes, and has: films, age"),
        (whole_numbers_in, "one input of films, in floating point or bytes"),
        (one_row_for_all, "not a row of classes per film"),
        (no_number, "not a number"),
    ],
)
def test_what_could_harm_or_is_no_classifier_is_one_sentence(tmp_path, change, said, capsys):
    proto = Looker().proto({})
    change(proto)
    (tmp_path / "bad.onnx").write_bytes(proto.SerializeToString())
    (tmp_path / "film.png").write_bytes(film())
    words = ["label", str(tmp_path / "bad.onnx"), str(tmp_path / "film.png"), "--out", str(tmp_path / "labels.csv")]
    assert main([*words, "--preprocess", "unit32", "--classes", "A,B", "--quiet"]) == 2
    told = capsys.readouterr().err
    assert "bad.onnx is not an ONNX classifier that can be used" in told and said in told
    assert told.count("\n") == 1 and "Traceback" not in told and not (tmp_path / "labels.csv").exists()


@pytest.mark.parametrize("data", [b"", b"\x08\x0a", b"\x89HDF\r\n\x1a\n", b"x" * 1000])
def test_what_is_no_onnx_is_one_sentence(tmp_path, data):
    (tmp_path / "no.onnx").write_bytes(data)
    with pytest.raises(InputError, match=r"no\.onnx is not an ONNX classifier that can be used \(") as refusal:
        ForeignModel.load(tmp_path / "no.onnx", "unit32", "A,B")
    assert "\n" not in str(refusal.value)


def test_a_file_of_more_than_two_gigabytes_is_not_read(tmp_path):
    with open(tmp_path / "huge.onnx", "wb") as handle:
        handle.truncate(2**31)
    with pytest.raises(InputError, match="larger than 2 GB"):
        ForeignModel.load(tmp_path / "huge.onnx", "unit32", "A,B")


def test_a_graph_that_runs_on_is_stopped(tmp_path, monkeypatch):
    monkeypatch.setattr(trial, "SECONDS", 0.01)
    with pytest.raises(InputError, match="takes it longer than"):
        loaded(Looker(), tmp_path)


def test_an_output_that_is_not_what_the_line_says_is_found_on_the_first_films(tmp_path):
    with pytest.raises(InputError, match=r"its output is no softmax: it gave .*output=logits"):
        loaded(Looker(), tmp_path, "unit32,output=softmax")


def test_what_must_be_said_of_whose_file_it_is(tmp_path, films_folder, capsys):
    file = Looker().write(tmp_path / "theirs.onnx")
    out = ["--out", str(tmp_path / "labels.csv"), "--quiet"]
    assert main(["label", str(file), str(films_folder), *out]) == 2
    assert "--preprocess imagenet224" in capsys.readouterr().err
    assert main(["label", str(file), str(films_folder), *out, "--classes", "A,B"]) == 2
    assert "--classes" in capsys.readouterr().err
    assert main(["evaluate", str(file)]) == 2
    assert "has no films of its own" in capsys.readouterr().err
    assert main(["explain", str(file), str(films_folder), "--out", str(tmp_path / "maps")]) == 2
    assert "--preprocess" in capsys.readouterr().err


# --- the commands -----------------------------------------------------------------------------------------------------

PLACE = (16, 23, 6, 14)  # of 32 × 32: where the sick films of conftest are bright


@pytest.fixture
def theirs(tmp_path):
    looker = Looker(place=PLACE, weights=(-40.0, 40.0), biases=(19.0, -19.0))
    return str(looker.write(tmp_path / "theirs.onnx"))


def test_it_is_scored_on_films_with_labels_and_probed(theirs, films_folder, tmp_path, capsys):
    words = ["evaluate", theirs, str(films_folder), "--preprocess", "unit32", "--out", str(tmp_path / "out")]
    names = ["--classes", "WELL,SICK,NORMAL=WELL,PNEUMONIA=SICK"]
    assert main([*words, *names, "--probes", "--films", "20", "--quiet"]) == 0
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert metrics["test"]["auroc"]["value"] > 0.95
    assert "not available" in metrics["shift"]["note"]
    probes = json.loads((tmp_path / "out" / "probes.json").read_text())
    spoilt = {row["name"]: row["auroc"]["value"] for row in (*probes["probes"], *probes["robustness"])}
    assert spoilt["untouched"] > 0.95 and spoilt["borders covered"] > 0.95 and spoilt["inverted"] < 0.05
    assert "theirs.onnx (unit32)" in (tmp_path / "out" / "report.html").read_text()
    model = ForeignModel.load(theirs, "unit32", "WELL,SICK")
    with open(tmp_path / "out" / "predictions.csv", newline="") as handle:
        first = next(csv.DictReader(handle))
    own = model.predict_proba([films_folder / first["path"]])[0, 1]
    assert float(first["p_SICK"]) == pytest.approx(own, abs=1e-9)
    capsys.readouterr()
    assert main([*words, "--classes", "WELL,SICK", "--force"]) == 2
    said = capsys.readouterr().err  # what it advises can be pasted
    assert "the model knows WELL, SICK" in said and "--classes 'WELL,SICK,NORMAL=WELL" in said


def test_its_sigmoids_are_findings(films_folder, tmp_path, capsys):
    """Labelled, scored and probed as a model of several findings, one column left without a name."""
    looker = Looker(place=PLACE, weights=(40.0, 3.0, 20.0), biases=(-19.0, 0.0, -11.0), end="sigmoid")
    file, films = str(looker.write(tmp_path / "theirs.onnx")), sorted(films_folder.rglob("*.jpeg"))
    line = ["--preprocess", "unit32", "--quiet"]
    names = ["--classes", "Opacity,,Mass"]
    assert main(["label", file, str(films_folder), *line, *names, "--out", str(tmp_path / "labels.csv")]) == 0
    with open(tmp_path / "labels.csv", newline="") as handle:
        rows = list(csv.DictReader(handle))
    assert len(rows) == 40 and {row["label"] for row in rows} == {"none", "Opacity; Mass"}
    sick = [path.parent.name == "PNEUMONIA" for path in films]
    cells = [
        f"{path},{int(ill)},{'' if i % 3 else int(ill)}" for i, (path, ill) in enumerate(zip(films, sick, strict=True))
    ]
    (tmp_path / "films.csv").write_text("\n".join(["path,Opacity,Mass", *cells]))
    words = ["evaluate", file, str(tmp_path / "films.csv"), *line, *names, "--out", str(tmp_path / "out")]
    assert main([*words, "--probes"]) == 0
    found = json.loads((tmp_path / "out" / "metrics.json").read_text())["test"]["findings"]
    assert found["Opacity"]["known"] == 40 and found["Mass"]["known"] == 14
    assert found["Opacity"]["scores"]["auroc"]["value"] > 0.95
    probes = json.loads((tmp_path / "out" / "probes.json").read_text())
    assert {row["name"]: row["auroc"]["value"] for row in probes["robustness"]}["inverted"] < 0.05


def test_its_predictions_are_adapted_like_any_others(theirs, make_films, tmp_path):
    local = make_films(tmp_path / "local", 40, 60)
    words = ["evaluate", theirs, str(local), "--preprocess", "unit32", "--out", str(tmp_path / "out"), "--quiet"]
    assert main([*words, "--classes", "NORMAL,PNEUMONIA"]) == 0
    point = str(tmp_path / "operating.json")
    assert main(["adapt", str(tmp_path / "out" / "predictions.csv"), "--out", point, "--force", "--quiet"]) == 0
    assert json.loads(Path(point).read_text())


def test_its_heat_map_is_where_it_looks(theirs, films_folder, tmp_path, capsys):
    pytest.importorskip("torch")
    words = ["explain", theirs, str(films_folder / "PNEUMONIA"), "--preprocess", "unit32", "--classes", "WELL,SICK"]
    out = tmp_path / "maps"
    assert main([*words, "--out", str(out), "--class", "SICK", "--checks", "4", "--quiet"]) == 0
    found = json.loads((out / "explain.json").read_text())
    assert found["method"] == "occlusion" and found["mapped"] == 24 and len(list((out / "maps").glob("*.png"))) == 24
    assert found["films_checked"] == 4
    assert found["checks"]["deletion_gain"]["value"] > 0.1
    from plainfilm.explain.heatmaps import heat_map

    model = ForeignModel.load(theirs, "unit32", "WELL,SICK")
    pixels = np.stack([model.preprocess.read(path.read_bytes()) for path in (films_folder / "PNEUMONIA").iterdir()])
    maps = heat_map(model, pixels, 1, "occlusion")
    assert maps.shape == (24, 8, 8) and maps.max((1, 2)) == pytest.approx(1)
    middle = maps[:, 4:6, 1:4].sum((1, 2)) / maps.sum((1, 2))  # PLACE in cells
    assert middle.min() > 0.7
    assert main([*words, "--out", str(out), "--force", "--method", "hires-cam"]) == 2
    assert "use occlusion" in capsys.readouterr().err


def test_its_weights_are_shuffled_layer_by_layer(tmp_path):
    rng = np.random.default_rng(0)
    model = loaded(Looker(weights=(-20.0, 20.0, 3.0), biases=(8.0, -8.0, 1.0)), tmp_path, classes="A,B,C")
    pixels = rng.integers(0, 256, (5, 32, 32), dtype=np.uint8)
    last, whole = (model.shuffled(share, rng) for share in (0.0, 1.0))
    before = model.probabilities(pixels)
    assert not np.allclose(last.probabilities(pixels), before) or not np.allclose(whole.probabilities(pixels), before)
    assert np.allclose(model.probabilities(pixels), before)


def test_the_hash_names_file_line_and_classes(tmp_path):
    first = loaded(Looker(), tmp_path)
    assert first.hash == loaded(Looker(), tmp_path).hash and len(first.hash) == 64
    others = [loaded(Looker(), tmp_path, "tf32"), loaded(Looker(), tmp_path, classes="SICK,WELL")]
    others += [loaded(Looker(biases=(1.0, 2.0)), tmp_path)]
    assert len({first.hash, *(model.hash for model in others)}) == 4
