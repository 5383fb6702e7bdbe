"""Multilayer perceptrons written once against the Python Array API."""
