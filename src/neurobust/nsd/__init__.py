"""Stage 1: from a local mirror of the NSD bucket to responses per ROI and resized stimuli."""
