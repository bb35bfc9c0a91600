"""The public sets that are known by their owners' own tables: how each is told, got and licensed, and what reads it.

What is the same for all sets (which films are here, laterals, parts) is done in ``public_films``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from plainfilm.data import public_rows
from plainfilm.data.public_rows import Given, Listing


@dataclass(frozen=True)
class PublicSet:
    """A public set. ``tables``: by kind, the file as shipped and the columns (in small letters) that tell it."""

    name: str
    title: str
    tables: Mapping[str, tuple[str, frozenset[str]]]
    needs: tuple[tuple[str, ...], ...]  # kinds of tables without which nothing can be read; of each group one will do
    looks: re.Pattern[str]  # how its films' paths look
    example: str  # where a film is, as shipped
    licence: str
    get: str
    labels: str  # what is known of them
    citation: str
    read: Callable[[Given], Listing]
    tail: int = 1  # how many names of a film's path, from its end, tell it in the whole set
    beside: tuple[str, ...] = ()  # findings that `--findings all` does not mean: there is none of the others
    question: str = ""  # the finding that is meant where none is named


CHEXPERT_COLUMNS = frozenset({"no finding", "lung opacity", "pleural effusion", "support devices"})
PHYSIONET = "PhysioNet Credentialed Health Data License 1.5.0: registration and training, no redistribution"

SETS = (
    PublicSet(
        "nih",
        "NIH ChestX-ray14",
        {"labels": ("Data_Entry_2017_v2020.csv", frozenset({"image index", "finding labels", "patient id"}))},
        (("labels",),),
        re.compile(r"(?:^|/)images(?:_\d{3})?(?:/images)?/\d{8}_\d{3}\.png$"),
        "images_001/images/00000001_000.png",
        # cloud.google.com/healthcare-api/docs/resources/public-datasets/nih-chest, "License and attribution"
        "free use; NIH asks for a link to its download site, the citation, and to be named as the provider",
        "nihcc.app.box.com/v/ChestXray-NIHCC, 45 GB, no registration",
        "read from reports by a program; 14 findings and No Finding; a finding that is not named counts as absent",
        "Wang et al. 2017, arXiv 1705.02315",
        public_rows.nih,
        beside=("No Finding",),
    ),
    PublicSet(
        "chexpert",
        "CheXpert",
        {"labels": ("train.csv", CHEXPERT_COLUMNS | {"path", "sex", "age", "frontal/lateral", "ap/pa"})},
        (("labels",),),
        re.compile(r"(?:^|/)patient\d{5}/study\d+/view\d+_(?:frontal|lateral)\.\w+$"),
        "CheXpert-v1.0-small/train/patient00001/study1/view1_frontal.jpg",
        # stanfordmlgroup.github.io/competitions/chexpert; tensorflow.org/datasets/catalog/chexpert says the same
        "Stanford University Dataset Research Use Agreement: registration, research only, no redistribution",
        "stanfordmlgroup.github.io/competitions/chexpert, 11 GB (small) or 471 GB, registration",
        "read from reports by a program; 1, 0, -1 uncertain, empty not mentioned; No Finding is never 0: not learnt",
        "Irvin et al. 2019, arXiv 1901.07031",
        public_rows.chexpert,
        tail=3,
    ),
    PublicSet(
        "rsna",
        "RSNA Pneumonia Detection Challenge",
        {
            "boxes": ("stage_2_train_labels.csv", frozenset({"patientid", "x", "y", "width", "height", "target"})),
            "kinds": ("stage_2_detailed_class_info.csv", frozenset({"patientid", "class"})),
        },
        (("boxes", "kinds"),),
        re.compile(r"(?:^|/)stage_2_(?:train|test)_images/[0-9a-f-]{36}\.\w+$"),
        "stage_2_train_images/0004cfab-14fd-4e49-80ba-63a80b6bddd6.dcm",
        # rsna.org/education/ai-resources-and-training/ai-image-challenge/rsna-pneumonia-detection-challenge-2018; the
        # rules at kaggle.com are shown to those who are registered, and to no others
        "research, education and other uses, commercial too, with RSNA's attribution; Kaggle's rules may be narrower: "
        "check the page that you take it from",
        "rsna.org (2018 challenge) or kaggle.com/c/rsna-pneumonia-detection-challenge, 4 GB; Kaggle asks to register",
        "boxes by radiologists; patientId names the film; who the patient is stands only in a mapping to NIH's films",
        "Shih et al. 2019, doi 10.1148/ryai.2019180041",
        public_rows.rsna,
        beside=public_rows.RSNA_KINDS[1:],
        question=public_rows.RSNA_KINDS[0],
    ),
    PublicSet(
        "padchest",
        "PadChest",
        {
            "labels": (
                "PADCHEST_chest_x_ray_images_labels_160K_01.02.19.csv",
                frozenset({"imageid", "imagedir", "projection", "labels", "methodlabel", "patientid"}),
            )
        },
        (("labels",),),
        re.compile(r"(?:^|/)\d+_[0-9a-z]{6}\.png$"),
        "0/20536686640136348236148679891455886468_k6ga29.png",
        # the agreement is shown at bimcv.cipf.es before a download; that of its sister set is public, research only:
        # github.com/BIMCV-CSUSP/BIMCV-COVID-19, LICENSE.md
        "PadChest Dataset Research Use Agreement, which is shown when you register: check the provider's page",
        "bimcv.cipf.es/bimcv-projects/padchest, 1 TB, registration",
        "a quarter by physicians (column MethodLabel), the rest by a network; the word unchanged says nothing new",
        "Bustos et al. 2020, arXiv 1901.07441",
        public_rows.padchest,
        beside=("normal",),
    ),
    PublicSet(
        "vindr",
        "VinDr-CXR",
        {
            "boxes": ("train.csv", frozenset({"image_id", "class_name", "rad_id", "x_min"})),
            "readers": ("annotations/image_labels_train.csv", frozenset({"image_id", "no finding", "pneumothorax"})),
        },
        (("readers", "boxes"),),
        re.compile(r"(?:^|/)(?:train|test)/[0-9a-f]{32}\.\w+$"),
        "train/50a418190bc3fb1ef1633bf9678929b3.dicom",
        # physionet.org/content/vindr-cxr; github.com/vinbigdata-medical/vindr-cxr: research and education, no sharing
        PHYSIONET + "; on Kaggle the rules of the 2021 challenge, not commercial",
        "physionet.org/content/vindr-cxr, 200 GB, or kaggle.com/c/vinbigdata-chest-xray-abnormalities-detection",
        "three radiologists per film (test: five in consensus); positive by most of them, see --readers",
        "Nguyen et al. 2022, doi 10.1038/s41597-022-01498-w",
        public_rows.vindr,
        beside=(public_rows.VINDR_NONE,),
    ),
    PublicSet(
        "mimic",
        "MIMIC-CXR-JPG",
        {
            "labels": ("mimic-cxr-2.0.0-chexpert.csv.gz", CHEXPERT_COLUMNS | {"subject_id", "study_id"}),
            "split": ("mimic-cxr-2.0.0-split.csv.gz", frozenset({"dicom_id", "study_id", "subject_id", "split"})),
            "metadata": ("mimic-cxr-2.0.0-metadata.csv.gz", frozenset({"dicom_id", "study_id", "viewposition"})),
        },
        (("labels",), ("metadata",)),
        re.compile(r"(?:^|/)p\d{8}/s\d{8}/[0-9a-f-]{44}\.\w+$"),
        "files/p10/p10000032/s50414267/02aa804e-bde0afdd-112c0b34-7bc16630-4e384014.jpg",
        PHYSIONET,  # physionet.org/content/mimic-cxr-jpg, "Credentialed Access"
        "physionet.org/content/mimic-cxr-jpg, 558 GB, registration and training",
        "read from the reports of studies by a program; 1, 0, -1 uncertain, empty not mentioned",
        "Johnson et al. 2019, arXiv 1901.07042",
        public_rows.mimic,
    ),
)
