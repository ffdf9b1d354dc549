"""The table: medians, ratios to Portreeve, and whether each bar is met.

A ratio is the median of those of each turn: what else the machine did for some minutes meets both sides of it alike.
"""

import statistics

import cases
from peers import EVERY, PORTREEVE


def number(value):
    if value >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def median(runs, peer, figure):
    return statistics.median(run[figure] for run in runs[peer])


def ratio(runs, peer, figure):
    """Portreeve's to the peer's; None where the peer has none."""
    pairs = [(ours[figure], theirs[figure]) for ours, theirs in zip(runs[PORTREEVE], runs[peer])]
    if not all(theirs for _, theirs in pairs):
        return None
    return statistics.median(ours / theirs for ours, theirs in pairs)


def aligned(rows):
    """A table in Markdown that is readable as it stands."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [
        "| " + " | ".join(cell.ljust(width) if i == 0 else cell.rjust(width) for i, (cell, width) in enumerate(zip(row, widths))) + " |"
        for row in rows
    ]
    lines.insert(1, "|" + "|".join("-" * (width + 2) if i == 0 else "-" * (width + 1) + ":" for i, width in enumerate(widths)) + "|")
    return lines


def table(results):
    """Each peer's median, and in brackets what Portreeve's is of it."""
    present = [peer for peer in EVERY if any(peer in result["runs"] for result in results)]
    rows = [["case", "figure", *present]]
    for result in results:
        first, runs = result["case"], result["runs"]
        for figure, unit in result["units"].items():
            row = [first, unit]
            first = ""
            for peer in present:
                cell = ""
                if peer in runs:
                    cell = number(median(runs, peer, figure))
                    if peer != PORTREEVE and (of := ratio(runs, peer, figure)) is not None:
                        cell += f" ({number(of)}x)"
                row.append(cell)
            rows.append(row)
    return aligned(rows)


def bars(results):
    """Each bar, its figure, and met or missed."""
    rows = [["case", "bar", "wanted", "is", ""]]
    missed = 0
    for result in results:
        for figure, peer, bound in result["bars"]:
            runs = result["runs"]
            is_now = ratio(runs, peer, figure) if peer else median(runs, PORTREEVE, figure)
            if is_now is None:
                continue
            higher = figure in cases.HIGHER
            met = is_now >= bound if higher else is_now <= bound
            missed += not met
            what = f"{figure} to {peer}" if peer else figure
            rows.append(
                [result["case"], what, f"{'>=' if higher else '<='} {number(bound)}", number(is_now), "met" if met else "MISSED"]
            )
    return aligned(rows), missed


def spread(results):
    """The widest spread of Portreeve's own runs, to know what a ratio is worth."""
    widest = 0
    for result in results:
        for figure in result["units"]:
            if figure == cases.RATE:
                values = [run[figure] for run in result["runs"][PORTREEVE]]
                widest = max(widest, (max(values) - min(values)) / statistics.median(values))
    return widest
