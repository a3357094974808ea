"""The place of an ROI in the order of visual areas, V1 = 1 to 6, by the labels of its atlases.

V1, V2, V3, hV4: the order of the maps (Wandell, Dumoulin and Brewer 2007, doi:10.1016/j.neuron.2007.10.012). VO lies
anterior to hV4 and PHC anterior to VO (Arcaro et al. 2009, doi:10.1523/JNEUROSCI.2807-09.2009); LO and TO follow each
other on the lateral side (Amano, Wandell and Dumoulin 2009, doi:10.1152/jn.00102.2009). Areas that prefer a category
stand where the maps that they overlap do: PPA with PHC (Arcaro et al. 2009), EBA with TO, which it surrounds (Weiner
and Grill-Spector 2011, NeuroImage 56, 2183; its part on LO2 would be 5). The occipital face, place and word areas are
the earlier ones of their pairs and stand with LO, the fusiform ones (FFA, FBA, VWFA) one step later (Taylor and Downing
2011, Journal of Cognitive Neuroscience 23, 4122). The index says which comes later, not by how much.

What has no agreed place in this order has none here: parietal and frontal areas (IPS, SPL, FEF), RSC, the anterior
temporal lobe, and regions that pool several areas (nsdgeneral, streams).
"""

from __future__ import annotations

import math
from typing import Any

HIERARCHY: dict[float, tuple[str, ...]] = {
    1: ("V1", "V1v", "V1d"),
    2: ("V2", "V2v", "V2d"),
    3: ("V3", "V3v", "V3d"),
    4: ("V4", "hV4", "V3A", "V3B"),
    5: ("LO1", "LO2", "LO3", "VO1", "VO2", "V8", "OFA", "OPA", "OWFA"),
    6: ("TO1", "TO2", "MT", "MST", "V4t", "FST", "PHC1", "PHC2", "PHA1", "PHA2", "PHA3", "FFC", "VVC",
        "FFA-1", "FFA-2", "FBA-1", "FBA-2", "EBA", "PPA", "VWFA-1", "VWFA-2"),
}  # fmt: skip
PLACES = {label: place for place, labels in HIERARCHY.items() for label in labels}


def place_of(roi: Any) -> float:
    """The mean place of the labels of an ROI (`Study.rois`); NaN where one of them has none."""
    places = [PLACES.get(label, math.nan) for region in roi.added for label in region.labels]
    return sum(places) / len(places) if places else math.nan
