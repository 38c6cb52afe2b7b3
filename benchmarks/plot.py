"""A plot of lines on logarithmic axes, as SVG: light and dark."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

__all__ = ["draw"]

_WIDTH, _HEIGHT = 720, 400
_LEFT, _RIGHT, _TOP, _BOTTOM = 60, 190, 20, 50
_COLOURS = ("#d95f02", "#7570b3", "#1b9e77", "#1f78b4", "#e7298a")


def draw(counts: Sequence[int], runs: Mapping[str, Sequence[float]]) -> str:
    """
    Return the seconds of a run against its number of tests, a line for each name.
    """
    every = [one for line in runs.values() for one in line]
    low, high = math.floor(math.log10(min(every))), math.ceil(math.log10(max(every)))

    def x(count: float) -> float:
        share = math.log10(count / counts[0]) / math.log10(counts[-1] / counts[0])
        return _LEFT + share * (_WIDTH - _LEFT - _RIGHT)

    def y(seconds: float) -> float:
        share = (math.log10(seconds) - low) / (high - low)
        return _HEIGHT - _BOTTOM - share * (_HEIGHT - _TOP - _BOTTOM)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" '
        'font-family="sans-serif" font-size="13">',
        "<title>Seconds of a run of pytest against its number of tests</title>",
        "<style>text{fill:#333}.grid{stroke:#8885}"
        "@media(prefers-color-scheme:dark){text{fill:#ddd}}</style>",
    ]
    for power in range(low, high + 1):
        at = y(10**power)
        parts.append(
            f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{at:.1f}" y2="{at:.1f}"/>'
            f'<text x="{_LEFT - 8}" y="{at + 4:.1f}" text-anchor="end">{10**power:g} s</text>'
        )
    parts += [
        f'<text x="{x(one):.1f}" y="{_HEIGHT - _BOTTOM + 20}" text-anchor="middle">{one}</text>'
        for one in counts
    ]
    middle = (_LEFT + _WIDTH - _RIGHT) / 2
    parts.append(f'<text x="{middle}" y="{_HEIGHT - 10}" text-anchor="middle">tests</text>')
    labels = _apart([(y(line[-1]), name) for name, line in runs.items()])
    for colour, (name, line) in zip(_COLOURS, runs.items(), strict=False):
        points = " ".join(f"{x(c):.1f},{y(s):.1f}" for c, s in zip(counts, line, strict=True))
        parts.append(
            f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2.5"/>'
            f'<text x="{_WIDTH - _RIGHT + 8}" y="{labels[name] + 4:.1f}" style="fill:{colour}">'
            f"{name}</text>"
        )
    return "\n".join([*parts, "</svg>\n"])


def _apart(labels: Sequence[tuple[float, str]]) -> dict[str, float]:
    """
    Return a height for each label so that none covers another.
    """
    found: dict[str, float] = {}
    last = -math.inf
    for height, name in sorted(labels):
        last = max(height, last + 16)
        found[name] = last
    return found
