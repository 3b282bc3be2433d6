"""AGW's parts, one left out at a time: our numbers.

python -m experiments.agw parts --data=synthetic,long --seeds=0,1,2

The paper (Ye et al., Deep Learning for Person Re-identification, TPAMI 2021) measures its parts on
visible images only, so these rows have no printed numbers, except AGW's own on SYSU-MM01.
"""

from experiments.sweep import main
from experiments.tables import REGDB_FROM_VISIBLE, SYSU_ALL, Row, Table

NO_BLOCKS = "--config.backbone.non_local=(0,0,0,0)"
AVERAGE = "--config.pooling=average"
BATCH_HARD = "--config.triplet.kind=batch_hard"

TABLES = {
    "parts": Table(
        "AGW's parts: non-local blocks, generalized-mean pooling, weighted triplet loss",
        (SYSU_ALL, REGDB_FROM_VISIBLE),
        (
            Row("none of them", (NO_BLOCKS, AVERAGE, BATCH_HARD)),
            Row("without non-local blocks", (NO_BLOCKS,)),
            Row("with average pooling", (AVERAGE,)),
            Row("with the batch-hard triplet loss", (BATCH_HARD,)),
            Row("AGW", (), "47.50 47.65 | 70.05 66.37"),
        ),
    )
}

if __name__ == "__main__":
    main("agw", TABLES, __doc__)
