#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Draws a picture as SVG: a plot of `ratio.csv`, or what a terminal shows (`*.txt`).

Usage: draw.py SOURCE > PICTURE
"""

import csv
import html
import io
import sys

import matplotlib

matplotlib.use("svg")
# The same source gives the same bytes.
matplotlib.rcParams.update({"svg.hashsalt": "vduse-dp", "svg.fonttype": "none", "font.family": "sans-serif"})
from matplotlib import pyplot  # noqa: E402


def read_csv(path):
    with open(path, encoding="utf-8") as file:
        return list(csv.DictReader(line for line in file if not line.startswith("#")))


def ratio_by_regions(path):
    """One line for each direction and each way that buffers lie in the regions."""
    lines = {}
    for row in read_csv(path):
        points = lines.setdefault((row["direction"], row["buffers"]), [])
        points.append((int(row["regions"]), float(row["ratio"])))
    figure, axes = pyplot.subplots(figsize=(7, 3.6))
    styles = {"last": "-", "spread": "--"}
    colours = {"from_guest": "#2f6fab", "to_guest": "#c0722b"}
    names = {"last": "buffers in the last region", "spread": "buffers spread over all regions"}
    for (direction, buffers), points in lines.items():
        x, y = zip(*points)
        axes.plot(x, y, styles[buffers], color=colours[direction], marker="o", label=f"{direction}, {names[buffers]}")
    axes.axhline(1, color="#888888", linewidth=1)
    axes.text(600, 1.05, "rte_vhost", color="#666666", ha="right", va="bottom", fontsize=9)
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    ticks = [1, 8, 64, 512]
    axes.set_xticks(ticks, [str(tick) for tick in ticks])
    axes.set_yticks([1, 2, 5, 10, 20, 50], ["1", "2", "5", "10", "20", "50"])
    axes.minorticks_off()
    axes.set_xlabel("memory regions of the guest")
    axes.set_ylabel("times as fast as rte_vhost")
    axes.set_title("Bursts of 32 frames of 64 bytes, one core", fontsize=11)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    text = io.StringIO()
    figure.savefig(text, format="svg", metadata={"Date": None}, bbox_inches="tight")
    return text.getvalue()


def terminal(path):
    """A window with the lines of the file in it."""
    with open(path, encoding="utf-8") as file:
        lines = file.read().rstrip("\n").split("\n")
    width = max(map(len, lines)) * 7.83 + 32
    height = len(lines) * 17 + 44
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height}" viewBox="0 0 {width:.0f} {height}">',
        f'<rect width="{width:.0f}" height="{height}" rx="8" fill="#1e2430"/>',
    ]
    parts += [f'<circle cx="{18 + 16 * i}" cy="15" r="5" fill="{colour}"/>' for i, colour in enumerate(("#ed6a5e", "#f5bf4f", "#61c554"))]
    parts.append('<g font-family="DejaVu Sans Mono, Menlo, Consolas, monospace" font-size="13" fill="#d8dee9">')
    parts += [
        f'<text x="16" y="{46 + 17 * i}" xml:space="preserve">{html.escape(line)}</text>'
        for i, line in enumerate(lines)
    ]
    return "\n".join([*parts, "</g>", "</svg>", ""])


def main():
    source = sys.argv[1]
    sys.stdout.write(terminal(source) if source.endswith(".txt") else ratio_by_regions(source))


if __name__ == "__main__":
    main()
