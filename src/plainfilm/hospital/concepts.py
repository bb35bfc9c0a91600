"""What an answer says, as coded concepts: SNOMED CT and DICOM codes where they exist, else our own scheme.

Codes: DICOM PS3.16 (context groups 6048, 6102, 222, 230), SNOMED CT international edition.
"""

from __future__ import annotations

import re

from highdicom.sr import CodedConcept

OWN = "99PLAINFILM"  # private coding schemes begin with 99 (PS3.16, 8.2)

# Names of classes and findings in public sets of chest films, in lower case without signs.
_KNOWN = {
    "normal": ("17621005", "SCT", "Normal"),
    "abnormal": ("263654008", "SCT", "Abnormal"),
    "pneumonia": ("233604007", "SCT", "Pneumonia"),
    "bacterial pneumonia": ("53084003", "SCT", "Bacterial pneumonia"),
    "viral pneumonia": ("75570004", "SCT", "Viral pneumonia"),
    "covid 19": ("840539006", "SCT", "COVID-19"),
    "tuberculosis": ("154283005", "SCT", "Pulmonary tuberculosis"),
    "atelectasis": ("46621007", "SCT", "Atelectasis"),
    "cardiomegaly": ("8186001", "SCT", "Cardiomegaly"),
    "consolidation": ("95436008", "SCT", "Lung consolidation"),
    "edema": ("19242006", "SCT", "Pulmonary edema"),
    "effusion": ("60046008", "SCT", "Pleural effusion"),
    "pleural effusion": ("60046008", "SCT", "Pleural effusion"),
    "emphysema": ("87433001", "SCT", "Pulmonary emphysema"),
    "fibrosis": ("51615001", "SCT", "Pulmonary fibrosis"),
    "fracture": ("125605004", "SCT", "Fracture of bone"),
    "infiltration": ("112121", "DCM", "Infiltrate"),
    "lung opacity": ("112033", "DCM", "Abnormal opacity"),
    "mass": ("4147007", "SCT", "Mass"),
    "nodule": ("27925004", "SCT", "Nodule"),
    "pneumothorax": ("36118008", "SCT", "Pneumothorax"),
}

CHEST_FILM = CodedConcept("399208008", "SCT", "Plain chest X-ray")
CHEST = CodedConcept("816094009", "SCT", "Chest")
FINDING = CodedConcept("121071", "DCM", "Finding")
PROBABILITY = CodedConcept("122157", "DCM", "Probability")
THRESHOLD = CodedConcept("122411", "DCM", "Threshold Value")
SENSITIVITY = CodedConcept("111088", "DCM", "Case Sensitivity")
SPECIFICITY = CodedConcept("111090", "DCM", "Case Specificity")
COMMENT = CodedConcept("121106", "DCM", "Comment")
YES = CodedConcept("373066001", "SCT", "Yes")
NO = CodedConcept("373067005", "SCT", "No")
OF_INTEREST = CodedConcept("113000", "DCM", "Of Interest")
REFER = CodedConcept("REFER", OWN, "Reader should look at this film")
REASON = CodedConcept("REASON", OWN, "Reason")
GATE = CodedConcept("GATE", OWN, "Share of training films at least as unusual")
NOT_ASSESSED = CodedConcept("NOT_ASSESSED", OWN, "Film could not be assessed")
WARNING = CodedConcept("WARNING", OWN, "Intended use")


def reply(yes: bool) -> CodedConcept:
    """Return the concept of yes or no (PS3.16, context group 230)."""
    return YES if yes else NO


def coded(name: str) -> CodedConcept:
    """Return the concept of a class: a public code where its name is that of one, else our own, named like it."""
    plain = " ".join(re.findall(r"[a-z0-9]+", name.lower()))
    if plain in _KNOWN:
        return CodedConcept(*_KNOWN[plain])
    value = re.sub(r"[^A-Z0-9]+", "_", name.upper()).strip("_") or "CLASS"
    return CodedConcept(value, OWN, _text(name, 64))


def _text(name: str, length: int) -> str:
    """Return ``name`` as DICOM's short texts allow it: no backslash, no control characters."""
    return "".join(c if c.isprintable() and c != "\\" else " " for c in name).strip()[:length] or "class"
