"""What the source documents did, report and conclude, phase by phase.

Their figures are what `foresight reproduce` prints beside ours; their conclusions are held against
intervals (`studies.claims`), so a verdict changes when a measurement does.
"""

from studies.sources import learned, several, single, whole
from studies.sources.common import Source

__all__ = ["SOURCES", "Source"]

SOURCES: dict[str, Source] = {
    "phase-1": single.PHASE_1,
    "probes": whole.EYES,
    "phase-3": single.PHASE_3,
    "phase-4": single.PHASE_4,
    "phase-4b": single.PHASE_4B,
    "phase-4c": single.PHASE_4C,
    "phase-4d": single.PHASE_4D,
    "phase-4e": single.PHASE_4E,
    "phase-5b": several.PHASE_5B,
    "phase-6": several.PHASE_6,
    "phase-7": several.PHASE_7,
    "phase-8": learned.PHASE_8,
    "phase-9": learned.PHASE_9,
    "conclusions": whole.CONCLUSIONS,
}
"""In the order of the documents, by the name of the result file; phases 8, 9 and the conclusions
have none of their own and are decided by files of other experiments."""
