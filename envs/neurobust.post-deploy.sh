#!/bin/sh
# The package `neurobust` in the environment of neurobust.yaml: linked, so that a job always runs the code that its
# workflow has. The workflow sets NEUROBUST_PACKAGE to the folder of the package.
set -eu
site=$(python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
ln -sfn "${NEUROBUST_PACKAGE:?the workflow sets it}" "$site/neurobust"
