"""The plain words at the top: what the numbers allow to be said, and what they do not.

The grade follows the *lower* end of the interval and the number of independent groups, never the
point estimate alone: a detector is trusted as far as the evidence reaches.
"""

from __future__ import annotations

from wisp.report import wording
from wisp.report.evaluation import Evaluation
from wisp.report.page import Verdict

TRUSTED, GOOD, HELPFUL, WEAK = 0.95, 0.85, 0.70, 0.5
FEW_GROUPS = 20  # below, a bootstrap over groups gives rough intervals
VERY_FEW_GROUPS = 6
FEW_NEGATIVES = 100
TOO_FEW_GROUPS = 3  # of either class: hardly more than anecdotes
MANY_FALSE_ALARMS = 0.1
LESS_WITHIN = 0.05
_NAMED = 3


def judge(evaluation: Evaluation, synthetic_auroc: float | None = None) -> Verdict:
    """The verdict on a detector, from the evaluation alone.

    ``synthetic_auroc`` is what the detector reached on the data set it was trained on.
    """
    headline, tone = _headline(evaluation)
    return Verdict(headline, _lead(evaluation), _caveats(evaluation, synthetic_auroc), tone)


def _headline(evaluation: Evaluation) -> tuple[str, str]:
    auroc, (positive, negative) = evaluation.measures.auroc, evaluation.names
    if evaluation.measures.overlaps:
        return "These numbers cannot be trusted: some test photos were seen in training", "poor"
    if auroc.value is None:
        return _one_class(evaluation)
    low = auroc.lower_end or 0.0
    few = evaluation.measures.groups < FEW_GROUPS or evaluation.positive_groups < VERY_FEW_GROUPS
    if low <= WEAK:
        if auroc.value > 0.75:
            return "Promising, but these photos are too few to prove anything", "open"
        return f"Not shown to tell {positive} from {negative} any better than guessing", "poor"
    if evaluation.positive_groups < TOO_FEW_GROUPS or evaluation.negative_groups < TOO_FEW_GROUPS:
        return "Too few scenes to say how far it can be trusted", "open"
    if low < HELPFUL:
        return "Better than guessing, but not yet of use as an alarm", "poor"
    if _threshold_is_off(evaluation):
        return (
            f"It tells {positive} from {negative}, but its alarm threshold does not fit these "
            "photos",
            "middling",
        )
    if low < GOOD:
        return "Helpful as a second pair of eyes, not as the only alarm", "middling"
    if low < TRUSTED or few or _flaws(evaluation):
        return "Good on photos like these, though not free of mistakes", "good"
    return "Few mistakes on photos like these", "good"


def _one_class(evaluation: Evaluation) -> tuple[str, str]:
    tally, (positive, negative) = evaluation.tally, evaluation.names
    if tally is not None and tally.negatives and not tally.positives:
        return (
            f"No {positive} photo was shown, so only false alarms could be counted: "
            f"{wording.of(tally.false_alarms, tally.negatives)}",
            "poor" if (tally.fpr or 0) > MANY_FALSE_ALARMS else "open",
        )
    if tally is not None and tally.positives and not tally.negatives:
        return (
            f"No {negative} photo was shown, so only hits could be counted: "
            f"{wording.of(tally.found, tally.positives)}",
            "open",
        )
    return "This evaluation holds no score to judge by", "open"


def _threshold_is_off(evaluation: Evaluation) -> bool:
    """Whether the working point is far worse than the ranking would allow."""
    auroc, balanced = evaluation.measures.auroc.value, evaluation.measures.balanced_accuracy.value
    return auroc is not None and balanced is not None and balanced < 0.8 and auroc - balanced > 0.12


def _flaws(evaluation: Evaluation) -> list[str]:
    """Where it fails in a way that the figures over all photos hide."""
    said: list[str] = []
    measures, (positive, negative) = evaluation.measures, evaluation.names
    for row in evaluation.sets:
        tally = row.tally
        if tally and (tally.fpr or 0) > MANY_FALSE_ALARMS and tally.negatives >= 10:
            said.append(
                f"On “{row.name}” it calls {wording.of(tally.false_alarms, tally.negatives)} "
                f"{negative} photos {positive}."
            )
    blamed = [
        f"“{row.group}” {wording.of(row.tally.false_alarms, row.tally.negatives)}"
        for row in evaluation.groups
        if row.tally and row.tally.negatives >= 3 and (row.tally.fpr or 0) >= 0.5
    ]
    if blamed and len(evaluation.groups) > 1:
        more = len(blamed) - _NAMED
        said.append(
            f"False alarms on half or more of the {negative} photos of a place: "
            f"{wording.listed(blamed[:_NAMED])}"
            + (f", and {wording.plural(more, 'other place')}." if more > 0 else ".")
        )
    within, overall = measures.auroc_within_groups.value, measures.auroc.value
    if within is not None and overall is not None and overall - within > LESS_WITHIN:
        said.append(
            f"Among photos of one place it ranks worse than over all (AUROC "
            f"{wording.score(within)}, {wording.plural(measures.groups_of_both, 'place')}): part "
            "of the score may come from telling places apart."
        )
    return said


def _lead(evaluation: Evaluation) -> list[str]:
    said: list[str] = []
    auroc, (positive, negative) = evaluation.measures.auroc, evaluation.names
    if auroc.value is not None:
        sentence = (
            f"Given one {positive} photo and one {negative} photo, it gives the {positive} one the "
            f"higher score {wording.percent(auroc.value)} of the time"
        )
        if auroc.has_interval:
            sentence += f" (95 % interval {wording.interval(auroc, as_percent=True)})"
        said.append(sentence + ".")
    tally, threshold = evaluation.tally, evaluation.measures.threshold
    if tally is not None and threshold is not None:
        parts = []
        if tally.positives:
            parts.append(
                f"found {wording.of(tally.found, tally.positives)} {positive} photos and missed "
                f"{wording.count(tally.missed)}"
            )
        if tally.negatives:
            parts.append(
                f"raised a false alarm on {wording.of(tally.false_alarms, tally.negatives)} "
                f"{negative} photos"
            )
        source = _source(evaluation.measures.threshold_source)
        said.append(
            f"At its threshold of {wording.score(threshold)}{f', {source},' if source else ''} it "
            f"{wording.listed(parts)}."
        )
    said.append(
        f"Measured on {wording.plural(evaluation.measures.images, 'photo')} from "
        f"{wording.plural(evaluation.measures.groups, 'group')} that belong together "
        "(one scene, house or camera)."
    )
    return said


def _source(said: str) -> str:
    source = said.strip().rstrip(".")
    known = {
        "": "",
        "validation": "chosen on validation data",
        "--threshold": "given by hand",
        "given": "given by hand",
        "config": "given by hand",
    }
    if source.startswith("validation ("):
        return f"chosen on validation data by the rule “{source[12:].rstrip(')')}”"
    return known.get(source, source if " " in source else f"chosen by: {source}")


def _caveats(evaluation: Evaluation, synthetic_auroc: float | None) -> list[str]:
    said: list[str] = []
    measures, (positive, negative) = evaluation.measures, evaluation.names
    groups, auroc = measures.groups, measures.auroc
    if measures.overlaps:
        said.append(
            f"{wording.plural(len(measures.overlaps), 'test photo')} also stood in the training "
            "data, or a near copy did: the score is flattered. See the leak check below."
        )
    if evaluation.rendered:
        said.append(
            "The test photos are rendered, not real: this shows that the program works, not how a "
            "detector would do in your place."
        )
    if 0 < groups < FEW_GROUPS:
        said.append(
            f"Only {wording.plural(groups, 'group')}: frames of one scene are near copies, so the "
            "photos count for less than their number"
            + (", and the intervals are themselves rough." if measures.auroc.has_interval else ".")
        )
    if 0 < evaluation.positive_groups < VERY_FEW_GROUPS <= groups:
        said.append(
            f"The {positive} photos show only {wording.plural(evaluation.positive_groups, 'scene')}"
            ": what is found there says little about others."
        )
    usual = (positive, negative) == ("smoky", "clean")
    if evaluation.positive_groups and evaluation.negative_groups and not evaluation.shared_groups:
        said.append(
            f"No scene was shown both {positive} and {negative}: part of the score may come from "
            "telling these places apart."
            + (" Clean photos of the smoky scenes would settle it." if usual else "")
        )
    if evaluation.tally is not None and 0 < evaluation.tally.negatives < FEW_NEGATIVES:
        said.append(
            f"With {wording.plural(evaluation.tally.negatives, f'{negative} photo')}, 1 % false "
            "alarms would be less than one photo: what is said of that rate is said of no false "
            "alarm at all."
        )
    if auroc.low is not None and auroc.high is not None and auroc.high - auroc.low > 0.15:
        said.append(
            f"The interval is wide: the true AUROC may be as low as "
            f"{wording.score(auroc.low)}. More scenes, not more frames, would narrow it."
        )
    if _threshold_is_off(evaluation):
        said.append(
            "The ranking is better than the alarms: choose a threshold on a few labelled photos "
            "from your own camera and pass it as --threshold."
        )
    said += _flaws(evaluation)
    if usual and evaluation.tally and (evaluation.tally.fpr or 0) > MANY_FALSE_ALARMS:
        rule = "" if "fpr" in measures.threshold_source else "wisp classify --threshold fpr05, "
        said.append(
            f"Against false alarms help {rule}clean photos of more places to learn from, and "
            "look-alikes among them (wisp synth --negatives steam)."
        )
    if auroc.value is not None and (synthetic_auroc or 0.0) - auroc.value > 0.1:
        said.append(
            f"Synthetic validation promised {wording.score(synthetic_auroc)}; what it learned "
            "carries over only in part."
        )
    return said
