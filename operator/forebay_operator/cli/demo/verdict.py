"""Whether all that the demo promises held, and the sentences that say so."""

from collections.abc import Iterable
from dataclasses import dataclass

from forebay_operator.cli.demo.digits import Digits
from forebay_operator.cli.demo.load import LoadReport
from forebay_operator.cli.demo.story import Story

LEAST_ACCURACY = 0.9
LEAST_AGREEMENT = 0.99


@dataclass(frozen=True, slots=True)
class Check:
    """One promise of the demo, whether it held, and the figure seen."""

    promise: str
    held: bool
    seen: str


def checks(digits: Digits, report: LoadReport, story: Story, ended_at_zero: bool, replicas: int) -> list[Check]:
    failed = report.failed
    accuracy, agreement = scores(digits, report)
    first_failure = f", first: {failed[0].error}" if failed else ""
    first = min(report.answers, key=lambda answer: answer.sent_s, default=None)
    started_at_zero = bool(story.samples) and story.samples[0].replicas_ready == 0
    waited = f"the first request waited {first.latency_s:.2f} s for the first replica" if first else "nothing was answered"
    return [
        Check("no request failed", not failed and report.answered == report.sent, f"{len(failed)} failed{first_failure}"),
        Check("the served answers are right", accuracy >= LEAST_ACCURACY, f"{accuracy:.1%} accuracy against the labels"),
        Check(
            "the converted model answers like its source",
            agreement >= LEAST_AGREEMENT,
            f"{agreement:.2%} of the answers are those of scikit-learn",
        ),
        Check("it woke from zero", started_at_zero and first is not None and first.label is not None, waited),
        Check(
            "replicas followed the queue",
            story.most_replicas >= min(2, replicas),
            f"up to {story.most_replicas} of {replicas} replicas",
        ),
        Check(
            "it went back to zero", ended_at_zero, "0 replicas at the end" if ended_at_zero else "still replicas at the end"
        ),
    ]


def scores(digits: Digits, report: LoadReport) -> tuple[float, float]:
    """Shares of the answers that equal the label, and what the source model itself says."""
    answered = [answer for answer in report.answers if answer.label is not None]
    if not answered:
        return 0.0, 0.0
    right = sum(answer.label == digits.labels[answer.sample] for answer in answered)
    alike = sum(answer.label == digits.source_answers[answer.sample] for answer in answered)
    return right / len(answered), alike / len(answered)


def broken(results: Iterable[Check]) -> list[Check]:
    return [check for check in results if not check.held]
