"""Invoices on paper: words, numbers and dates in the customer's language, set by typst."""
