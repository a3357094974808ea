# neurobust: NSD -> predictors -> networks -> attacks -> explain -> report.
# Rules are in workflow/rules, one file a stage; the names, paths and parameters that they take in workflow/inputs.
from snakemake.utils import min_version

min_version("9.19")


# Only where none is given: Snakemake would mix the demo's ROIs and tasks into the given study.
if not workflow.overwrite_configfiles:

    configfile: "config/demo.yaml"


report: "workflow/report/workflow.rst"


include: "workflow/rules/common.smk"
include: "workflow/inputs/nsd.smk"
include: "workflow/rules/nsd.smk"
include: "workflow/inputs/predictors.smk"
include: "workflow/rules/predictors.smk"
include: "workflow/inputs/networks.smk"
include: "workflow/rules/networks.smk"
include: "workflow/inputs/attacks.smk"
include: "workflow/rules/attacks.smk"
include: "workflow/inputs/explain.smk"
include: "workflow/rules/explain.smk"
include: "workflow/inputs/report.smk"
include: "workflow/rules/report.smk"
include: "workflow/rules/study.smk"


rule all:
    default_target: True
    input:
        rules.report.input,
    localrule: True


rule demo:
    input:
        rules.report.input,
    localrule: True
