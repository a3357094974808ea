# What the rules of explain take: names, paths and parameters, no rules.
def guiding_rois():
    """The ROIs that some condition of the study is guided by."""
    return [roi for roi in ROIS if any(roi in c.get("target", []) for c in config["conditions"].values())]


def guiding_predictors(wildcards):
    """The predictor of each guiding ROI: of the kind that the first condition with this target names."""
    paths = []
    for roi in guiding_rois():
        name = next(c["predictor"] for c in config["conditions"].values() if roi in c.get("target", []))
        seed = predictor_seed(config, int(wildcards.seed))
        paths.append(f"{RESULTS}/predictors/{name}/{roi}/seed{seed}/model.safetensors")
    return paths
