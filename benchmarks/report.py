"""What was measured, and how it is shown: medians over the rounds, and ratios taken within each round.

A ratio compares two figures of the same round, minutes apart at most; the median of these is what travels to
another machine. Nothing here says whether a figure is good.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from benchmarks.histogram import Histogram

GENERATOR_BUSY = 0.9
"""From this share of a core on, the load generator may be what limits a figure."""


@dataclass(frozen=True)
class Sample:
    """One measurement: `rate` operations a second of `subject` at `case` in `round`."""

    benchmark: str
    case: str
    subject: str
    round: int
    rate: float
    latencies: Histogram | None = None
    busy: float | None = None


@dataclass
class Report:
    """The samples of a run, and what could not be measured: `skipped` for want of a package, `failed`."""

    machine: dict[str, str]
    settings: dict[str, Any]
    samples: list[Sample] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)

    def add(self, sample: Sample) -> None:
        self.samples.append(sample)

    def cases(self) -> list[tuple[str, str]]:
        return list(dict.fromkeys((sample.benchmark, sample.case) for sample in self.samples))

    def rows(self, benchmark: str, case: str) -> dict[str, list[Sample]]:
        """The samples of a case by subject, in the order of measuring."""
        rows: dict[str, list[Sample]] = {}
        for sample in self.samples:
            if (sample.benchmark, sample.case) == (benchmark, case):
                rows.setdefault(sample.subject, []).append(sample)
        return rows


def as_json(report: Report) -> dict[str, Any]:
    """The whole report as one JSON object; seconds and operations a second throughout."""
    cases = []
    for benchmark, case in report.cases():
        rows = report.rows(benchmark, case)
        figures = [_figures(subject, samples) for subject, samples in rows.items()]
        cases.append({"benchmark": benchmark, "case": case, "subjects": figures, "ratios": [*_ratios(rows)]})
    return {
        "machine": report.machine,
        "settings": report.settings,
        "cases": cases,
        "skipped": report.skipped,
        "failed": report.failed,
    }


def as_text(report: Report) -> str:
    return "\n".join(_lines(as_json(report)))


def _figures(subject: str, samples: list[Sample]) -> dict[str, Any]:
    rates = [sample.rate for sample in samples]
    figures: dict[str, Any] = {"subject": subject, "rate": statistics.median(rates), "rates": rates}
    latencies = Histogram()
    for sample in samples:
        if sample.latencies:
            latencies = latencies.merged(sample.latencies)
    if latencies.buckets():
        figures |= {"p50": latencies.percentile(50), "p99": latencies.percentile(99)}
    busy = [sample.busy for sample in samples if sample.busy is not None]
    if busy:
        figures["generator_busy"] = max(busy)
    return figures


def _ratios(rows: dict[str, list[Sample]]) -> Iterator[dict[str, Any]]:
    """The first subject that was measured, which is the framework if it was, against each other one."""
    above, *others = rows
    for below in others:
        ratios = [*_round_by_round(rows[above], rows[below])]
        if ratios:
            yield {
                "of": above,
                "to": below,
                "ratio": statistics.median(ratios),
                "low": min(ratios),
                "high": max(ratios),
            }


def _round_by_round(above: Iterable[Sample], below: Iterable[Sample]) -> Iterator[float]:
    rates = {sample.round: sample.rate for sample in below}
    return (sample.rate / rates[sample.round] for sample in above if sample.round in rates)


def _lines(report: dict[str, Any]) -> Iterator[str]:
    for name, fact in report["machine"].items():
        yield f"{name:>14}  {fact}"
    yield f"{'settings':>14}  " + ", ".join(f"{name} {value}" for name, value in report["settings"].items())
    for case in report["cases"]:
        yield ""
        yield f"{case['benchmark']}: {case['case']}"
        yield from _table(case["subjects"])
        yield from _ratio_lines(case["ratios"])
    for kind in ("skipped", "failed"):
        for subject, reason in report[kind].items():
            yield ""
            yield f"{kind}: {subject}: {reason}"


def _table(subjects: list[dict[str, Any]]) -> Iterator[str]:
    with_latency = any("p50" in figures for figures in subjects)
    head = f"  {'':26}{'median/s':>10}{'lowest':>10}{'highest':>10}"
    yield head + (f"{'p50 ms':>9}{'p99 ms':>9}{'generator':>11}" if with_latency else "")
    for figures in subjects:
        rates = figures["rates"]
        line = f"  {figures['subject']:26}{figures['rate']:10,.0f}{min(rates):10,.0f}{max(rates):10,.0f}"
        if "p50" in figures:
            busy = figures["generator_busy"]
            line += f"{figures['p50'] * 1e3:9.2f}{figures['p99'] * 1e3:9.2f}{busy:11.0%}"
            line += "  the generator may be the limit" if busy >= GENERATOR_BUSY else ""
        yield line


def _ratio_lines(ratios: list[dict[str, Any]]) -> Iterator[str]:
    for ratio in ratios:
        name = f"{ratio['of']} / {ratio['to']}"
        yield f"  {name:50}{ratio['ratio']:8.2f}   ({ratio['low']:.2f} to {ratio['high']:.2f})"
