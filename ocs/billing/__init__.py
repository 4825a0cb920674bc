"""The invoicing back end on PostgreSQL: the journal and the rated records that customers are billed from."""
