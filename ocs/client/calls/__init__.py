"""Each operation of the API as a method, written by scripts/client.py."""
