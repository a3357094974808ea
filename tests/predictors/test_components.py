"""Principal components against scikit-learn and known ranks."""

import numpy as np

from neurobust.predictors.components import count_components, principal_components


def responses(n=50, voxels=8, seed=0):
    rng = np.random.default_rng(seed)
    return (rng.normal(size=(n, 3)) * [3, 2, 1]) @ rng.normal(size=(3, voxels)) + 4


def test_components_equal_scikit_learn_up_to_sign():
    from sklearn.decomposition import PCA

    x = responses() + 0.1 * np.random.default_rng(1).normal(size=(50, 8))
    reference = PCA(4).fit(x)
    mean, components, variances = principal_components(x)
    assert np.allclose(np.abs((x - mean) @ components[:, :4]), np.abs(reference.transform(x)), atol=1e-4)
    assert np.allclose(variances[:4], reference.explained_variance_)
    assert count_components(variances, 0.95) == PCA(0.95, svd_solver="full").fit(x).n_components_


def test_there_are_as_many_components_as_the_rank():
    x = responses()
    mean, components, variances = principal_components(x)
    scores = (x - mean) @ components
    assert np.allclose(np.cov(scores.T), np.diag(variances), atol=1e-3) and np.allclose(scores.mean(0), 0, atol=1e-4)
    assert len(variances) == count_components(variances, 1.0) == 3
    assert len(principal_components(np.ones((5, 2)))[2]) == count_components(np.zeros(0), 1.0) == 0
