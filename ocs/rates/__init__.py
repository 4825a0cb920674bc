"""Tools around the rate files: explain, compare, import. Nothing that runs depends on them."""
