"""``ocs demo``: a client of every door, whose every figure is known beforehand. ``README.md`` says what lies where."""
