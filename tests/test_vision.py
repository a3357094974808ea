"""torchvision's models without the compiler."""

import subprocess
import sys

import pytest

pytestmark = pytest.mark.slow

CODE = """
import sys, torch
from neurobust.core.vision import models
model = models.resnet18().eval()
model(torch.rand(1, 3, 32, 32))
from torchvision.ops import roi_align
assert roi_align(torch.ones(1, 1, 8, 8), [torch.tensor([[0.0, 0, 4, 4]])], 2).eq(1).all()
print(sorted(name for name in sys.modules if name.startswith("torch._dynamo")))
import torch._dynamo.utils
assert torch._dynamo.utils.is_compile_supported("cpu") in (True, False) and torch._dynamo.utils.__file__
"""


def test_models_come_without_the_compiler_which_stays_whole_for_who_wants_it():
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "[]\n"


def test_no_module_imports_torchvision_past_it():
    from pathlib import Path

    source = Path(__file__).parents[1] / "src/neurobust"
    past = [
        f"{path.name}:{number}"
        for path in source.rglob("*.py")
        if path.name != "vision.py"
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if line.strip().startswith(("import torchvision", "from torchvision"))
    ]
    assert not past
