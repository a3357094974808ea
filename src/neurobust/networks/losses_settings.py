"""The losses that a condition can name, described; the functions are in `losses` and `manifolds`."""

from __future__ import annotations

from neurobust.networks.description import Loss

MSE = Loss(
    run="neurobust.networks.losses:mse",
    needs_head=True,
    source="Shao et al. 2024",
    help="mean squared difference of the neural head's output and the responses",
)
CORRELATION = Loss(
    run="neurobust.networks.losses:correlation",
    needs_head=True,
    min_batch=3,
    help="1 - Pearson's r of the neural head's output and the responses, averaged over voxels",
)
CKA = Loss(
    run="neurobust.networks.losses:cka",
    needs_head=False,
    min_batch=3,
    source="Dapello et al. 2022",
    help="log(1 - linear CKA) of features and responses",
)
CKA_DEBIASED = Loss(
    run="neurobust.networks.losses:cka_debiased",
    needs_head=False,
    min_batch=4,
    help="log(1 - debiased linear CKA), without the upward bias of small batches",
)
RSA = Loss(
    run="neurobust.networks.losses:rsa",
    needs_head=False,
    min_batch=3,
    help="1 - Pearson's r of the image-by-image correlation matrices of features and responses",
)
SIMILARITY = Loss(
    run="neurobust.networks.losses:similarity",
    needs_head=False,
    min_batch=2,
    mixes_layers=True,
    source="Li et al. 2019",
    help="squared difference of the arctanh of image-by-image cosines, over a learned mixture of layers",
)
MANIFOLD = Loss(
    run="neurobust.networks.manifolds:manifold",
    needs_head=True,
    min_batch=2,
    by_class=True,
    source="Shao et al. 2024",
    help="manifold-radius and manifold-dimension together",
)
MANIFOLD_RADIUS = Loss(
    run="neurobust.networks.manifolds:manifold_radius",
    needs_head=True,
    min_batch=2,
    by_class=True,
    source="Shao et al. 2024",
    help="how far a class lies outside the radius of its responses' manifold",
)
MANIFOLD_DIMENSION = Loss(
    run="neurobust.networks.manifolds:manifold_dimension",
    needs_head=True,
    min_batch=2,
    by_class=True,
    source="Shao et al. 2024",
    help="share of a class's spread outside the subspace of its responses' manifold",
)
