from __future__ import annotations

import hashlib
import io
import logging
import os
import struct
import time
import warnings
import zlib
from pathlib import Path

import numpy as np
import pydicom.data
import pytest
from PIL import Image
from pydicom import Dataset, dcmwrite
from pydicom.encaps import encapsulate
from pydicom.pixels.processing import apply_modality_lut, apply_voi_lut
from pydicom.sequence import Sequence
from pydicom.uid import UID
from tests.image.dicom_films import FILM, TWELVE, dicom, film_dataset, lut, written

from plainfilm.data import dicom as headers
from plainfilm.data.films import FilmError
from plainfilm.data.sources import load
from plainfilm.image import codecs
from plainfilm.image.decode import decode, decoded
from plainfilm.image.dicom import DicomFacts, Rendering, _ends_of, facts, looked_up, possible, windowed

SHIPPED = Path(pydicom.data.__file__).parent / "test_files"
JPEG, RLE, J2K = "1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.5", "1.2.840.10008.1.2.4.90"

# --- the same pixels as the source ------------------------------------------------------------------------------------


@pytest.mark.parametrize("syntax", [headers.IMPLICIT, headers.EXPLICIT, headers.DEFLATED])
@pytest.mark.parametrize(
    "build",
    [
        lambda s: dicom(FILM, s),
        lambda s: dicom(FILM, s, WindowCenter=128, WindowWidth=256),
        lambda s: dicom(FILM, s, WindowCenter=[128, 4], WindowWidth=[256, 9]),
        lambda s: dicom(FILM, s, WindowCenter="127.5", WindowWidth="255", VOILUTFunction="LINEAR_EXACT"),
        lambda s: dicom(255 - FILM, s, PhotometricInterpretation="MONOCHROME1"),
        lambda s: dicom(255 - FILM, s, PhotometricInterpretation="MONOCHROME1", WindowCenter=128, WindowWidth=256),
        lambda s: dicom(TWELVE, s, BitsStored=12, WindowCenter=2048, WindowWidth=4096),
        lambda s: dicom(TWELVE | 0xA000, s, BitsStored=12, WindowCenter=2048, WindowWidth=4096),
        lambda s: dicom(TWELVE << 3, s, BitsStored=12, HighBit=14, WindowCenter=2048, WindowWidth=4096),
        lambda s: dicom(TWELVE.astype(np.int16) - 2048, s, BitsStored=12, WindowCenter=0, WindowWidth=4096),
        lambda s: dicom(
            TWELVE, s, BitsStored=12, RescaleSlope=2, RescaleIntercept=-1000, WindowCenter=3096, WindowWidth=8191
        ),
        lambda s: dicom(FILM, s, VOILUTSequence=lut([v * 257 for v in range(256)])),
        lambda s: dicom(
            FILM, s, ModalityLUTSequence=lut([v * 16 for v in range(256)]), WindowCenter=2040.5, WindowWidth=4081
        ),
        lambda s: dicom(
            np.stack([FILM] * 3, -1), s, SamplesPerPixel=3, PlanarConfiguration=0, PhotometricInterpretation="RGB"
        ),
    ],
)
def test_a_film_written_as_dicom_keeps_its_pixels(build, syntax):
    assert (decode(build(syntax)) == FILM).all()


def test_big_endian_and_no_preamble_and_no_transfer_syntax():
    film = film_dataset(TWELVE.astype(">u2"), headers.BIG_ENDIAN, BitsStored=12, WindowCenter=2048, WindowWidth=4096)
    assert (decode(written(film)) == FILM).all()
    bare = written(film_dataset(FILM), preamble=False)
    assert bare[:2] == b"\x02\0" and (decode(bare) == FILM).all()
    for syntax in (headers.IMPLICIT, headers.EXPLICIT):
        buffer = io.BytesIO()
        dcmwrite(buffer, film_dataset(FILM, syntax), implicit_vr=syntax == headers.IMPLICIT, little_endian=True)
        data_set_alone = buffer.getvalue()[buffer.getvalue().index(b"\x08\0\x16\0") :]
        assert (decode(data_set_alone) == FILM).all()


def test_without_window_the_values_in_use_are_the_range_and_padding_is_not():
    deep = (FILM.astype(np.uint16) * 7) + 1000
    deep[0, :5] = 63_536
    deep[1, :5] = 60_000
    grey = decode(dicom(deep, PixelPaddingValue=60_000, PixelPaddingRangeLimit=63_536))
    assert (grey[:2, :5] == 0).all()
    inside = FILM[2:].astype(float)
    low = FILM[deep < 60_000].min()
    assert np.abs(grey[2:] - (inside - low) / (inside.max() - low) * 255).max() <= 0.5
    signed = FILM.astype(np.int16) * 9 - 800
    signed[:5] = -2000
    padded = film_dataset(signed)
    padded.add_new(0x00280120, "US", 63_536)  # -2000 as some devices write it
    assert (decode(written(padded))[:5] == 0).all() and decode(written(padded))[5:].max() == 255
    with pytest.raises(FilmError, match="every pixel is padding"):
        decode(dicom(np.full((40, 40), 9, np.uint16), PixelPaddingValue=9))


def test_inversion_is_last_padding_stays_black_and_an_impossible_window_is_none():
    grey = decode(dicom(FILM, PhotometricInterpretation="MONOCHROME1", PixelPaddingValue=int(FILM[0, 0])))
    assert grey[0, 0] == 0 and grey[0, 1] == 255 - FILM[0, 1]
    assert (decode(dicom(FILM, WindowCenter=7, WindowWidth=0)) == FILM).all()


@pytest.mark.parametrize("function", ["LINEAR", "LINEAR_EXACT", "SIGMOID"])
def test_windows_are_pydicoms(function):
    """An independent implementation of PS3.3 C.11.2.1 as the oracle, with rescale, centre and width that are odd."""
    film = film_dataset(TWELVE, BitsStored=12, WindowCenter=901.5, WindowWidth=777, VOILUTFunction=function)
    shown = apply_voi_lut(apply_modality_lut(TWELVE, film), film)
    assert np.abs(decode(written(film)) - shown / 4095 * 255).max() <= 0.51
    assert windowed(np.array([1.0, 2.0]), 2, 1, "LINEAR").tolist() == [0, 1]


def test_luts_clamp_at_their_ends_and_take_the_sign_of_the_values():
    ramp = list(range(0, 65_536, 256))
    film = film_dataset(FILM.astype(np.int16) - 100, VOILUTSequence=lut(ramp, first=-50))
    expected = (np.clip(FILM.astype(int) - 50, 0, 255) * 256 / 65_535 * 255).round()
    assert (decode(written(film)) == expected).all()
    assert (decode(dicom(FILM, VOILUTSequence=lut([0, 65_535], first=100))) == np.where(FILM <= 100, 0, 255)).all()


# --- compressed -------------------------------------------------------------------------------------------------------


def compressed(values: np.ndarray, syntax: str, **elements: object) -> bytes:
    film = film_dataset(values, **elements)
    if syntax == JPEG:
        buffer = io.BytesIO()
        Image.fromarray(values).save(buffer, "JPEG", quality=95)
        film.PixelData = encapsulate([buffer.getvalue()])
        film["PixelData"].is_undefined_length = True
        film.file_meta.TransferSyntaxUID = UID(JPEG)
    else:
        film.compress(syntax, encoding_plugin="pydicom" if syntax == RLE else "pylibjpeg")
    return written(film)


@pytest.mark.parametrize("kind", ["u1", "i1", "u2", "i2"])
def test_the_ends_of_the_values_give_the_table_that_each_value_gives(kind):
    rng = np.random.default_rng(0)
    low, high = np.iinfo(kind).min, np.iinfo(kind).max
    for window in (None, (40.0, 200.0, "LINEAR"), (40.0, 200.0, "SIGMOID")):
        for slope, intercept in ((1.0, 0.0), (0.3, -1024.0), (-2.0, 7.0), (0.0, 1.0)):
            first, last = np.sort(rng.integers(low, high, 2))
            stored = rng.integers(first, last, (9, 7), kind, endpoint=True)
            bits = 8 * stored.itemsize
            rendering = Rendering(bits, slope, intercept, None, None, window, bool(rng.integers(2)), None)
            assert not rendering.needs_each
            whole, ends = rendering.table(*possible(stored)), rendering.table(*_ends_of(stored))
            assert (whole == ends).all()
            assert rendering.needs_ends == (window is None)
            assert window is None or (rendering.table(*_ends_of(stored[:1])) == whole).all()
            assert (looked_up(stored, ends) == whole[stored.view(f"u{stored.itemsize}")]).all()


@pytest.mark.parametrize(("kind", "middle"), [("<u2", 2048), ("<i2", 0)])
@pytest.mark.parametrize("place", [(0, 0), (-1, -1)])
def test_what_stands_above_a_single_value_is_taken_away(kind, middle, place):
    values = (TWELVE.astype(int) - 2048 + middle).astype(kind)
    values.view("<u2")[place] ^= 0xA000
    assert (decode(dicom(values, BitsStored=12, WindowCenter=middle, WindowWidth=4096)) == FILM).all()


def test_pixels_are_read_without_a_copy():
    data = dicom(np.tile(TWELVE, (20, 20)), BitsStored=12)
    found = headers.read(data)
    assert found.PixelData.obj is data and bytes(found.PixelData) == np.tile(TWELVE, (20, 20)).tobytes()


def test_compressed_films_equal_their_source():
    window = {"BitsStored": 12, "WindowCenter": 2048, "WindowWidth": 4096}
    assert (decode(compressed(FILM, RLE)) == FILM).all()
    assert (decode(compressed(TWELVE, RLE, **window)) == FILM).all()
    assert np.abs(decode(compressed(FILM, JPEG)).astype(int) - FILM).mean() < 1
    pytest.importorskip("openjpeg")
    assert (decode(compressed(TWELVE, J2K, **window)) == FILM).all()


def test_jpeg_ls_and_lossless_jpeg_equal_the_same_film_uncompressed():
    pytest.importorskip("gdcm")
    plain = decode((SHIPPED / "MR_small.dcm").read_bytes())  # its preamble is a TIFF header, as the standard allows
    assert (decode((SHIPPED / "MR_small_jpeg_ls_lossless.dcm").read_bytes()) == plain).all()
    colour = decode((SHIPPED / "SC_rgb_gdcm_KY.dcm").read_bytes()).astype(int)
    assert np.abs(decode((SHIPPED / "SC_rgb_jpeg_gdcm.dcm").read_bytes()).astype(int) - colour).max() <= 1


def test_a_missing_decoder_says_what_to_install(monkeypatch):
    data = {"Rows": 40, "Columns": 60, "BitsStored": 8, "TransferSyntaxUID": J2K}
    monkeypatch.setattr(codecs._Worker, "ask", lambda *_: ({"error": "missing"}, b""))
    with pytest.raises(FilmError, match=r"pip install 'plainfilm\[dicom\]'"):
        codecs.decompress(data, b"")


def test_the_decoding_process_names_a_missing_decoder(monkeypatch):
    from pydicom.pixels import decoders

    monkeypatch.setattr(decoders.JPEG2000LosslessDecoder, "_available", {})
    film = film_dataset(FILM)
    asked = {name: film.get(name) for name in codecs.NEEDED} | {"TransferSyntaxUID": J2K}
    request, answer = io.BytesIO(), io.BytesIO()
    codecs._send(request, asked, encapsulate([b"\xff\x4f\xff\x51"]))
    codecs.serve(io.BufferedReader(io.BytesIO(request.getvalue())), answer)
    assert b'"missing"' in answer.getvalue()


def test_a_decoder_that_dies_or_hangs_refuses_one_film_and_the_next_is_read(monkeypatch):
    data = compressed(FILM, RLE)
    decode(data)
    worker = codecs._idle.get_nowait()
    worker.process.kill()
    worker.process.wait()
    codecs._idle.put(worker)
    with pytest.raises(FilmError, match="stopped the decoder"):
        decode(data)
    assert (decode(data) == FILM).all()
    monkeypatch.setattr(codecs, "SECONDS", 0.0)
    while not codecs._idle.empty():
        codecs._idle.get_nowait().close()
    with pytest.raises(FilmError, match="stopped the decoder"):
        decode(data)


def test_a_codestream_larger_than_its_header_is_refused_within_limits():
    buffer = io.BytesIO()
    Image.new("L", (5000, 4990), 9).save(buffer, "JPEG")
    film = film_dataset(FILM)
    film.PixelData = encapsulate([buffer.getvalue()])
    film["PixelData"].is_undefined_length = True
    film.file_meta.TransferSyntaxUID = UID(JPEG)
    with pytest.raises(FilmError, match="JPEG pixels can't be decoded"):
        decode(written(film))


# --- hostile ----------------------------------------------------------------------------------------------------------


def element(tag: int, vr: bytes, value: bytes, length: int | None = None) -> bytes:
    return struct.pack("<HH2sHI", tag >> 16, tag & 0xFFFF, vr, 0, len(value) if length is None else length) + value


def nested(depth: int) -> bytes:
    inner = b""
    for _ in range(depth):
        item = struct.pack("<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF) + inner + struct.pack("<HHI", 0xFFFE, 0xE00D, 0)
        inner = element(0x00081140, b"SQ", item + struct.pack("<HHI", 0xFFFE, 0xE0DD, 0), 0xFFFFFFFF)
    return inner


META = dicom()[: dicom().index(b"\x08\0\x16\0")]
MANY = struct.pack("<HH2sH", 8, 0x1111, b"CS", 0) * 500_000


def deflated_bomb() -> bytes:
    start = dicom(syntax=headers.DEFLATED)
    squeeze = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    body = b"".join([*(squeeze.compress(bytes(2**20)) for _ in range(300)), squeeze.flush()])
    length = struct.unpack("<I", start[140:144])[0]
    return start[: 144 + length] + body


def oversized() -> bytes:
    film = film_dataset(FILM)
    film.add_new(0x00283010, "SQ", lut([0] * 200_000, entries=10))
    return written(film)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (bytes(128) + b"DICM" + bytes(100), "damaged DICOM header|without"),
        (bytes(128) + b"DICM", "without a data set"),
        (META + nested(300), "nested too deep"),
        (META + MANY, "more than 50,000 elements"),
        (META + element(0x00081140, b"SQ", struct.pack("<HHI", 0xFFFE, 0xE000, 0) * 500_000, 0xFFFFFFFF), "elements"),
        (oversized(), "value of"),
        (deflated_bomb(), "64 MB when inflated"),
        (dicom()[:-500], "damaged DICOM pixels"),
        (dicom()[:400], "without"),
        (dicom(Rows=65_535, Columns=65_535), "limit is 25 megapixels"),
        (dicom(Rows=0), "usable Rows"),
        (dicom(Rows=None), "usable Rows"),
        (dicom(Rows=4, Columns=600), "shorter side"),
        (dicom(NumberOfFrames=2), "more than one picture"),
        (dicom(PhotometricInterpretation="PALETTE COLOR"), "palette"),
        (dicom(PhotometricInterpretation="SOMETHING"), "neither grey nor colour"),
        (dicom(PhotometricInterpretation="RGB"), "number of samples"),
        (dicom(SamplesPerPixel=3), "number of samples"),
        (dicom(BitsAllocated=32, BitsStored=32, HighBit=31), "32 bits in 32"),
        (dicom(BitsAllocated=16, BitsStored=6), "6 bits in 16"),
        (dicom(FILM.astype(np.uint16), BitsStored=12, HighBit=99), "impossible HighBit"),
        (dicom(WindowCenter="1e308", WindowWidth="1e400"[:4]), "every pixel is"),
        (dicom(RescaleSlope="NaN"), "not finite"),
        (dicom(RescaleSlope=0, RescaleIntercept=5), "every pixel is"),
        (dicom(VOILUTSequence=lut([0, 1, 2], entries=900)), "look-up table with 6 of 900"),
        (dicom(VOILUTSequence=lut([0, 1, 2], bits=40)), "look-up table"),
        (dicom(ModalityLUTSequence=Sequence([Dataset()])), "damaged DICOM"),
        (dicom().replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.9.9.9\0", 1), "compression that this version"),
        ((SHIPPED / "JPGExtended.dcm").read_bytes(), "no free decoder"),
        ((SHIPPED / "SC_rgb_rle_16bit_2frame.dcm").read_bytes(), "more than one picture"),
        ((SHIPPED / "JPEG2000-embedded-sequence-delimiter.dcm").read_bytes(), "JPEG 2000 pixels can't be decoded"),
        ((SHIPPED / "rtplan.dcm").read_bytes(), "without pixels"),
        (b"\xff\xd8\xff" + dicom()[3:], "two formats in one file"),
        (b"\x89PNG" + dicom()[4:], "two formats in one file"),
    ],
)
def test_hostile_dicom_has_its_reason_in_bounded_time(data, reason):
    start = time.process_time()
    with pytest.raises(FilmError, match=reason):
        decode(data)
    assert time.process_time() - start < 5


def test_flipped_bits_and_cuts_never_raise_anything_else():
    rng = np.random.default_rng(3)
    source = dicom(TWELVE, BitsStored=12, WindowCenter=2048, WindowWidth=4096, VOILUTSequence=lut(list(range(50))))
    for _ in range(300):
        data = bytearray(source)
        for at in rng.integers(0, 1200, 3):
            data[at] ^= 1 << rng.integers(8)
        for damaged in (bytes(data), source[: rng.integers(132, len(source))]):
            try:
                assert decode(damaged).dtype == np.uint8
                header(damaged)
            except FilmError:
                continue


def test_everything_shipped_with_pydicom_is_read_or_refused_and_nothing_is_said(capfd, caplog):
    read = 0
    with caplog.at_level(logging.CRITICAL):
        for path in sorted(SHIPPED.glob("*.dcm")):
            try:
                read += decode(path.read_bytes()).ndim == 2
            except FilmError as error:
                assert len(str(error)) < 120
    assert read >= 20 and capfd.readouterr() == ("", "")


def test_pydicoms_warnings_are_silenced_without_touching_others():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        decode(dicom(FILM, PatientBirthDate="not a date") + b"trailing bytes")
        warnings.warn("ours", stacklevel=1)
    assert [str(w.message) for w in caught] == ["ours"]


# --- what the header says ---------------------------------------------------------------------------------------------


def header(data: bytes) -> DicomFacts:
    return facts(headers.read(data))


def test_a_film_without_anything_odd_has_its_patients_pseudonym_and_no_remark():
    assert header(dicom(TWELVE)) == ("dicom-" + hashlib.sha256(b"1").hexdigest()[:16], ())


def test_the_header_is_parsed_once_per_film(monkeypatch):
    parsed, read = [], headers.read
    monkeypatch.setattr(headers, "read", lambda data: parsed.append(1) or read(data))
    found = decoded(dicom(ViewPosition="LL"))
    assert found.grey.ndim == 2 and facts(found.header).remarks and len(parsed) == 1


@pytest.mark.parametrize(
    ("elements", "remarks"),
    [
        ({"ViewPosition": "LL"}, ("DICOM header: lateral view",)),
        ({"ViewPosition": "AP", "Modality": "CR"}, ()),
        ({"Modality": "CT", "ViewPosition": None}, ("DICOM header: modality CT, no plain film",)),
        ({"Modality": "RTIMAGE"}, ("DICOM header: modality other, no plain film",)),
    ],
)
def test_remarks_for_what_is_no_frontal_plain_film(elements, remarks):
    assert header(dicom(**elements)).remarks == remarks


def test_without_patient_id_nobody_is_named():
    assert header(dicom(PatientID=None)).patient == "" == header(dicom(PatientID=" ")).patient


PERSONAL = {
    "PatientName": "MARKED^NAME",
    "PatientID": "MARKED-ID",
    "PatientBirthDate": "19701231",
    "AccessionNumber": "MARKEDACC",
    "InstitutionName": "MARKED HOSPITAL",
    "ReferringPhysicianName": "MARKED^DOCTOR",
    "StudyInstanceUID": "1.2.3.4444.5555.../../etc",
    "ViewPosition": "MARKED VIEW",
    "Modality": "MARKEDMOD",
    "BodyPartExamined": "MARKED PART",
}


@pytest.mark.parametrize("fault", [{}, {"WindowCenter": "1"}, {"RescaleSlope": "MARKED"}, {"Rows": None}])
def test_nothing_that_names_a_person_leaves_the_header(tmp_path, fault):
    data = dicom(**(PERSONAL | {k: v for k, v in fault.items() if v != "MARKED"}))
    if "MARKED" in fault.values():  # pydicom would not write it
        at = data.index(struct.pack("<HH2sH", 0x7FE0, 0x10, b"OB", 0))
        data = data[:at] + struct.pack("<HH2sH", 0x28, 0x1053, b"DS", 6) + b"MARKED" + data[at:]
    for label in ("a", "b"):
        (tmp_path / label).mkdir()
        (tmp_path / label / "film.dcm").write_bytes(data)
    films = load(tmp_path)
    said = repr([(f.path, f.patient, f.label) for f in films]) + repr(films.notes)
    for ask in (decode, header):
        try:
            said += repr(ask(data))
        except FilmError as error:
            said += str(error)
    assert not [w for w in ("MARKED", "1970", "4444", "etc/") if w.lower() in said.lower()]
    assert {f.patient for f in films} == {"dicom-" + hashlib.sha256(b"marked-id").hexdigest()[:16]}


def test_decoding_processes_end_with_the_parent():
    import subprocess
    import sys

    code = (
        "import sys; from plainfilm.image.decode import decode; from plainfilm.image import codecs;"
        "decode(sys.stdin.buffer.read()); w = codecs._idle.get(); codecs._idle.put(w); print(w.process.pid)"
    )
    done = subprocess.run([sys.executable, "-c", code], input=compressed(FILM, RLE), capture_output=True, check=True)
    assert done.stderr == b""
    with pytest.raises(ProcessLookupError):
        os.kill(int(done.stdout), 0)


# --- what devices write beside the standard ---------------------------------------------------------------------------


@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
@pytest.mark.parametrize("kind", ["VOILUTSequence", "ModalityLUTSequence"])
def test_a_lut_is_scaled_by_its_largest_value_whatever_its_descriptor_says(bits, kind):
    """The right value is that of viewers (dcm4che#413, dicom-rs PR#825): lut[pixel] / lut.max() * 255."""
    values = np.arange(4096) * 4095 // 4095
    table = {kind: lut(values.tolist(), bits=bits)}
    found = decode(dicom(TWELVE, BitsStored=12, **table))
    if kind == "VOILUTSequence":
        right = np.rint(values[TWELVE] / values.max() * 255)
    else:  # its values are stretched from the smallest to the largest in use
        shown = values[TWELVE]
        right = np.rint((shown - shown.min()) / (shown.max() - shown.min()) * 255)
    assert np.array_equal(found, right)


def test_the_case_of_a_lut_of_12_bits_that_says_16(shared_cases):
    folder = shared_cases / "voi_lut_12_in_16"
    said, meant = (decode((folder / name).read_bytes()) for name in ("voi12in16.dcm", "voi12in12.dcm"))
    assert (
        np.array_equal(said, meant) and (said.min(), said.max()) == (0, 255) and round(float(said.mean()), 1) == 100.8
    )


def test_the_cases_of_a_window_with_a_comma_and_of_none(shared_cases):
    folder = shared_cases / "window_comma_nan"
    comma, none, right = (decode((folder / f"{name}.dcm").read_bytes()) for name in ("comma", "nan", "win"))
    assert np.array_equal(comma, right) and round(float(right.mean()), 1) == 100.8
    assert none.min() == 0 and none.max() == 255  # no window: the range in use
    assert "window is no number" in remarks((folder / "nan.dcm").read_bytes())[0]
    assert remarks((folder / "comma.dcm").read_bytes()) == remarks((folder / "win.dcm").read_bytes())


def edited(film: bytes, name: str, text: str) -> bytes:
    """A film whose element (of eight bytes before) holds ``text``, which pydicom would refuse to write."""
    placeholder = b"12345678"
    assert film.count(placeholder) == 1 and len(text) <= 8, name
    return film.replace(placeholder, text.ljust(8).encode())


@pytest.mark.parametrize(
    ("name", "text", "right"),
    [
        ("WindowCenter", "2047,5", {"WindowCenter": 2047.5}),
        ("WindowCenter", "2,0475E3", {"WindowCenter": 2047.5}),
        ("WindowCenter", "NaN", None),
        ("WindowCenter", "-Inf", None),
        ("WindowCenter", "1e999", None),
        ("WindowCenter", "abc", None),
        ("WindowWidth", "nan", None),
        ("WindowWidth", "3000,0", {"WindowWidth": 3000}),
        ("RescaleIntercept", "-10,5", {"RescaleIntercept": -10.5}),
        ("RescaleSlope", "1,5", {"RescaleSlope": 1.5}),
    ],
)
@pytest.mark.parametrize("syntax", [headers.EXPLICIT, headers.IMPLICIT])
def test_decimal_commas_and_numbers_that_are_none(name, text, right, syntax):
    window = {"WindowCenter": 2000, "WindowWidth": 3000, "RescaleSlope": 1, "RescaleIntercept": 0}
    found = decode(edited(dicom(TWELVE, syntax, BitsStored=12, **(window | {name: "12345678"})), name, text))
    without = {key: value for key, value in window.items() if "Window" not in key}
    assert np.array_equal(found, decode(dicom(TWELVE, syntax, BitsStored=12, **(window | right if right else without))))


@pytest.mark.parametrize("frames", ["0", "1", "", "00", "-1"])
def test_a_film_of_no_frames_has_one(frames):
    data = dicom(NumberOfFrames="12345678").replace(b"12345678", frames.ljust(8).encode())
    assert np.array_equal(decode(data), decode(dicom()))


def coded(value: str, meaning: str, modifier: str = "") -> dict[str, Sequence]:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, "SCT", meaning
    if modifier:
        inner = Dataset()
        inner.CodeValue, inner.CodingSchemeDesignator, inner.CodeMeaning = "1", "DCM", modifier
        item.ViewModifierCodeSequence = Sequence([inner])
    return {"ViewCodeSequence": Sequence([item])}


@pytest.mark.parametrize(
    ("elements", "view"),
    [
        ({"ViewPosition": word}, view)
        for view, several in {
            "lateral": ["LL", "RL", "LATERAL", "LAT", "L", "XTABLE LATERAL", "CROSS-TABLE LAT", "LEFT LATERAL", "llat"],
            "oblique": ["RAO", "LAO", "LPO", "RPO", "OBLIQUE", "LEFT ANTERIOR OBLIQUE", "AP OBL"],
            "decubitus": ["AP LLD", "PA RLD", "LLD", "DECUBITUS", "LAT DECUB", "LEFT LATERAL DECUBITUS"],
            "swimmer's": ["SWIMMERS", "Swimmer's view"],
            "lordotic or axial": ["AP LORDOTIC", "AP AXIAL", "lordotic"],
            "of the ribs": ["COSTAL"],
            "": [
                "PA",
                "AP",
                "ap",
                "AP_horizontal",
                "AP SUPINE",
                "PA ERECT",
                "POSTERO-ANTERIOR",
                "",
                "Frontal",
                "MARKED",
            ],
        }.items()
        for word in several
    ]
    + [
        ({"ViewPosition": None, **coded("399067008", "lateral")}, "lateral"),
        ({"ViewPosition": None, **coded("R-10236", "")}, "lateral"),
        ({"ViewPosition": None, **coded("399135007", "left anterior oblique")}, "oblique"),
        ({"ViewPosition": None, **coded("0", "left lateral decubitus")}, "decubitus"),
        ({"ViewPosition": None, **coded("272479007", "postero-anterior")}, ""),
        ({"ViewPosition": None, **coded("399348003", "antero-posterior", "Crosstable")}, "lateral"),
        ({"ViewPosition": "PA", **coded("399173006", "left lateral")}, "lateral"),  # either is enough to ask
        ({"ViewPosition": "LL", **coded("272479007", "postero-anterior")}, "lateral"),
        ({"ViewPosition": None, "PatientOrientation": ["A", "F"]}, "lateral"),
        ({"ViewPosition": None, "PatientOrientation": ["P", "F"]}, "lateral"),
        ({"ViewPosition": None, "PatientOrientation": ["L", "F"]}, ""),
        ({"ViewPosition": "PA", "PatientOrientation": ["P", "F"]}, ""),
    ],
)
def test_every_word_for_a_view_that_is_not_frontal_is_a_remark(elements, view):
    assert remarks(dicom(**elements)) == ((f"DICOM header: {view} view",) if view else ())


def test_codes_of_views_are_those_of_the_standard():
    """By pydicom's own list of PS3.16 CID 4010: every projection that is there and not frontal has a word."""
    from pydicom.sr.codedict import codes

    from plainfilm.image.views import CODES

    for name in codes.cid4010.dir():
        code = getattr(codes.cid4010, name)
        if any(word in code.meaning for word in ("oblique", "lateral")):
            assert CODES[code.value] not in ("PA", "AP", "frontal"), code.meaning
    assert CODES[codes.cid4010.PosteroAnterior.value] == "PA" and CODES[codes.cid4010.AnteroPosterior.value] == "AP"


def remarks(data: bytes) -> tuple[str, ...]:
    return header(data).remarks
