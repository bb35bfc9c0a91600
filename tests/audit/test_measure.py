from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image, PngImagePlugin
from tests.audit.conftest import film, films, packed, picture
from tests.image.test_dicom import FILM, film_dataset, written

from plainfilm.audit.duplicates import duplicates
from plainfilm.audit.facts import _likeness, counts, odd_films, patients, twin_rows
from plainfilm.audit.measure import LONGEST_NAME, LOOKS, NAMES, NUMBERS, measure
from plainfilm.errors import InputError


def measured(*data: bytes):
    return measure(films(film(f"NORMAL/{i}.jpeg", d) for i, d in enumerate(data)))


@pytest.mark.parametrize("quality", [30, 50, 75, 95])
def test_jpeg_quality_is_read_from_the_tables(quality):
    found = measured(packed(picture(0), quality=quality)).numbers[0, NUMBERS.index("JPEG quality")]
    assert found == pytest.approx(quality, abs=0.5)


def test_what_a_file_tells():
    tagged = Image.Exif()
    tagged[0x0131], tagged[0x0112] = "Scan  Master 3", 6
    jpeg = packed(picture(0), exif=tagged.tobytes(), dpi=(150, 150), progressive=True)
    found = measured(jpeg, packed(picture(1), "PNG"), packed(picture(2).convert("RGB"), "PNG"))
    numbers = dict(zip(NUMBERS, found.numbers[0], strict=True))
    assert (numbers["width"], numbers["height"], numbers["dots per inch"]) == (96, 120, 150)  # turned by its tag
    assert numbers["bytes per pixel"] == pytest.approx(len(jpeg) / (96 * 120))
    assert [found.name(name)[0] for name in NAMES] == ["JPEG", "L", "progressive", "Scan Master 3", "6", "", ""]
    assert np.isnan(found.numbers[1, NUMBERS.index("JPEG quality")])
    assert found.name("colour mode")[2] == "RGB, grey"


def test_looks_follow_what_was_done_to_a_picture():
    blurred = picture(0).resize((30, 24), Image.Resampling.BOX).resize((120, 96))
    brighter = picture(0).point([min(255, v + 30) for v in range(256)])
    looks = measured(*(packed(p, "PNG") for p in (picture(0), blurred, brighter))).looks
    sharp, grey = looks[:, LOOKS.index("sharpness")], looks[:, LOOKS.index("mean grey")]
    assert sharp[1] < 0.7 * sharp[0]
    assert sharp[2] == pytest.approx(sharp[0], rel=0.05)
    assert grey[2] - grey[0] == pytest.approx(30, abs=2)


def test_unreadable_films_are_put_aside_with_their_reason():
    found = measured(packed(picture(0)), b"no film", packed(picture(1))[:900])
    assert len(found) == 1
    assert [path for path, _ in found.films.quarantine] == ["NORMAL/1.jpeg", "NORMAL/2.jpeg"]
    with pytest.raises(InputError, match="not one of 1 films can be read"):
        measured(b"no film")


def test_odd_films_and_only_they_are_listed():
    usual = [packed(picture(i)) for i in range(40)]
    shade = np.linspace(0, 255, 120 * 96).reshape(96, 120).astype(np.uint8)
    odd = {
        "colour": packed(picture(50).convert("RGB")),
        "large": packed(picture(51, (600, 480))),
        "dark": packed(picture(52).point([v // 30 for v in range(256)]), "PNG"),
        "deep": packed(Image.fromarray(np.asarray(picture(53)).astype(np.uint16) * 200), "PNG"),
        "tinted": packed(Image.merge("RGB", (Image.fromarray(shade), picture(54), picture(54)))),
    }
    items = [film(f"NORMAL/{i:02d}.jpeg", data) for i, data in enumerate(usual)]
    found = odd_films(measure(films(items + [film(f"NORMAL/{name}", data) for name, data in odd.items()])))
    reasons = {row["path"].split("/")[1]: "; ".join(row["reasons"]) for row in found}
    assert sorted(reasons) == sorted(odd)
    assert "colour stored for a grey film" in reasons["colour"]
    assert "600×480 pixels, far from the others" in reasons["large"]
    assert "almost black" in reasons["dark"]
    assert "16 bits" in reasons["deep"]
    assert "coloured" in reasons["tinted"]


def test_a_hostile_tag_is_cut_short():
    plain, hostile, padded = picture(0), io.BytesIO(), io.BytesIO()
    exif = plain.getexif()
    exif[0x0131] = "ACME\0\0\0"
    plain.save(padded, "PNG", exif=exif)
    tags = PngImagePlugin.PngInfo()
    tags.add_text("Software", "a scanner " * 50_000, zip=True)
    plain.save(hostile, "PNG", pnginfo=tags)
    made = (packed(plain, "PNG"), hostile.getvalue(), padded.getvalue())
    items = [film(f"NORMAL/{i}", data) for i, data in enumerate(made)]
    found = measure(films(items))
    assert max(map(len, found.different)) == LONGEST_NAME
    assert found.name("software tag")[1].startswith("a scanner a scanner")
    assert found.name("software tag")[2] == "ACME"


def test_films_are_packed_block_by_block(monkeypatch):
    items = films(film(f"NORMAL/{i:02d}", packed(picture(i))) for i in range(11))
    whole = measure(items)
    likeness = _likeness(whole.thumbnails)
    monkeypatch.setattr("plainfilm.audit.measure.BLOCK", 4)  # of what is worked on; medians still see all
    pieces = measure(items)
    np.testing.assert_allclose(_likeness(pieces.thumbnails), likeness)
    assert np.ptp(likeness) > 0.1
    for name in ("thumbnails", "numbers", "codes", "looks", "histograms", "pixels"):
        np.testing.assert_array_equal(getattr(pieces, name), getattr(whole, name))
    part = pieces.at(np.array([9, 2]))
    assert [film.path for film in part.films] == ["NORMAL/09", "NORMAL/02"]
    np.testing.assert_array_equal(part.thumbnails, whole.thumbnails[[9, 2]])


def test_counts_and_patients():
    data = [packed(picture(i)) for i in range(5)]
    where = [("train/NORMAL/a", "a", "train"), ("train/NORMAL/b", "b", "train"), ("test/SICK/a2", "a", "test")]
    items = [
        film(p, d, p.split("/")[1], patient=who, part=part) for (p, who, part), d in zip(where, data, strict=False)
    ]
    found = measure(films([*items, film("test/SICK/x", data[3], "SICK", part="test")]))
    assert counts(found)["classes"] == {"NORMAL": 2, "SICK": 2}
    assert counts(found)["folders"] == {"test/SICK": 2, "train/NORMAL": 2}
    people = patients(found)
    assert (people["known"], people["patients"], people["most_films"]) == (0.75, 2, 2)
    assert people["films_each"] == {"1": 1, "2": 1, "3": 0, "4": 0, "5 or more": 0}
    for several in ("in_several_classes", "in_several_parts"):
        assert [row["patient"] for row in people[several]] == ["a"]


def test_a_dicom_film_without_a_preamble_is_measured_as_one():
    data = written(film_dataset(FILM), preamble=False)
    found = measured(data, packed(picture(1)))
    assert found.name("file type")[0] == "DICOM" and not found.films.quarantine


def test_a_tag_that_is_no_number_costs_the_films_tags_and_not_the_audit():
    entry = b"\x1a\x01\x05\0\x01\0\0\0"  # XResolution, one rational
    odd = packed(picture(0), "TIFF", dpi=(72, 72)).replace(entry, b"\x1a\x01\x02\0\x08\0\0\0")  # eight letters
    found = measured(odd, packed(picture(1)))
    assert len(found) == 2 and found.number("width").tolist() == [120, 120]


def test_dicom_headers_tell_view_and_maker_and_their_length_tells_nothing():
    some = [film_dataset(FILM, ViewPosition=view, Manufacturer="ACME" * long) for view, long in (("PA", 1), ("AP", 9))]
    found = measured(*map(written, some), packed(picture(1)))
    assert found.name("view position").tolist() == ["PA", "AP", ""] and found.name("maker")[0] == "ACME"
    assert np.isnan(found.number("bytes per pixel")[:2]).all() and found.number("bit depth")[0] == 8
    assert not any("nan" in "; ".join(row["reasons"]) for row in odd_films(found))


def test_a_film_of_no_part_is_in_no_other_part():
    data = [packed(picture(i)) for i in range(3)]
    items = [film("a", data[0], "A", patient="x", part="train"), film("b", data[1], "A", patient="x")]
    found = measure(films([*items, film("c", data[0], "A", patient="y")]))
    assert patients(found)["in_several_parts"] == []
    (twin,) = twin_rows(found, duplicates(found))
    assert twin["crossing"] is False
