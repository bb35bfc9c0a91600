"""Check DICOM files with dicom-validator against the standard as the package dicom-standard holds it (edition of 2020).

    python by_the_standard.py FILE...

Runs where both packages are installed, and nothing of plainfilm. dicom-validator wants the standard's own XML, which no
package has; here its tables are filled from JSON. That JSON does not say on which value type an element of a content
item depends, and goes one level deep: VALUES adds the former (PS3.3, C.17.3 and C.18), DEEP the latter.
"""

from __future__ import annotations

import html
import json
import re
import sys
import sysconfig
from collections import defaultdict
from pathlib import Path
from typing import Any

from dicom_validator.spec_reader.condition import Condition, ConditionOperator, ConditionType
from dicom_validator.spec_reader.condition_parser import ConditionParser
from dicom_validator.spec_reader.part3_reader import SPECIAL_CASES
from dicom_validator.spec_reader.serializer import DefinitionEncoder
from dicom_validator.validator.dicom_file_validator import DicomFileValidator
from dicom_validator.validator.dicom_info import DicomInfo

CIODS = {
    "1.2.840.10008.5.1.4.1.1.88.33": "comprehensive-sr",
    "1.2.840.10008.5.1.4.1.1.88.59": "key-object-selection-document",
    "1.2.840.10008.5.1.4.1.1.7": "secondary-capture-image",
}
CONTENT, TYPE = "(0040,A730)", "(0040,A040)"
DEEP = 8  # levels of content items
VALUES = {  # an element of a content item, and the value types that have it
    "(0040,A120)": ["DATETIME"],
    "(0040,A121)": ["DATE"],
    "(0040,A122)": ["TIME"],
    "(0040,A123)": ["PNAME"],
    "(0040,A124)": ["UIDREF"],
    "(0040,A160)": ["TEXT"],
    "(0040,A168)": ["CODE"],
    "(0040,A300)": ["NUM"],
    "(0008,1199)": ["IMAGE", "COMPOSITE", "WAVEFORM"],
    "(0070,0022)": ["SCOORD", "SCOORD3D"],
    "(0070,0023)": ["SCOORD", "SCOORD3D"],
    "(3006,0024)": ["SCOORD3D"],
    **{tag: ["TCOORD"] for tag in ("(0040,A130)", "(0040,A132)", "(0040,A138)", "(0040,A13A)")},
    "(0040,A050)": ["CONTAINER"],
}
Table = dict[str, Any]


def table(name: str) -> Any:
    return json.loads((Path(sysconfig.get_path("data")) / "standard" / f"{name}.json").read_text())


def text_of(description: str) -> str:
    return " ".join(html.unescape(re.sub("<[^>]+>", " ", description)).split())


def values_of(description: str) -> list[str]:
    """The values that an element is limited to, where it is."""
    found = re.search(r"Enumerated Values:</strong>.*?</dl>", description.replace("\n", ""), re.DOTALL)
    return re.findall(r"<dt>\s*<span>([^<]+)</span>", found[0]) if found else []


def number_of(text: str) -> int:
    """A number as the standard writes it: 255, or 00FFH."""
    return int(text[:-1], 16) if text.endswith("H") else int(text)


def attribute(row: Table, dictionary: Table, parser: ConditionParser) -> Table:
    tag, kind = row["tag"], row["type"]
    made: Table = {"name": dictionary.get(tag, {}).get("name", tag), "type": kind}
    if tag in SPECIAL_CASES:
        made["cond"] = SPECIAL_CASES[tag]
    elif kind in ("1C", "2C", "3"):
        condition = parser.parse(text_of(row["description"]))
        if condition.type != ConditionType.UserDefined:
            made["cond"] = condition
    values = values_of(row["description"])
    if values:
        number = dictionary.get(tag, {}).get("vr") in ("US", "IS")
        made["enums"] = [{"val": [number_of(value) if number else value for value in values]}]
    return made


def of_type(attributes: Table) -> Table:
    """Have elements of a content item depend on its value type."""
    for tag, types in VALUES.items():
        if tag in attributes:
            when = Condition(ConditionType.MandatoryOrNotAllowed, ConditionOperator.EqualsValue, TYPE, 0, types)
            kind = attributes[tag]["type"]
            attributes[tag] |= {"type": kind if kind.endswith("C") else f"{kind}C", "cond": when}
    return attributes


def module(rows: list[Table], dictionary: Table, parser: ConditionParser) -> Table:
    made: Table = {}
    for row in sorted(rows, key=lambda row: row["path"].count(":")):
        *above, _ = row["path"].split(":")[1:]
        inner = made
        for number in above:
            inner = inner[f"({number[:4]},{number[4:]})".upper()].setdefault("items", {})
        inner[row["tag"]] = attribute(row, dictionary, parser)
    if CONTENT in made:
        item = of_type(made[CONTENT]["items"])
        of_type(made)
        for _ in range(DEEP):
            item = item | {CONTENT: made[CONTENT] | {"items": item}}
        made[CONTENT]["items"] = item
    return made


def standard() -> DicomInfo:
    dictionary = {
        each["tag"]: {"name": each["name"], "vr": each["valueRepresentation"], "vm": each["valueMultiplicity"]}
        for each in table("attributes")
    }
    parser = ConditionParser(dictionary)
    iods: Table = {uid: {"title": ciod, "modules": {}, "group_macros": {}} for uid, ciod in CIODS.items()}
    needed = set()
    for row in table("ciod_to_modules"):
        for iod in iods.values():
            if row["ciodId"] == iod["title"]:
                found = iod["modules"][row["moduleId"]] = {"ref": row["moduleId"], "use": row["usage"]}
                needed.add(row["moduleId"])
                if said := row["conditionalStatement"]:
                    found["cond"] = parser.parse(said)
    rows = defaultdict(list)
    for row in table("module_to_attributes"):
        if row["moduleId"] in needed:
            rows[row["moduleId"]].append(row)
    modules = {name: module(each, dictionary, parser) for name, each in rows.items()}
    plain = json.loads(json.dumps({"iods": iods, "modules": modules}, cls=DefinitionEncoder))
    return DicomInfo(dictionary, plain["iods"], plain["modules"])


def main() -> int:
    validator, errors = DicomFileValidator(standard()), 0
    for path in sys.argv[1:]:
        errors += sum(result.errors for result in validator.validate(path).values())
    print(f"{len(sys.argv) - 1} files, {errors} errors")
    return min(errors, 1)


if __name__ == "__main__":
    sys.exit(main())
