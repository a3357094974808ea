"""Imported last by a worker of a test: refuses to be, if anything before it has touched a GPU."""

import sys

torch = sys.modules["torch"]
if torch.cuda.is_initialized():
    raise ImportError("CUDA was initialised by an import")
