"""Looking at traffic: captures, hex text, messages as trees, scripted clients. Nothing here runs in the daemon."""
