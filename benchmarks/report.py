"""Figures and tables computed from the measurements."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import Any

from cases import Comparison


@dataclass(frozen=True)
class Size:
    """Size and cost of a network.

    Attributes:
        parameters: Number of trained parameters.
        needed: Multiply–accumulates a person, the fewest known (`limits.needed_multiply_accumulates`); the basis of all
            shares.
        ours, textbook: Multiply–accumulates of the two formulations (`limits.ProductCount`): ours has fewer where
            un-pooling follows a product, and more where an extra product is cheaper than a pass over memory.
        values_a_batch, values_a_person: Least number of values moved (`limits.least_values`).
        shapes: Shapes of some of its matrix products (`limits.layer_shapes`).
    """

    parameters: int
    needed: int
    ours: int
    textbook: int
    values_a_batch: int
    values_a_person: int
    shapes: list[tuple[int, int, int]]

    def as_dict(self) -> dict[str, int]:
        return {
            "parameters": self.parameters,
            "needed_multiply_accumulates": self.needed,
            "our_multiply_accumulates": self.ours,
            "textbook_multiply_accumulates": self.textbook,
        }


def shares(comparison: Comparison, size: Size, rates: dict[str, Any]) -> dict[str, float]:
    """Share of the matrix product rate that a forward pass reaches, and share of the limit; empty for other passes.

    The product rate is counted by the needed multiply–accumulates and by those of the textbook. The limit is the time
    of the matrix products at the best measured rate or, if longer, the time to move the weights and the input and
    output of each layer at the rate of a copy.
    """
    case = comparison.case
    if case.mode != "forward" or comparison.ours is None:
        return {}
    seconds, rate = comparison.ours.median, max(rates[case.precision].values())
    width = 2 if case.precision == "bf16" else 4
    moved = 4 * size.values_a_batch + width * size.values_a_person * case.batch  # weights are kept in float32
    products_s = size.needed * case.batch / rate
    return {
        "gemm_share": products_s / seconds,
        "gemm_share_textbook_count": size.textbook * case.batch / rate / seconds,
        "limit_share": max(products_s, moved / rates["copy_bytes_per_second"]) / seconds,
    }


def headline(cases: list[Comparison], sizes: dict[str, Size], rates: dict[str, Any]) -> dict[str, float]:
    """Main figures by name; all in float32.

    `<network>_<pass>_ratio_b<batch>` is the textbook's time over ours, `…_memory_ratio_b<batch>` our peak memory over
    the textbook's; `faithful_gemm_share` is for a batch of 32, or the largest measured below.
    """
    figures: dict[str, float] = {}
    best: dict[str, Comparison] = {}
    people_per_second = 0.0
    for comparison in cases:
        case = comparison.case
        if case.precision != "fp32" or comparison.ours is None:
            continue
        figures[f"{case.network}_{case.mode}_ratio_b{case.batch}"] = comparison.time_ratio
        if comparison.memory_ratio is not None:
            figures[f"{case.network}_{case.mode}_memory_ratio_b{case.batch}"] = comparison.memory_ratio
        if case.mode == "forward" and case.batch <= 32:
            best[case.network] = comparison
        if (case.network, case.mode) == ("light", "forward"):
            people_per_second = max(people_per_second, case.batch / comparison.ours.median)
    if "faithful" in best:
        figures |= {
            f"faithful_{name}": value for name, value in shares(best["faithful"], sizes["faithful"], rates).items()
        }
        figures["faithful_gemm_share_batch"] = best["faithful"].case.batch
    figures["light_people_per_second"] = people_per_second
    return figures


def brief(comparison: Comparison) -> str:
    """Summary of a comparison in one line."""
    case = comparison.case
    text = f"{case.network:8} {case.mode:7} {case.precision} batch {case.batch:<2}  "
    if comparison.ours is None or comparison.textbook is None:
        return f"{text} left out: {comparison.skipped}"
    ours, textbook = (1000 * side.median / case.batch for side in (comparison.ours, comparison.textbook))
    text = f"{text} {ours:8.2f} ms a person, textbook {textbook:8.2f}: {comparison.time_ratio:.2f} times as fast"
    return text if comparison.alternating else f"{text}, one after the other"


def table(cases: list[Comparison], sizes: dict[str, Size], rates: dict[str, Any]) -> str:
    """Table of all cases in Markdown, one row a case."""
    columns = (
        "network", "pass", "precision", "batch", "ours, ms a person", "textbook, ms a person", "times as fast",
        "ours, peak MiB", "textbook, peak MiB", "memory", "of the product rate", "of the limit",
    )  # fmt: skip
    rows: list[tuple[str, ...]] = [columns, ("---",) * 3 + ("---:",) * 9]
    for comparison in cases:
        case = comparison.case
        turns = "" if comparison.alternating else ", one after the other"
        cells = [case.network, case.mode, case.precision, f"{case.batch}{turns}"]
        if comparison.ours is None or comparison.textbook is None:
            cells += [comparison.skipped]
        else:
            sides = (comparison.ours, comparison.textbook)
            share, memory = shares(comparison, sizes[case.network], rates), comparison.memory_ratio
            cells += [spread([1000 * value / case.batch for value in side.seconds]) for side in sides]
            cells += [f"{comparison.time_ratio:.2f}", *(f"{side.peak_bytes / 2**20:.0f}" for side in sides)]
            cells += ["" if memory is None else f"{memory:.2f}"]
            cells += [f"{share[name]:.0%}" for name in ("gemm_share", "limit_share") if share]
        rows.append((*cells, *[""] * (len(columns) - len(cells))))
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def spread(values: list[float]) -> str:
    """Median (least–most)."""
    digits = 1 if max(values) >= 10 else 2
    return f"{statistics.median(values):.{digits}f} ({min(values):.{digits}f}–{max(values):.{digits}f})"


def summary(results: dict[str, Any]) -> str:
    """Summary of all results but the cases, in Markdown."""
    lines = ["| network | parameters | multiply–accumulates a person: needed | ours | textbook |"]
    lines.append("| --- | ---: | ---: | ---: | ---: |")
    for name, row in results["networks"].items():
        counts = (row[f"{kind}_multiply_accumulates"] for kind in ("needed", "our", "textbook"))
        lines.append(
            f"| {name} | {row['parameters'] / 1e6:.2f} M | {' | '.join(f'{c / 1e6:,.1f} M' for c in counts)} |"
        )
    lines.append("")
    for precision in ("fp32", "bf16"):
        found = ", ".join(f"{shape}: {rate / 1e9:.1f}" for shape, rate in results["rates"][precision].items())
        lines.append(f"- matrix products, {precision}, 10⁹ multiply–accumulates a second: {found}")
    lines.append(
        f"- copies, 10⁹ bytes a second read and written: {results['rates']['copy_bytes_per_second'] / 1e9:.1f}"
    )
    for what in ("people", "vertices") if "scaling" in results else ():
        found = ", ".join(f"{count}: {ms:.2f}" for count, ms in results["scaling"][f"ms_by_{what}"].items())
        lines.append(f"- ms a person by {what}: {found}")
    for run in results.get("many_people", ()):
        lines.append(
            f"- {run['people']} people in one file: {1000 * run['seconds'] / run['people']:.2f} ms a person, "
            f"{run['share']:.0%} of it in the network and the writers, at most {run['peak_bytes'] / 2**20:.0f} MiB"
        )
    lines += [f"- {name}: {value:.4g}" for name, value in results.items() if isinstance(value, float)]
    return "\n".join(lines)
