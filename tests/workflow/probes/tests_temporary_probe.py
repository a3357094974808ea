"""Imported by a worker of a test: keeps the folder of temporary files in mind, as some libraries do."""

import tempfile

tempfile.gettempdir()
