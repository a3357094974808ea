"""Semantic attacks: colour, texture and faces, made by networks that are trained here and must pass gates."""
