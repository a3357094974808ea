"""Attacks: a classifier under noise, bounded-norm and colour attacks, every adversarial verified again."""
