"""What a report consists of: its tables with their columns, and its figures. Imports nothing heavy: rules read it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from neurobust.core.places import Places

NETWORK = ["task", "architecture", "condition", "seed"]  # the columns that name a network


def spread_columns(name: str) -> list[str]:
    """Columns of a mean over seeds, its standard deviation and its range."""
    return [name, f"{name}_sd", f"{name}_min", f"{name}_max"]


def ends(name: str) -> list[str]:
    """Columns of a number and the ends of its interval."""
    return [name, f"{name}_low", f"{name}_high"]


COLUMNS: dict[str, list[str]] = {
    "gates": ["task", "architecture", "gate", "passed", "affects", "sentence"],
    "verdicts": [
        "task", "architecture", "condition", "roi", "attack", "budget", "unit", "contrast", "difference", "low", "high",
        "verdict", "reason", "level", "p", *ends("area"), *ends("both"), *ends("matched"), "n_seeds", "n_images",
        "detectable",
    ],
    "claims": [
        "claim", "says", "source", "task", "architecture", "contrast", "decides", "direction", "margin", "attack",
        "budget", "difference", "low", "high", "unit", "verdict", "reason", "level", "p", "n_seeds", "n_images",
        "detectable",
    ],
    "trend": [
        "task", "architecture", "attack", "rois", "conditions", "slope", "low", "high", "p", "n_seeds", "verdict",
        "reason",
    ],
    "robust_accuracy": [
        *NETWORK, "attack", "budget", "unit", "robust_accuracy", "wilson_low", "wilson_high", "n", "abstained",
    ],
    "summary": [
        "task", "architecture", "condition", "attack", "n_seeds", "n_images", *spread_columns("clean_accuracy"),
        "reference_budget", "unit", *spread_columns("robust_accuracy"), *spread_columns("area"),
    ],
    "differences": [
        "task", "architecture", "condition", "baseline", "attack", "primary", "answer", "measure", "difference", "low",
        "high", "df", "n_seeds", "n_images", "seed_min", "seed_max",
    ],
    "power": [
        "task", "architecture", "attack", "n_contrasts", "n_seeds", "n_images", "sd_seed", "sd_image", "sd_residual",
        "detectable",
    ],
    "networks": [*NETWORK, "clean_accuracy", "train_accuracy", "alignment", "seconds"],
    "conditions": ["condition", "target", "control", "recipe"],
    "attacks": [
        *NETWORK, "attack", "norm", "unit", "n_images", "n_forward", "n_backward", "seconds", "settings",
        "verification", "versions", "failed",
    ],
    "predictors": [
        "roi", "subject", "seed", "n_voxels", "median_r", "r_q25", "r_q75", "median_noise_ceiling", "n_ceiling",
        "median_r_normalised", "r_normalised_q25", "r_normalised_q75",
    ],
    "teachers": [
        "task", "architecture", "condition", "roi", "teacher", "images", "accuracy", "fragility", "random", "attack",
        "budget", "clean_accuracy", "robust_accuracy", *ends("over_none"), *ends("over_shuffle"), "verdict",
    ],
    "rois": [
        "roi", "subject", "atlas", "labels", "n_voxels", "images_train", "images_validation", "images_test",
        "median_ncsnr", "median_ncsnr_file", "median_noise_ceiling",
    ],
    "brains": [
        "subject", "sessions", "empty_sessions", "n_voxels", "n_images", "ncsnr_r", "halves_r", "mean_r", "repeats_r",
        "early_r", "late_r", "chance_r", "scale_low", "scale_high", "tables",
    ],
    "sessions": ["subject", "session", "mean", "scale", "relative_scale", "mean_r", "repeats_r"],
    "coverage": [
        "roi", "subject", "grid", "n_slices", "n_voxels", "n_edge", "n_undefined", "n_low", "n_kept", "ncsnr_r",
        "n_predicted", "n_above", "n_negative",
    ],
    "checks": [*NETWORK, "attack", "check", "passed", "value", "note"],
    "inside": [*NETWORK, "analysis", "measure", "layer", "roi", "value", "low", "high", "unit", "n_images"],
    "seen": [
        "roi", "seed", "analysis", "measure", "layer", "other", "value", "low", "high", "unit", "n_images",
    ],
    "why": [
        "task", "architecture", "analysis", "measure", "of", "condition", "layer", "roi", "value", "low", "high",
        "n_networks",
    ],
    "fourier": ["task", "architecture", "condition", "down", "across", "error", "n_seeds"],
    "compute": ["rule", "jobs", "seconds_total", "seconds_mean", "seconds_max", "memory_mb_max", "source"],
    "provenance": ["part", "name", "value"],
    "canaries": ["task", "canary", "expected", "found", "caught", "value", "note"],
    "minimal_budget": [
        *NETWORK, "norm", "unit", "attacks", "largest", "n_images", "n_broken", "q25", "median", "q75",
    ],
    "survival": [*NETWORK, "norm", "unit", "budget", "robust_accuracy"],
    "breaks": [*NETWORK, "norm", "unit", "budget", "attack", "other", "n_correct", "n_broken", "n_only"],
    "transfer": [
        "task", "architecture", "source_condition", "source_seed", "target_condition", "target_seed", "n", "n_shared",
        "clean_accuracy", "accuracy", "beyond_white_box",
    ],
    "matched": [
        "task", "architecture", "condition", "baseline", "attack", "budget", "n_seeds", "n_weights", "clean_low",
        "clean_high", "difference", "low", "high",
    ],
    "corruptions": [*NETWORK, "corruption", "scored", "severity", "n", "clean_accuracy", "accuracy"],
    "corruption_errors": [*NETWORK, "accuracy", "mce", "n_types", "relative_mce", "n_relative"],
    "shifted": [*NETWORK, "set", "corruption", "scored", "severity", "n", "classes", "clean_accuracy", "accuracy"],
    "shifted_errors": [*NETWORK, "set", "accuracy", "mce", "n_types", "relative_mce", "n_relative"],
    "outside": [
        "task", "network", "label", "kind", "attack", "budget", "unit", "robust_accuracy", "wilson_low", "wilson_high",
        "n", "abstained", "clean_accuracy", "corruption_accuracy", "failed_checks",
    ],
    "gains": [
        *NETWORK, "roi", "shuffle", "attack", "budget", "gain", "hierarchy", "predictor_accuracy", "noise_ceiling",
        "n_voxels", "weight", "loss", "images", "layer_depth", "alignment", "alignment_cka",
    ],
    "factors": [
        "task", "architecture", "factor", "kind", "model", "left_out", "effect", "low", "high", "df", "sd", "unit",
        "vif", "n_rois", "n_conditions", "n_seeds", "note",
    ],
}  # fmt: skip

# Tables of semantic attacks: name -> file.
SEMANTIC_TABLES = {
    "semantic": "semantic", "gates": "semantic_gates", "summary": "semantic_summary",
    "differences": "semantic_differences", "attributes": "semantic_attributes", "transfer": "semantic_transfer",
}  # fmt: skip

# Tables of face verification: name -> file.
VERIFICATION_TABLES = {
    "verification": "verification", "thresholds": "verification_thresholds", "differences": "verification_differences",
}  # fmt: skip

# Figures: name -> a function (view) -> SVG text.
FIGURES: Places[Callable[[Any], str]] = Places(
    {
        "differences": "neurobust.report.figures:draw_differences",
        "robust_accuracy": "neurobust.report.figures:draw_robust_accuracy",
        "clean_vs_robust": "neurobust.report.figures:draw_clean_vs_robust",
        "predictors": "neurobust.report.predictor_figure:draw_predictors",
        "sessions": "neurobust.report.quality_figures:draw_sessions",
        "reached": "neurobust.report.quality_figures:draw_reached",
        "mediation": "neurobust.report.why_section:draw_mediation",
        "inside": "neurobust.report.inside_figure:draw_inside",
        "layers": "neurobust.report.network_figures:draw_layers",
        "fourier": "neurobust.report.network_figures:draw_fourier",
        "cue_bias": "neurobust.report.network_figures:draw_cue_bias",
        "survival": "neurobust.report.survival_figure:draw_survival",
        "transfer": "neurobust.report.transfer_matrix:draw_transfer",
        "corruptions": "neurobust.report.corruption_errors:draw_corruptions",
        "factors": "neurobust.report.factor_section:draw_factors",
        "exciting": "neurobust.report.seen_pictures:draw_exciting",
        "attribution": "neurobust.report.seen_pictures:draw_attribution",
        "fooled": "neurobust.report.seen_pictures:draw_fooled",
        "fields": "neurobust.report.seen_plots:draw_fields",
        "tuning": "neurobust.report.seen_plots:draw_tuning",
        "concepts": "neurobust.report.seen_plots:draw_concepts",
        "fragility": "neurobust.report.seen_plots:draw_fragility",
        "versions": "neurobust.report.seen_plots:draw_versions",
        "cores": "neurobust.report.core_matrix:draw_cores",
    }
)
# Figures -> the table that has their numbers.
NUMBERS = {
    "differences": "differences", "robust_accuracy": "robust_accuracy", "clean_vs_robust": "summary",
    "predictors": "predictors", "sessions": "sessions", "reached": "predictors", "mediation": "why",
    "inside": "inside", "layers": "inside", "fourier": "fourier", "cue_bias": "inside", "survival": "survival",
    "transfer": "transfer", "corruptions": "corruptions", "factors": "factors", "exciting": "seen",
    "attribution": "seen", "fooled": "seen", "fields": "seen", "tuning": "seen", "concepts": "seen",
    "fragility": "seen", "versions": "seen", "cores": "seen",
}  # fmt: skip
# Figures that need more than one ROI's chain.
WHOLE_STUDY = (
    "sessions", "mediation", "inside", "layers", "fourier", "cue_bias", "transfer", "corruptions", "factors", "cores",
)  # fmt: skip
