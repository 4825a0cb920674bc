"""Real servers for the zero-set-up default: Valkey and PostgreSQL out of wheels, in a data folder of our own."""
