"""A package of somebody else, which adds one of each to a study: each in one file, named by its entry points."""
