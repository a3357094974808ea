"""The phantom: a miniature NSD with the real names, formats and conventions, and a planted cortex."""
