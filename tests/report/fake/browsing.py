"""Pages in a headless browser: what a script finds in them."""

from __future__ import annotations

import html
import json
import re
import subprocess
from pathlib import Path

# What a person would see go wrong: the page wider than the window, something cut at its edge that no box scrolls,
# two texts of a figure on top of each other. A pixel or two is the browser's rounding.
MEASURE = r"""
const found = [], width = document.documentElement.clientWidth;
if (document.documentElement.scrollWidth > width + 1)
  found.push(`the page is ${document.documentElement.scrollWidth} px wide in a window of ${width}`);
const hidden = (node) => node.closest('.scroll, pre, .skip, .hidden, caption, svg') || !node.getClientRects().length;
for (const node of document.body.querySelectorAll('*')) {
  if (hidden(node)) continue;
  const box = node.getBoundingClientRect();
  if (box.width > 1 && box.height > 1 && (box.right > width + 1 || box.left < -1))
    found.push(`cut: <${node.localName} class="${node.className}"> ${node.textContent.trim().slice(0, 40)}`);
}
for (const svg of document.querySelectorAll('svg')) {
  const texts = [...svg.querySelectorAll('text')].filter((node) => node.textContent.trim());
  const boxes = texts.map((node) => node.getBoundingClientRect());
  for (let i = 0; i < boxes.length; i++) for (let j = 0; j < i; j++) {
    const [a, b] = [boxes[i], boxes[j]];
    const across = Math.min(a.right, b.right) - Math.max(a.left, b.left);
    const down = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
    if (across > 2 && down > 0.35 * Math.min(a.height, b.height))
      found.push(`over each other in ${svg.closest('figure').id}: ${texts[i].textContent}, ${texts[j].textContent}`);
  }
}
report({width, height: document.documentElement.scrollHeight, found});
"""
START = r"""
const report = (value) => {
  const place = document.createElement('pre'); place.id = 'said-by-the-test';
  place.textContent = JSON.stringify(value); parent.document.body.append(place);
};
for (const node of document.querySelectorAll('details')) node.open = true;
"""


LOOKS = {"light": [], "dark": ["--blink-settings=preferredColorScheme=0"], "print": []}


def in_browser(
    page: Path, script: str, folder: Path, width: int = 1280, library: str = "", look: str = "light"
) -> dict:
    """What a script reports of a page, run at its end in a frame of this width; look: light, dark, or as printed."""
    text = page.read_text()
    if look == "print":
        assert "@media print {" in text
        text = text.replace("@media print {", "@media all {")
    assert "</body>" in text
    scripts = "".join(f"<script>{part}</script>" for part in (library, START + script) if part)
    whole = html.escape(text.replace("</body>", scripts + "</body>"))
    outer = folder / "page.html"  # a browser has no window as narrow as a phone's, but a frame
    frame = f'<iframe style="width: {width}px; height: 800px; border: 0" srcdoc="{whole}"></iframe>'
    outer.write_text(f'<!DOCTYPE html><meta charset="utf-8"><body style="margin: 0">{frame}')
    command = ["chromium", *LOOKS[look], "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars",
               f"--user-data-dir={folder / 'profile'}", "--window-size=1400,900", "--virtual-time-budget=60000",
               "--dump-dom", outer.as_uri()]  # fmt: skip
    run = subprocess.run(command, capture_output=True, text=True, timeout=300)
    said = re.search(r'<pre id="said-by-the-test">(.*?)</pre>', run.stdout, re.DOTALL)
    assert said, run.stderr[-2000:]
    return json.loads(html.unescape(said[1]))
