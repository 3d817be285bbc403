"""The distance of each pair of a set, as it is kept in run folders."""

import numpy as np
import pandas as pd

from tvseg.verification.data.pictures import PairSet
from tvseg.verification.scoring import squared_distances

VALIDATION_FILE = "validation_pairs.csv"
"""Distances of the validation pairs by the best epoch, in the run folder."""


def distances_of(pairs: PairSet, embedded: np.ndarray) -> pd.DataFrame:
    """Return a row for each pair: pictures, whether they show one person, fold, distance."""
    left, right = embedded[pairs.left], embedded[pairs.right]
    names = np.array(pairs.names)
    return pd.DataFrame(
        {
            "left": names[pairs.left],
            "right": names[pairs.right],
            "same": pairs.same.astype(int),
            "fold": pairs.fold,
            "squared_distance": squared_distances(left, right),
        }
    )
