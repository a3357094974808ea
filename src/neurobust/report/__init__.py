"""Stage `report`: the tables, figures and pages that people read."""
