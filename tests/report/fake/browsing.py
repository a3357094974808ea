"""Pages in a headless browser: what a script finds in them."""

from __future__ import annotations

import html
import json
import re
import subprocess
from dataclasses import dataclass
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
  const place = document.createElement('pre'); place.className = 'said-by-the-test'; place.id = frameElement.name;
  place.textContent = JSON.stringify(value); parent.document.body.append(place);
};
for (const node of document.querySelectorAll('details')) node.open = true;
"""
DARK = "--blink-settings=preferredColorScheme=0"


@dataclass(frozen=True)
class Question:
    """A script that is asked of a page: run at its end, after a library, in a frame of this width, or as printed."""

    script: str
    width: int = 1280
    library: str = ""
    printed: bool = False

    def frame(self, name: str, text: str) -> str:
        """The page in a frame of this name: a browser has no window as narrow as a phone's."""
        if self.printed:
            assert "@media print {" in text
            text = text.replace("@media print {", "@media all {")
        assert "</body>" in text
        scripts = "".join(f"<script>{part}</script>" for part in (self.library, START + self.script) if part)
        whole = html.escape(text.replace("</body>", scripts + "</body>"))
        style = f"position: absolute; top: 0; left: 0; width: {self.width}px; height: 800px; border: 0"
        return f'<iframe name="{name}" style="{style}" srcdoc="{whole}"></iframe>'


def ask_browser(page: Path, questions: dict[str, Question], folder: Path, dark: bool = False) -> dict[str, dict]:
    """What is answered to several questions about a page, all in one start of the browser, each in a frame of its own.

    A start costs more than most questions.
    """
    text, outer = page.read_text(), folder / "page.html"
    frames = "".join(question.frame(name, text) for name, question in questions.items())
    outer.write_text(f'<!DOCTYPE html><meta charset="utf-8"><body style="margin: 0">{frames}')
    command = ["chromium", *([DARK] if dark else []), "--headless", "--no-sandbox", "--disable-gpu",
               "--hide-scrollbars", f"--user-data-dir={folder / 'profile'}", "--window-size=1400,900",
               "--virtual-time-budget=60000", "--dump-dom", outer.as_uri()]  # fmt: skip
    run = subprocess.run(command, capture_output=True, text=True, timeout=300)
    form = r'<pre class="said-by-the-test" id="(.*?)">(.*?)</pre>'
    said = {html.unescape(name): json.loads(html.unescape(text)) for name, text in re.findall(form, run.stdout, re.S)}
    assert set(said) == set(questions), run.stderr[-2000:]
    return said


def in_browser(page: Path, script: str, folder: Path, width: int = 1280, library: str = "") -> dict:
    """What one script reports of a page, run at its end in a frame of this width."""
    return ask_browser(page, {"asked": Question(script, width, library)}, folder)["asked"]
