"""Evaluation rules, one file for each dataset, and the queries and galleries that they define."""

from collections.abc import Mapping

from jreid.evaluation.protocols.folder import folder
from jreid.evaluation.protocols.llcm import llcm, llcm_all, llcm_released_vis_to_ir
from jreid.evaluation.protocols.mixed import mixed
from jreid.evaluation.protocols.mp_reid import mp_reid
from jreid.evaluation.protocols.orbench import orbench
from jreid.evaluation.protocols.protocol import Rule
from jreid.evaluation.protocols.regdb import regdb
from jreid.evaluation.protocols.sysu_mm01 import sysu_mm01

# jreid's own rules; the first line of each docstring describes it.
PROTOCOLS: Mapping[str, Rule] = {
    "sysu_mm01": sysu_mm01,
    "regdb": regdb,
    "llcm": llcm,
    "llcm_released_vis_to_ir": llcm_released_vis_to_ir,
    "llcm_all": llcm_all,
    "orbench": orbench,
    "mp_reid": mp_reid,
    "folder": folder,
    "mixed": mixed,
}
