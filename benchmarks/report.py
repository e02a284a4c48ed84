"""The results as a page of the docs: tables and plots."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import matplotlib as mpl

mpl.use("svg")
from matplotlib import pyplot as plt  # after the backend is chosen

DOCS: Final = Path(__file__).parent.parent / "docs"
PAGE: Final = DOCS / "_generated" / "benchmarks.md"
PLOTS: Final = DOCS / "_pictures"
GROUPS: Final = {
    "wire": "Single calls, against bare aiohttp",
    "tls": "Single calls over TLS",
    "latency": "With 20 ms of latency",
    "layers": "Layer by layer",
    "uvloop": "With the extra `speed`",
    "others": "Profile reads, against other HTTP clients",
    "cached": "Reads that cost no request, or share one",
    "facade": "Calls with callbacks",
    "per_profile": "The per-profile route",
    "imports": "Import time",
}
_GREY: Final = "#8a93a3"
_BLUE: Final = "#4c78ff"
_ORANGE: Final = "#e08a1e"


def write_report(results: dict[str, Any]) -> None:
    """Write the page and its plots."""
    parts = [_machine(results["machine"])]
    for name, title in GROUPS.items():
        if name in results:
            parts.append(f"### {title}\n\n{_table(results[name])}")
    if "per_profile_memory" in results:
        parts.append(f"### Memory of the per-profile route\n\n{_memory(results)}")
    if "bulk" in results:
        parts.append(f"### The bulk route\n\n{_bulk(results['bulk'])}")
    if "scaling" in results:
        _plot_scaling(results["scaling"])
        parts.append(
            "### From 1 to 1,000 calls at once\n\n"
            "![Throughput and latency by calls at once](_pictures/scaling.svg)\n\n"
            + _scaling(results["scaling"])
        )
    if "entries" in results:
        _plot_entries(results["entries"])
        parts.append(
            "### Memory by entries in the cache\n\n"
            "![Memory by entries in the cache](_pictures/entries.svg)\n\n"
            + _entries(results["entries"])
        )
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text("\n\n".join(parts) + "\n")


def _machine(machine: dict[str, Any]) -> str:
    versions = ", ".join(
        f"{name} {version}" for name, version in machine.items() if name not in {"python", "cores"}
    )
    return (
        f"Python {machine['python']} on {machine['cores']} cores, the client on one and the server "
        f"on the other; {versions}. A ratio above 1 means faster than what it is compared with; "
        "*A/A* is the same thing against itself in the same run."
    )


def _table(comparisons: list[dict[str, Any]]) -> str:
    lines = ["| what, of what | ratio | quartiles | A/A | target |", "|---|---:|---:|---:|---:|"]
    lines += [
        f"| {one['name']} | {one['ratio']:.2f} | {one['low']:.2f} to {one['high']:.2f} "
        f"| {one['noise']:.2f} | {'' if one['target'] is None else format(one['target'], '.2f')} |"
        for one in comparisons
    ]
    return "\n".join(lines)


def _bulk(rows: list[dict[str, float]]) -> str:
    lines = [
        "| rows | a second | of the budget | of a plain loop | peak memory | loop stood still |",
        "|---:|---:|---:|---:|---:|---:|",
    ]
    lines += [
        f"| {one['rows']:,.0f} | {one['per_second']:,.0f} | {one['of_budget']:.2f} "
        f"({one['of_budget_low']:.2f} to {one['of_budget_high']:.2f}) | {one['of_plain']:.2f} "
        f"| {one['peak_mb']:.0f} MB | at most {one['longest_stop_ms']:.0f} ms |"
        for one in rows
    ]
    return "\n".join(lines)


def _memory(results: dict[str, Any]) -> str:
    lines = ["| rows | a second | peak memory |", "|---:|---:|---:|"]
    lines += [
        f"| {one['rows']:,.0f} | {one['per_second']:,.0f} | {one['peak_mb']:.0f} MB |"
        for one in results["per_profile_memory"]
    ]
    return "\n".join(lines)


def _entries(rows: list[dict[str, float]]) -> str:
    lines = ["| profiles in the cache | memory of the process |", "|---:|---:|"]
    lines += [f"| {one['entries']:,.0f} | {one['memory_mb']:.0f} MB |" for one in rows]
    return "\n".join(lines)


def _scaling(rows: list[dict[str, float]]) -> str:
    lines = [
        "| at once | calls a second | p50 | p99 | bare aiohttp | p50 | p99 | server busy |",
        "|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    lines += [
        f"| {one['at_once']:,.0f} "
        + "".join(
            f"| {one[f'{who}_per_second']:,.0f} "
            f"| {one[f'{who}_p50_ms']:.1f} ms | {one[f'{who}_p99_ms']:.1f} ms "
            for who in ("sdk", "bare")
        )
        + f"| {one['server_busy']:.0%} |"
        for one in rows
    ]
    return "\n".join(lines)


def _plot_scaling(rows: list[dict[str, float]]) -> None:
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.2))
    at_once = [one["at_once"] for one in rows]
    for who, colour, label in (("sdk", _BLUE, "this SDK"), ("bare", _ORANGE, "bare aiohttp")):
        left.plot(
            at_once, [one[f"{who}_per_second"] for one in rows], "o-", color=colour, label=label
        )
        for percentile, style in (("p50", "o-"), ("p99", "o--")):
            waits = [one[f"{who}_{percentile}_ms"] for one in rows]
            right.plot(at_once, waits, style, color=colour, label=f"{label}, {percentile}")
    left.set_ylabel("calls a second")
    left.set_ylim(bottom=0)
    right.set_ylabel("milliseconds")
    right.set_yscale("log")
    right.set_yticks([0.1, 1, 10, 100], labels=["0.1", "1", "10", "100"])
    for axes in (left, right):
        axes.legend(frameon=False, labelcolor=_GREY)
        axes.set_xscale("log")
        axes.set_xticks([1, 10, 100, 1000], labels=["1", "10", "100", "1,000"])
        axes.set_xlabel("calls at once")
    _save(figure, "scaling")


def _plot_entries(rows: list[dict[str, float]]) -> None:
    figure, axes = plt.subplots(figsize=(5, 3))
    axes.plot(
        [one["entries"] for one in rows], [one["memory_mb"] for one in rows], "o-", color=_BLUE
    )
    axes.set_xlabel("profiles in the cache")
    axes.set_ylabel("memory of the process, MB")
    axes.set_ylim(bottom=0)
    _save(figure, "entries")


def _save(figure: Any, name: str) -> None:  # noqa: ANN401 - matplotlib's figure
    """Save a plot that can be read on white and on black."""
    for axes in figure.axes:
        axes.set_facecolor("none")
        axes.tick_params(colors=_GREY)
        axes.xaxis.label.set_color(_GREY)
        axes.yaxis.label.set_color(_GREY)
        for spine in axes.spines.values():
            spine.set_color(_GREY)
    figure.tight_layout()
    PLOTS.mkdir(exist_ok=True)
    figure.savefig(PLOTS / f"{name}.svg", transparent=True, metadata={"Date": None})
    plt.close(figure)
