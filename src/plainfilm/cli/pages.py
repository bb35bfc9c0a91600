"""What help shows: the commands, what each does, and what a source of films may be. It loads none of their files."""

from __future__ import annotations

DOES = {
    "demo": "synthetic films and the whole comparison on them",
    "paper": "the paper: three models, Table I beside the paper's figures, Figures 1-4, one report",
    "train": "one model",
    "search": "settings chosen by random search, TPE or metaheuristics, on validation films alone",
    "audit": "what is wrong with a data set before training, and whether another set is like it",
    "evaluate": "all scores of a run, of a run on other films, or of any model's predictions.csv",
    "compare": "paired comparison of models on the same films",
    "plan": "how many films a study needs: for its intervals, a comparison, a new site",
    "adapt": "a model, or another program's scores, taken to a new site: threshold and temperature from local films",
    "apply": "labels for another program's scores, by an operating point of adapt",
    "label": "labels for films, folders and zips",
    "serve": "a model behind an HTTP API and a page",
    "receive": "films from a hospital's network, answers back to its archive",
    "watch": "a folder whose DICOM films are answered as they come",
    "explain": "heat maps with their sanity figures",
    "export": "a deployment file, checked against the original",
    "fetch": "public sets and weights into the cache, checked and resumable",
    "models": "every model that can be named",
    "doctor": "versions, devices, free disk, weights, speed; or the state of a folder that plainfilm wrote",
}
DATA = (
    "class folders, {train,val,test}/CLASS folders, a CSV or Parquet, a public set as shipped (fetch --list), a zip,"
    " a MedMNIST npz, or demo:N"
)
