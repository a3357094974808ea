# What the rules of explain take: names, paths and parameters, no rules.
def guiding_rois():
    """The ROIs that some condition of the study is guided by, sorted: the order of keys in a config means nothing."""
    guides = [condition for condition in config["conditions"].values() if "predictor" in condition]
    return sorted({roi for condition in guides for roi in condition["target"]})


def guiding_predictors(wildcards):
    """The predictor of each guiding ROI: the one that the first condition with this target names, controls last."""
    guides = [c for c in config["conditions"].values() if "target" in c and "predictor" in c]
    guides.sort(key=lambda condition: "control" in condition)
    paths = []
    for roi in guiding_rois():
        name = next(c["predictor"] for c in guides if roi in c["target"])
        seed = predictor_seed(config, int(wildcards.seed))
        paths.append(f"{RESULTS}/predictors/{name}/{roi}/seed{seed}/model.safetensors")
    return paths
