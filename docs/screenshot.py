"""Take the README's picture of a report: `python docs/screenshot.py RUN/report.html [docs/report.png]`.

Needs a Chromium on the path, or its path in `$SHARPEN_CHROMIUM`.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from browser import browser, find_chromium

WIDTH, HEIGHT = 1200, 1290  # the verdict and the chart of the rounds


def main() -> int:
    """Save the top of the report as PNG; 0 where it worked."""
    if len(sys.argv) not in (2, 3):
        print(__doc__, file=sys.stderr)
        return 2
    source = Path(sys.argv[1]).resolve()
    target = Path(sys.argv[2]) if len(sys.argv) == 3 else Path(__file__).with_name("report.png")
    chromium = find_chromium()
    if chromium is None or not source.is_file():
        missing = source if chromium else "Chromium: install one, or name it in SHARPEN_CHROMIUM"
        print(f"there is no {missing}", file=sys.stderr)
        return 1
    with browser(chromium) as page:
        page.open(source.as_uri(), width=WIDTH, height=HEIGHT)
        page.run("document.getElementById('theme').hidden = true; document.documentElement.style.overflow = 'hidden'")
        page.picture(target, whole=False)
    print(target)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
