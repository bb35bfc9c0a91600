"""Which way a chest was looked at, from the words of DICOM, MIMIC-CXR, PadChest and CheXpert: frontal, or why not.

Words of ViewPosition are those of PS3.3 C.8.7.1.1.1 and of devices; codes are those of PS3.16 CID 4010 (DX views), by
their SNOMED numbers and the older ones, as pydicom lists both.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydicom import Dataset

CODES = {  # PS3.16 CID 4010
    **dict.fromkeys(("272479007", "R-40888", "R-10214"), "PA"),
    **dict.fromkeys(("399348003", "R-10206"), "AP"),
    **dict.fromkeys(("399033003", "R-10202"), "frontal"),
    **dict.fromkeys(("399067008", "R-102CD", "399173006", "R-10236", "399198007", "R-10232"), "lateral"),
    **dict.fromkeys(("399352003", "R-10228", "399260004", "R-10224", "30730003", "G-A145"), "lateral"),
    **dict.fromkeys(("399312000", "R-10208", "399059000", "R-10216", "399160007", "R-10204"), "oblique"),
    **dict.fromkeys(("399135007", "R-10220", "399006002", "R-10212", "399356000", "R-40985"), "oblique"),
    **dict.fromkeys(("399038007", "R-10210", "399184004", "R-10238", "399236003", "R-10234"), "oblique"),
    **dict.fromkeys(("399182000", "R-102C1", "260427002", "R-40783", "260426006", "R-40782"), "oblique"),
    **dict.fromkeys(("399132005", "R-10252", "399325008", "R-10254", "399004004", "R-10246"), "oblique"),
    **dict.fromkeys(("399225005", "R-10250", "399288005", "R-10248"), "oblique"),
    **dict.fromkeys(("399099002", "R-10230", "399368009", "R-10226"), "oblique"),
    **dict.fromkeys(("399061009", "R-10241", "399196006", "R-10244", "399162004", "R-10242"), "lordotic or axial"),
}
# In this order: "AP DECUBITUS" is decubitus, "LEFT ANTERIOR OBLIQUE" is oblique, "XTABLE LATERAL" is lateral.
WORDS = (
    ("decubitus", r"DECUB\w*|LLD|RLD|DEC"),
    ("swimmer's", r"SWIM\S*|TWINING"),
    ("oblique", r"OBL\w*|LAO|RAO|LPO|RPO|RLO|LLO"),
    ("lordotic or axial", r"\w*LORDOT\w*|APICAL|AXIAL|CRANIO-?CAUDAL|CAUDO-?CRANIAL"),
    ("lateral", r"LAT\w*|L|R|LL|RL|LLAT|RLAT|ML|LM|X ?-?TABLE|CROSS ?-?TABLE|PROFILE?|PERFIL|SAGITTAL"),
    ("of the ribs", r"COSTAL|RIBS?"),
    ("PA", r"PA|P-A|POSTERO-?ANTERIOR|POSTERIOR-?ANTERIOR"),
    ("AP", r"AP|A-P|ANTERO-?POSTERIOR|ANTERIOR-?POSTERIOR"),
    ("frontal", r"FRONTAL"),
)
FRONTAL = {"PA", "AP", "frontal"}


def view_of(found: Dataset) -> str:
    """Return one of our own words for a film's view, never the header's text, which anybody may have typed.

    By ViewCodeSequence and ViewPosition, else by PatientOrientation (a row that runs forwards or backwards through the
    patient is lateral, PS3.3 C.7.6.1.1.1). "other" for words that mean none, "" where the header does not say.
    """
    said = [*_coded(found), by_words(str(found.get("ViewPosition") or ""))]
    known = [view for view in said if view not in ("", "other")]
    rows = str((found.get("PatientOrientation") or [""])[0]).upper()
    if not known and rows[:1] in ("A", "P"):
        return "lateral"
    return next((view for view in known if view not in FRONTAL), (known or [*filter(None, said), ""])[0])


def remark(view: str) -> str:
    """Return why a film of this view may be no frontal one; "" for a frontal view, and for one that is not said."""
    return "" if view in FRONTAL or view in ("", "other") else f"DICOM header: {view} view"


def _coded(found: Dataset) -> list[str]:
    items = list(found.get("ViewCodeSequence") or ())
    items += [modifier for item in items for modifier in item.get("ViewModifierCodeSequence") or ()]
    views = []
    for item in items:
        meant = by_words(str(item.get("CodeMeaning") or ""))
        views.append(CODES.get(str(item.get("CodeValue") or "").strip().upper()) or meant)
    return views


def by_words(text: str) -> str:
    """Return what a device or a data set calls a view in our words; "other" for words that mean none, "" for none."""
    plain = re.sub(r"[\s_.,;:/()\\]+", " ", text).strip().upper()
    if not plain:
        return ""
    found = (view for view, words in WORDS if re.search(rf"(?<![\w-])(?:{words})(?![\w-])", plain))
    return next(found, "other")
