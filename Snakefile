# neurobust: NSD -> predictors -> networks -> attacks -> explain -> report.
# Rules are in workflow/rules, one file a stage; what they take as input is worked out in neurobust.study.
from snakemake.utils import min_version

from neurobust.core.interrupted import in_one_line

min_version("9.19")
if workflow.is_main_process:
    in_one_line()  # from here to the first job, from which on Snakemake sees to Ctrl-C itself


# Only where none is given: Snakemake would mix the demo's ROIs and tasks into the given study.
if not workflow.overwrite_configfiles:

    configfile: "config/demo.yaml"


report: "workflow/report/workflow.rst"


include: "workflow/rules/common.smk"
include: "workflow/rules/nsd.smk"
include: "workflow/rules/predictors.smk"
include: "workflow/rules/networks.smk"
include: "workflow/rules/attacks.smk"
include: "workflow/rules/explain.smk"
include: "workflow/rules/report.smk"
include: "workflow/rules/study.smk"


rule all:
    default_target: True
    input:
        rules.report.input,
        rules.confirm_attacks.output,
    localrule: True


rule demo:
    input:
        rules.report.input,
        rules.confirm_attacks.output,
    localrule: True
