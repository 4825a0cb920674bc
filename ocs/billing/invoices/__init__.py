"""From rated records to invoices, their numbers, their payment."""
