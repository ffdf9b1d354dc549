"""The table: medians, ratios to Portreeve, and whether each bar is met."""

import statistics

import cases
from peers import ALL, PORTREEVE


def number(value):
    if value >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def median(runs, peer, figure):
    return statistics.median(run[figure] for run in runs[peer])


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
    rows = [["case", "figure", *ALL]]
    for result in results:
        first = result["case"]
        for figure, unit in result["units"].items():
            row = [first, unit]
            first = ""
            for peer in ALL:
                if peer not in result["runs"]:
                    row.append("")
                    continue
                value = median(result["runs"], peer, figure)
                cell = number(value)
                if peer != PORTREEVE and value:
                    cell += f" ({number(median(result['runs'], PORTREEVE, figure) / value)}x)"
                row.append(cell)
            rows.append(row)
    return aligned(rows)


def bars(results):
    """Each bar, its figure, and met or missed."""
    rows = [["case", "bar", "wanted", "is", ""]]
    missed = 0
    for result in results:
        for figure, peer, bound in result["bars"]:
            is_now = median(result["runs"], PORTREEVE, figure)
            if peer:
                is_now /= median(result["runs"], peer, figure)
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
