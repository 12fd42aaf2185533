"""Servers side by side; see scripts/compare.sh."""
