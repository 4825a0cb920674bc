"""Money on the bank account: statements read, entries kept, and what they pay suggested."""
