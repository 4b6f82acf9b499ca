"""Importers of NIR that pin another nir: measured in an environment of their own."""
