"""AGW's parts, one left out at a time, and its separate stems: our numbers.

python -m experiments.agw parts --data=synthetic,long --seeds=0,1,2

The paper (Ye et al., Deep Learning for Person Re-identification, TPAMI 2021) measures its parts on
visible images only, so these rows have no printed numbers, except AGW's own. A row that lacks one
part is compared with AGW, so a difference below zero means that the part helps. Separate stems are
a part of AGW, except at the scale `long`, where a row has them in addition.
"""

import sys

from experiments.command import main
from experiments.tables import REGDB_FROM_VISIBLE, SYSU_ALL, Row, Table

NO_BLOCKS = "--config.backbone.non_local=(0,0,0,0)"
AVERAGE = "--config.pooling=average"
BATCH_HARD = "--config.triplet.kind=batch_hard"
TWO_STEMS = "--config.backbone.split_stages=1"  # AGW's own, but at the scale `long`
ONE_STEM = "--config.backbone.split_stages=0"

TABLES = {
    "parts": Table(
        "AGW's parts: non-local blocks, generalized-mean pooling, weighted triplet loss, stems",
        (SYSU_ALL, REGDB_FROM_VISIBLE),
        (
            Row("none of them", (NO_BLOCKS, AVERAGE, BATCH_HARD, ONE_STEM)),
            Row("without non-local blocks", (NO_BLOCKS,), against="AGW"),
            Row("with average pooling", (AVERAGE,), against="AGW"),
            Row("with the batch-hard triplet loss", (BATCH_HARD,), against="AGW"),
            Row("with one stem", (ONE_STEM,), against="AGW"),
            Row("with a stem for each modality", (TWO_STEMS,), against="AGW"),
            Row("AGW", (), "47.50 47.65 | 70.05 66.37"),
        ),
    )
}

if __name__ == "__main__":
    sys.exit(main("agw", TABLES, __doc__))
