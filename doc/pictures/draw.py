#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Draws a picture as SVG: plots of `compare.csv`, or what a terminal shows (`*.txt`).

Usage: draw.py SOURCE > PICTURE
       draw.py --csv compare.json > compare.csv     from the results of devtools/bench compare
"""

import csv
import html
import io
import json
import sys

import matplotlib

matplotlib.use("svg")
# The same source gives the same bytes.
matplotlib.rcParams.update({"svg.hashsalt": "vduse-dp", "svg.fonttype": "none", "font.family": "sans-serif"})
from matplotlib import pyplot  # noqa: E402


def read_csv(path):
    with open(path, encoding="utf-8") as file:
        return list(csv.DictReader(line for line in file if not line.startswith("#")))


def to_csv(path):
    """The results of devtools/bench compare as a source for a plot."""
    with open(path, encoding="utf-8") as file:
        rows = json.load(file)
    lines = [
        "# SPDX-License-Identifier: BSD-3-Clause",
        "# TSC cycles per frame, medians: devtools/bench all. doc/performance.md says what was measured, and on what.",
        "direction,frame,burst,regions,cores,buffers,leaves,ours,rte_vhost,floor",
    ]
    for row in rows:
        *_, where, leaves = (row["case"] + "/nothing").split("/")[:7]
        shape = [row[key] for key in ("direction", "frame", "burst", "regions", "cores")]
        cycles = [f"{row[key]:.1f}" for key in ("ours_tsc", "vhost_tsc", "floor_tsc")]
        lines.append(",".join(map(str, [*shape, where, leaves, *cycles])))
    return "\n".join([*lines, ""])


COLOURS = {"from_guest": "#2f6fab", "to_guest": "#c0722b"}


def comparison(path):
    """Ratios to rte_vhost by regions, frame and burst, and the share of the floor's rate."""
    rows = read_csv(path)

    def points(x, y, **where):
        """Where `where` holds, and what it does not name has its usual value."""
        usual = {"frame": "64", "burst": "32", "regions": "1", "cores": "1", "buffers": "last", "leaves": "nothing"}
        usual.pop(x)
        wanted = {**usual, **where}
        found = [row for row in rows if all(row[key] == value for key, value in wanted.items())]
        return zip(*sorted((int(row[x]), y(row)) for row in found))

    def ratio(row):
        return float(row["rte_vhost"]) / float(row["ours"])

    def share(row):
        return 100 * float(row["floor"]) / float(row["ours"])

    figure, ((regions, frames), (bursts, floor)) = pyplot.subplots(2, 2, figsize=(10, 7))
    for direction, colour in COLOURS.items():
        for buffers, style in {"last": "-", "spread": "--"}.items():
            x, y = points("regions", ratio, direction=direction, buffers=buffers)
            label = f"{direction}, {'last region' if buffers == 'last' else 'all regions'}"
            regions.plot(x, y, style, color=colour, marker="o", label=label)
        for cores, style in {"1": "-", "2": "--"}.items():
            label = f"{direction}, {cores} core{'s' if cores == '2' else ''}"
            x, y = points("frame", ratio, direction=direction, cores=cores)
            frames.plot(x, y, style, color=colour, marker="o", label=label)
            x, y = points("burst", ratio, direction=direction, cores=cores)
            bursts.plot(x, y, style, color=colour, marker="o", label=label)
        x, y = points("frame", share, direction=direction)
        floor.plot(x, y, color=colour, marker="o", label=direction)
    regions.set(title="by memory regions of the guest (64 B, bursts of 32)", xlabel="regions", ylabel="times as fast as rte_vhost")
    regions.set_xscale("log", base=2)
    regions.set_yscale("log")
    regions.set_xticks([1, 8, 64, 512], ["1", "8", "64", "512"])
    regions.set_yticks([1, 2, 5, 10, 20, 50], ["1", "2", "5", "10", "20", "50"])
    frames.set(title="by frame (1 region, bursts of 32)", xlabel="bytes", ylabel="times as fast as rte_vhost", ylim=(0, None))
    bursts.set(title="by burst (64 B, 1 region)", xlabel="frames in a burst", ylabel="times as fast as rte_vhost", ylim=(0, None))
    bursts.set_xticks([1, 32], ["1", "32"])
    floor.set(title="copies and stores alone are 100 % (1 region, bursts of 32)", xlabel="bytes", ylabel="% of the floor's rate", ylim=(0, None))
    for axes in (regions, frames, bursts):
        axes.axhline(1, color="#888888", linewidth=1)
    for axes in (regions, frames, bursts, floor):
        axes.title.set_fontsize(10)
        axes.minorticks_off()
        axes.grid(alpha=0.3)
        axes.legend(fontsize=8)
    figure.tight_layout()
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
    source = sys.argv[-1]
    if sys.argv[1] == "--csv":
        sys.stdout.write(to_csv(source))
    else:
        sys.stdout.write(terminal(source) if source.endswith(".txt") else comparison(source))


if __name__ == "__main__":
    main()
