"""Suppliers' rate sheets: from a file as it came to a deck of ours. Pure, except ``ocs/rates/versions.py`` beside it."""
