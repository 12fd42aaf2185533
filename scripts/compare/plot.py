"""A picture of horizontal bars as SVG: user time and, beside it, system time."""
from html import escape

WIDTH, LEFT, RIGHT, ROW, TOP = 900, 330, 90, 24, 44
COLOURS = {"ours": ("#d9480f", "#ffc9a3"), "limit": ("#868e96", "#ced4da")}
OTHERS = ("#1971c2", "#a5d8ff")
# A bar that is so many times as long as the median is cut off.
LONG = 4.0


def bars(heading, rows):
    """`rows` are name, kind, user and system time; shortest first, except the limits on top."""
    rows = sorted(rows, key=lambda one: (one[1] != "limit", one[2] + one[3]))
    totals = sorted(user + system for _, _, user, system in rows)
    most = max(value for value in totals if value <= LONG * totals[len(totals) // 2])
    scale = (WIDTH - LEFT - RIGHT) / most
    height = TOP + ROW * len(rows) + 34
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
             f'width="{WIDTH}" height="{height}" font-family="sans-serif" font-size="13">',
             f'<rect width="{WIDTH}" height="{height}" fill="#fff"/>',
             f'<text x="12" y="24" font-size="15" font-weight="bold">{escape(heading)}</text>']
    for index, one in enumerate(rows):
        parts += bar(one, TOP + index * ROW, scale, most)
    parts.append(f'<text x="12" y="{height - 10}" fill="#666">dark: user time; light: system time'
                 '; orange: sunstar; grey: loops that parse nothing</text>')
    return "\n".join(parts) + "\n</svg>\n"


def bar(one, top, scale, most):
    """One row: its name, its two pieces and its figure."""
    name, kind, user, system = one
    total = user + system
    cut = min(1.0, most / total)
    dark, light = COLOURS.get(kind, OTHERS)
    first, second = user * scale * cut, system * scale * cut
    text = f"{total:.2f}" if total < 10 else f"{total:.1f}"
    weight = ' font-weight="bold"' if kind == "ours" else ""
    yield (f'<text x="{LEFT - 8}" y="{top + 15}" text-anchor="end"{weight}>'
           f'{escape(name)}</text>')
    yield f'<rect x="{LEFT}" y="{top + 3}" width="{first:.1f}" height="16" fill="{dark}"/>'
    yield (f'<rect x="{LEFT + first:.1f}" y="{top + 3}" width="{second:.1f}" height="16" '
           f'fill="{light}"/>')
    yield (f'<text x="{LEFT + first + second + 6:.1f}" y="{top + 15}">'
           f'{"» " if cut < 1 else ""}{text}</text>')
