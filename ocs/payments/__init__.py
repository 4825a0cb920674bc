"""Payments by card: what a gateway has to do for us, Stripe as one, and what is booked of it."""
