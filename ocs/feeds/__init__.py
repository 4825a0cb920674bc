"""Rated records to others: files, HTTP, Kafka; each at least once, under an id that says which it is."""
